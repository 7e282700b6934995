"""What ends a step: the rules, on texts that are split into tokens in any way."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ets.errors import EngineError, InputError
from ets.policy.base import PolicyOptions
from ets.policy.limits import Limits
from ets.policy.sentence_ends import SentenceEnds
from ets.policy.step_pattern import StepPattern
from ets.policy.step_reader import StepWatch, read_step
from ets.step import Prefix, Step
from split_texts import naive_pattern, naive_sentence, split, split_prompt, steps_of

PIECES = [
    *(
        "Tom",
        " has",
        "3",
        ".",
        " ",
        "\n",
        "!",
        "?",
        "。",
        "」",
        "Mr",
        "e.g",
        "$",
        "$$",
        "\\[",
        "\\]",
    ),
    *("\\(", "\\)", "`", "```", "1. ", "\\", " J", "\nStep 2", "...", "…", '"', ")", "**", " $5"),
    *("东京", "é", "！", "- ", "\t", "x", "fig", ", ", "so ", "a.m", "\n\n", ". ", ".\n"),
]
TEXTS = st.lists(st.sampled_from(PIECES), min_size=1, max_size=24).map("".join)
CUTS = st.lists(st.integers(0, 1 << 10), max_size=40)
PATTERNS = (
    r"\n+",
    r"[.?] ",
    r"(?=Tom)",
    r"\.(?=\s)",
    r"has$",
    r"(?:Tom| J)\b",
    r"x(?! )",
    r"(.)\1",
    r"3(?>\.*)",
    r"(?<=\n)1",
    r"so|so Tom",
)


def cut_places(steps: list[Step]) -> list[int]:
    places = [0]
    for step in steps:
        places.append(places[-1] + len(step.text))
    return places


def check_cuts(text: str, parts: list[bytes], step: str, naive: Any) -> None:
    """Each step ends where the slow way says, or with the token in which that place lies."""
    prompt = split_prompt(parts, step=step, answer_markers=())
    steps = steps_of(prompt, len(parts))
    assert "".join(s.text for s in steps) == text
    assert [i for s in steps for i in s.token_ids] == list(range(len(parts)))
    data = text.encode()
    tokens = [len(b"".join(parts[:k])) for k in range(len(parts) + 1)]
    at = 0
    for one in steps[:-1]:
        end = naive(text[:at], text[at:])
        assert end is not None
        assert one.finish == "step"
        wanted = len(text[: at + end].encode())
        whole = next(k for k in tokens if k >= wanted)
        assert data[len(text[:at].encode()) : whole].decode() == one.text
        at += len(one.text)
    assert steps[-1].finish == "end"
    end = naive(text[:at], text[at:])
    # Whoever reads tokens has no look behind the last one.
    assert end is None or len(text[: at + end].encode()) == len(data) or not steps[-1].text


def whole_characters(text: str, cuts: list[int]) -> list[int]:
    """Byte places of characters: a step that ends inside of one reads otherwise."""
    return [len(text[: cut % (len(text) + 1)].encode()) for cut in cuts]


@given(TEXTS, CUTS)
def test_sentences_end_where_the_slow_way_says(text: str, cuts: list[int]) -> None:
    check_cuts(text, split(text, whole_characters(text, cuts)), "sentences", naive_sentence)


@given(TEXTS, CUTS, st.sampled_from(PATTERNS))
def test_patterns_end_steps_where_the_slow_way_says(
    text: str, cuts: list[int], pattern: str
) -> None:
    parts = split(text, whole_characters(text, cuts))
    check_cuts(text, parts, f"regex:{pattern}", lambda _, rest: naive_pattern(pattern, rest))


@given(TEXTS, CUTS, st.sampled_from(["sentences", "regex:[.。!]", "tokens:3", "tokens:1"]))
def test_no_token_is_lost_however_characters_are_split(
    text: str, cuts: list[int], step: str
) -> None:
    parts = split(text, cuts)
    steps = steps_of(split_prompt(parts, step=step, answer_markers=()), len(parts))
    assert [i for s in steps for i in s.token_ids] == list(range(len(parts)))
    assert all(s.token_ids for s in steps[:-1])
    assert b"".join(parts[i] for s in steps for i in s.token_ids).decode() == text


@given(TEXTS, CUTS, st.integers(1, 9))
def test_steps_of_tokens_have_that_many(text: str, cuts: list[int], count: int) -> None:
    parts = split(text, whole_characters(text, cuts))
    prompt = split_prompt(parts, step=f"tokens:{count}", answer_markers=())
    steps = steps_of(prompt, len(parts))
    full, rest = divmod(len(parts), count)
    assert [len(s.token_ids) for s in steps] == [count] * full + [rest]
    assert [s.finish for s in steps] == ["step"] * full + ["end"]
    assert sum(s.dropped_tokens for s in steps) == sum(
        len(parts) - end for end in range(count, len(parts) + 1, count)
    )
    if count > 1:
        short = read_step(prompt, range(len(parts)), Prefix("q", 0, ()), count - 1)
        assert short.finish == ("length" if len(parts) >= count - 1 else "end")


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("It is 3.5 m. Then 4.", ["It is 3.5 m.", " Then 4."]),
        ("Mr. Li has 2. He asks.", ["Mr. Li has 2.", " He asks."]),
        ("See Fig. 2 and e.g. J. Doe! So", ["See Fig. 2 and e.g. J. Doe!", " So"]),
        ("1. Add it. 2. More\n2. Halve. End", ["1. Add it.", " 2.", " More\n2. Halve.", " End"]),
        ("**Step 1.** We add. So", ["**Step 1.** We add.", " So"]),
        ("Step 1. We add. So", ["Step 1. We add.", " So"]),
        ("Why? “Yes.” Then", ["Why?", " “Yes.”", " Then"]),
        ("He pays $5. She pays $3.", ["He pays $5.", " She pays $3."]),
        ("So $5! = 120$ ways. Then", ["So $5! = 120$ ways.", " Then"]),
        ("So 5! = 120 ways. Then", ["So 5! = 120 ways.", " Then"]),
        (
            "So $x. y$ and \\(a. b\\) and \\[c. d\\] so. E",
            ["So $x. y$ and \\(a. b\\) and \\[c. d\\] so.", " E"],
        ),
        ("Run `a. b` or. C", ["Run `a. b` or.", " C"]),
        ("```\na. b\n\nc.\n```\nSo. Then", ["```\na. b\n\nc.\n```\nSo.", " Then"]),
        ("He has 3。她有4！」好", ["He has 3。", "她有4！」", "好"]),
        ("First\n\nSecond.\nThird", ["First\n\n", "Second.\n", "Third"]),
        ("1, 2, ... and 9... So\n\nEnd", ["1, 2, ... and 9... So\n\n", "End"]),
        ("We open $x. \n\nThen. So", ["We open $x. \n\n", "Then.", " So"]),
        ("\n\n\nSo. Then", ["\n\n\nSo.", " Then"]),
        ("a.m. is so. B", ["a.m. is so.", " B"]),
    ],
)
def test_what_a_sentence_is(text: str, sentences: list[str]) -> None:
    parts = split(text, list(range(len(text.encode()))))
    prompt = split_prompt(parts, step="sentences", answer_markers=())
    assert [step.text for step in steps_of(prompt, len(parts))] == sentences


def test_a_sentence_goes_on_where_a_limit_cut_it() -> None:
    text = "So $x. y$ is 3. Then\n```\na. b\n```\nEnd"
    parts = split(text, list(range(len(text))))
    prompt = split_prompt(parts, step="sentences", answer_markers=())
    steps = [step.text for step in steps_of(prompt, len(parts), max_tokens=4)]
    assert "".join(steps) == text
    whole = [text.index(" Then"), text.index("\nEnd")]
    ends = [len("".join(steps[: i + 1])) for i in range(len(steps))]
    assert whole[0] in ends
    # Inside of mathematics and code there are cuts at the limit alone.
    assert [a for a, b in zip(ends, [0, *ends], strict=False) if a - b < 4] == [
        whole[0],
        len(text),
    ]
    assert SentenceEnds("```\n").end("a. b\n\nc. ") is None


def test_the_token_that_shows_a_sentences_end_is_dropped() -> None:
    parts = [b"It is 3", b".", b" Then", b" so", b".\n\n", b"End"]
    prompt = split_prompt(parts, step="sentences", answer_markers=())
    first, second, third = steps_of(prompt, len(parts))
    assert (first.text, first.token_ids, first.finish) == ("It is 3.", (0, 1), "step")
    assert first.dropped_tokens == len(parts) - 2
    assert (second.text, second.token_ids) == (" Then so.\n\n", (2, 3, 4))
    assert (third.text, third.finish) == ("End", "end")
    watch = StepWatch(prompt, Prefix("q", 0, ()), 99)
    assert [watch.sees(range(k)) for k in (1, 2, 3)] == [False, False, True]


# -- answers, stop texts, limits -------------------------------------------------------------------


def one_by_one(text: str, **options: Any) -> list[tuple[str, str]]:
    parts = split(text, list(range(len(text.encode()))))
    return [(s.text, s.finish) for s in steps_of(split_prompt(parts, **options), len(parts))]


def test_an_answer_over_two_steps_ends_the_solution() -> None:
    text = "So 5 + 7 = 12.\n\nThe answer is 12.\n\nNow another problem: The answer is 3."
    steps = one_by_one(text, step="tokens:20")
    assert "".join(text for text, _ in steps) == "So 5 + 7 = 12.\n\nThe answer is 12.\n\n"
    assert [finish for _, finish in steps] == ["step", "answer"]
    assert one_by_one(text, step="tokens:400") == [(text[:35], "answer")]
    assert [f for _, f in one_by_one(text, step="sentences")] == ["step", "answer"]


@pytest.mark.parametrize("step", ["tokens:31", r"regex:s \d"])
def test_half_a_number_is_no_answer(step: str) -> None:
    assert one_by_one("So 5 + 7 = 12.\n\nThe answer is 12.", step=step) == [
        ("So 5 + 7 = 12.\n\nThe answer is 1", "step"),
        ("2.", "answer"),
    ]


def test_stop_texts_end_solutions_whatever_ends_steps() -> None:
    for step in ("tokens:99", "sentences", r"regex:\d\."):
        steps = one_by_one("It is so STOP and. More", step=step, stop=("STOP",))
        assert steps == [("It is so STOP", "end")]


def test_thoughts_have_steps_of_their_own() -> None:
    text = "<think>a. b\n\nc. d</think>So 1. Then 2"

    def steps(**options: Any) -> list[str]:
        return [text for text, _ in one_by_one(text, thinking=True, **options)]

    assert steps(step="sentences") == ["<think>a. b\n\nc. d</think>So 1.", " Then 2"]
    assert steps(step="sentences", thinking_step="paragraphs") == [
        "<think>a. b\n\n",
        "c. d</think>So 1.",
        " Then 2",
    ]
    assert steps(step="regex:So", thinking_step="tokens")[0] == text[: -len(" 1. Then 2")]
    assert steps(step="tokens:30") == [text[:30], text[30:]]


# -- patterns --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("step", "words"),
    [
        ("lines", "step must be 'delimiter', 'tokens:N' with N of at least 1, 'sentences'"),
        ("tokens:0", "got 'tokens:0'"),
        ("tokens:-1", "got 'tokens:-1'"),
        ("tokens:1e3", "got 'tokens:1e3'"),
        ("tokens:٣", "step must be"),
        ("tokens", "got 'tokens'"),
        (3, "got 3"),
        (None, "got None"),
        ("regex:", "that does not match the empty text, got ''"),
        ("regex:a*", "that does not match the empty text, got 'a*'"),
        ("regex:$", "got '$'"),
        ("regex:(", "got '(': missing ), unterminated subpattern"),
        ("regex:(?<=a+)b", "look-behind requires fixed-width pattern"),
        ("regex:\\p{L}", "bad escape"),
        ("regex:" + "(" * 5000, "step must hold a regular expression"),
        ("regex:a{99999999999999999999}", "step must hold a regular expression"),
    ],
)
def test_what_is_no_rule_is_refused_in_one_line(step: Any, words: str) -> None:
    with pytest.raises(InputError) as caught:
        PolicyOptions(step=step)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("pattern", [r"(a|aa)+[bc]", r"(a|aa|aaa)+\b(?<=!)"])
def test_a_pattern_that_takes_for_ever_is_given_up(
    pattern: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ets.policy.step_pattern._SECONDS", 0.02)
    text = "a" * 400 + "."
    parts = split(text, list(range(len(text))))
    prompt = split_prompt(parts, step=f"regex:{pattern}", answer_markers=())
    prefix = Prefix("q", 0, ())
    with pytest.raises(EngineError) as caught:
        read_step(prompt, range(len(parts)), prefix, 999)
    assert re.fullmatch(
        r"step='regex:...' was given up: the pattern '.*' took .*", str(caught.value)
    )
    # And none is begun again, by whoever shares it.
    monkeypatch.setattr("ets.policy.step_pattern._SECONDS", 1e9)
    with pytest.raises(EngineError, match="given up"):
        read_step(prompt, range(3), prefix, 999)
    assert StepWatch(prompt, prefix, 99).sees([0])


@given(TEXTS, st.sampled_from(PATTERNS), st.integers(0, 30))
def test_a_pattern_is_found_from_wherever_it_was_looked_for(
    text: str, pattern: str, looked: int
) -> None:
    compiled = StepPattern(pattern)
    if naive_pattern(pattern, text[:looked]) is None:
        assert compiled.end(text, min(looked, len(text))) == naive_pattern(pattern, text)


# -- a search's limits -----------------------------------------------------------------------------


class Named:
    """A policy of which only the prompt is looked at."""

    def __init__(self, **options: Any) -> None:
        self.prompt = split_prompt([b"a"], **options)


def limits(step: str, **given: Any) -> Limits:
    none = {"max_step_tokens": None, "max_tokens": None, "max_depth": None, "prm_thinking": None}
    return Limits.settle(Named(step=step), None, **{**none, **given})


def test_a_step_of_tokens_takes_the_place_of_max_step_tokens() -> None:
    assert limits("delimiter").max_step_tokens == limits("sentences").max_step_tokens == 256
    assert limits("tokens:512").max_step_tokens == 512
    assert limits("tokens:16", max_step_tokens=256).max_step_tokens == 16
    with pytest.raises(InputError) as caught:
        limits("tokens:512", max_step_tokens=256)
    assert str(caught.value) == (
        "max_step_tokens must be at least 512, the tokens of a step by the policy's "
        "step='tokens:512', or left out; got 256"
    )


def test_small_steps_make_a_deeper_tree() -> None:
    assert limits("tokens:16").max_depth == 1024 // 16
    assert limits("tokens:512").max_depth == limits("delimiter").max_depth == 25
    assert limits("tokens:16", max_depth=7).max_depth == 7
    assert limits("tokens:10", max_tokens=2000).max_depth == 200
