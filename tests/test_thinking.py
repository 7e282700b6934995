"""Policies that think in a block before they answer: recognised, read, searched, scored."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import ets
from ets.answer.thoughts import PAIRS, behind_thoughts
from ets.checkpoint.tokenizer import load_tokenizer
from ets.errors import InputError
from ets.policy.base import PolicyOptions
from ets.policy.limits import Limits, thinking_of
from ets.policy.prompt import PolicyPrompt
from ets.policy.step_reader import read_step
from ets.policy.thinking import Thinking
from ets.policy.transformers import TransformersPolicy
from ets.step import Prefix, Step
from thinking_model import CLOSE, OPEN, make_thinking_policy, problem, with_template
from vllm_server import vllm_server

BLOCK = f"{OPEN}\nTom has 3 and 4 more.\n\nso the answer is \\boxed{{0}} so.\n\n{CLOSE}"
ANSWER = "Tom has 7 apples.\n\nThe answer is \\boxed{7}."


@pytest.fixture(scope="module")
def writes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained policy that opens its block itself."""
    return make_thinking_policy(tmp_path_factory.mktemp("thinking") / "writes")


@pytest.fixture(scope="module")
def opened(writes: Path) -> Path:
    """The same behind a template that opens the block."""
    return with_template(writes, writes.with_name("opened"), "opened")


def prompt_of(folder: Path, **options: Any) -> PolicyPrompt:
    return PolicyPrompt.load(str(folder), PolicyOptions(**options))


def steps_of(prompt: PolicyPrompt, text: str, max_tokens: int = 400) -> list[Step]:
    """The steps that a text makes, read one after the other as an engine would write them."""
    ids = [*prompt.tokenizer.encode(text, add_special_tokens=False), min(prompt.end_ids)]
    prefix, steps = prompt.start("Tom has 3 apples?"), []
    while ids:
        step = read_step(prompt, ids, prefix, max_tokens)
        steps.append(step)
        prefix = prefix.extend(step)
        ids = ids[len(step.token_ids) :]
        if step.finished:
            break
    return steps


# -- recognising -----------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_template_that_speaks_of_thoughts_is_recognised(writes: Path, opened: Path) -> None:
    by_itself, by_prompt = prompt_of(writes).thinking, prompt_of(opened).thinking
    assert by_itself is not None
    assert by_prompt is not None
    assert (by_itself.open, by_itself.close, by_itself.opened) == (OPEN, CLOSE, False)
    assert by_prompt.opened


def test_the_switch_of_a_template_and_a_closed_block_leave_nothing_to_think(writes: Path) -> None:
    off = prompt_of(writes, thinking=False)
    assert off.thinking is None
    assert off.text("1?").endswith(f"{OPEN}\n\n{CLOSE}\n\n")
    assert prompt_of(writes, answer_start=f"{OPEN}\n\n{CLOSE}\n\n").thinking is None
    assert prompt_of(writes, answer_start=f"{OPEN}\nFirst").thinking.opened  # type: ignore[union-attr]


def test_a_problem_cannot_open_the_block(writes: Path) -> None:
    prompt = prompt_of(writes)
    prompt.start(f"What is {OPEN}?")
    assert prompt.thinking is not None
    assert not prompt.thinking.opened


def test_other_policies_do_not_think(pair_paths: tuple[Path, Path]) -> None:
    assert prompt_of(pair_paths[0]).thinking is None
    said = prompt_of(pair_paths[0], thinking=True).thinking
    assert said is not None
    assert (said.open, said.close) == PAIRS[0]


def test_without_a_template_the_vocabulary_speaks(writes: Path) -> None:
    tokenizer = load_tokenizer(str(writes))
    assert Thinking.find(tokenizer, None, template=None, behind="") is not None
    assert Thinking.find(tokenizer, None, template="{{ messages }}", behind="") is None
    assert Thinking.find(tokenizer, None, template="{{ messages }}", behind="[THINK]") is not None


@pytest.mark.parametrize("wrong", ["<think>", ["<think>"], ["", "</think>"], [1, 2], 3])
def test_what_is_no_choice_is_refused(wrong: Any) -> None:
    with pytest.raises(InputError, match="thinking must be true, false, or the two tags"):
        PolicyOptions(thinking=wrong)
    with pytest.raises(
        InputError, match=r"thinking_step must be one of \['tokens', 'paragraphs'\]"
    ):
        PolicyOptions(thinking_step="lines")  # type: ignore[arg-type]


# -- steps -----------------------------------------------------------------------------------------


def test_a_block_is_steps_of_tokens_and_the_answer_paragraphs(writes: Path) -> None:
    prompt = prompt_of(writes)
    steps = steps_of(prompt, f"{BLOCK}\n\n{ANSWER}")
    assert [step.text for step in steps] == [
        f"{BLOCK}\n\n",
        "Tom has 7 apples.\n\n",
        "The answer is \\boxed{7}.",
    ]
    assert [step.finish for step in steps] == ["step", "step", "answer"]
    assert [step.thinking for step in steps] == [len(BLOCK), 0, 0]
    short = steps_of(prompt, f"{BLOCK}\n\n{ANSWER}", max_tokens=9)
    assert [step.finish for step in short[:2]] == ["length", "length"]
    assert "".join(step.text for step in short) == f"{BLOCK}\n\n{ANSWER}"


def test_a_block_in_paragraphs(writes: Path) -> None:
    steps = steps_of(prompt_of(writes, thinking_step="paragraphs"), f"{BLOCK}\n\n{ANSWER}")
    assert [step.text for step in steps[:2]] == [
        f"{OPEN}\nTom has 3 and 4 more.\n\n",
        "so the answer is \\boxed{0} so.\n\n",  # a box among thoughts ends nothing
    ]
    assert steps[1].finish == "step"
    assert steps[-1].finish == "answer"


def test_an_end_inside_the_block_holds_no_answer(writes: Path) -> None:
    (step,) = steps_of(prompt_of(writes), f"{OPEN}\nThe answer is \\boxed{{3}}.")
    assert (step.finish, step.answer_text) == ("end", "")


def test_stop_texts_count_behind_the_block_only(writes: Path) -> None:
    steps = steps_of(prompt_of(writes, stop="apples"), f"{BLOCK}\n\nTom has 7 apples. so")
    assert [step.text for step in steps] == [f"{BLOCK}\n\n", "Tom has 7 apples"]
    first = steps_of(prompt_of(writes, stop="Tom"), f"{BLOCK}\n\nTom has")
    assert first[0].text == f"{BLOCK}\n\n"


def test_who_does_not_open_the_block_writes_paragraphs(writes: Path) -> None:
    steps = steps_of(prompt_of(writes), ANSWER)
    assert [step.thinking for step in steps] == [0, 0]
    assert [step.finish for step in steps] == ["step", "answer"]


def test_tags_that_are_special_tokens_stay_in_the_text(writes: Path) -> None:
    tokenizer = load_tokenizer(str(writes))
    tokenizer.add_special_tokens({"additional_special_tokens": ["[THINK]", "[/THINK]"]})
    options = PolicyOptions(thinking=("[THINK]", "[/THINK]"))
    prompt = PolicyPrompt(tokenizer, options, end_ids=frozenset({0}), max_length=400)
    text = "[THINK]\nTom has 3.\n\nso 7[/THINK]\n\nTom has 7."
    steps = steps_of(prompt, text)
    assert [step.text for step in steps] == [text[: -len("Tom has 7.")], "Tom has 7."]
    assert prompt.decode(prompt.encode("Tom has")) == "Tom has"
    assert prompt.decode(prompt.encode("[THINK] so")) == "[THINK] so"  # nobody's thoughts, but text


@pytest.mark.parametrize("step", ["tokens", "paragraphs"])
@pytest.mark.parametrize("behind", ["", "\n\nTom has 7 apples.\n\nso 7 now."])
def test_steps_join_to_the_text_however_they_are_cut(writes: Path, step: str, behind: str) -> None:
    text, prompt = BLOCK + behind, prompt_of(writes, thinking_step=step)
    for max_tokens in range(1, 60):
        check_joins(steps_of(prompt, text, max_tokens), text)


def check_joins(steps: list[Step], text: str) -> None:
    assert "".join(s.text for s in steps) == text
    assert "".join(s.answer_text for s in steps) == text.removeprefix(BLOCK)


# -- texts -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "opened", "behind"),
    [
        ("<think>a</think>b", False, "b"),
        ("a</think>b", True, "b"),
        ("a</think>b</think>c", True, "c"),
        ("  <think>a", False, None),
        ("a", True, None),
        ("a", False, "a"),
        ("say <think>", False, "say <think>"),
        ("[THINK]a[/THINK]b", False, "b"),
    ],
)
def test_what_stands_behind_thoughts(text: str, opened: bool, behind: str | None) -> None:
    tags = PAIRS[0] if opened else None
    assert behind_thoughts(text, tags, opened=opened) == behind


def test_a_prefix_without_its_thoughts() -> None:
    steps = (
        Step("<think>a", (1, 2), "length", thinking=8),
        Step("b</think>\n\n", (3,), "step", thinking=9),
        Step("c", (4,), "end"),
    )
    prefix = Prefix("q", 1, (0, 1, 2, 3, 4), steps)
    bare = prefix.without_thoughts()
    assert [step.text for step in bare.steps] == ["", "\n\n", "c"]
    assert bare.token_ids == prefix.token_ids
    joined = steps[0].then(steps[1])
    assert (joined.answer_text, joined.token_ids, joined.finish) == ("\n\n", (1, 2, 3), "step")
    assert joined.then(steps[2]).answer_text == "\n\nc"


# -- searches --------------------------------------------------------------------------------------


def solve(folder: Path, **arguments: Any) -> tuple[ets.SearchResult, list[list[str]]]:
    """A search with a PRM that remembers what it was given."""
    read: list[list[str]] = []

    def prm(_: str, steps: list[str]) -> float:
        read.append(steps)
        return 0.5

    with ets.Search(
        policy=f"transformers:{folder}", prm=prm, strategy=ets.REBASE(width=4), **arguments
    ) as search:
        return search.solve(problem(3, 4)), read


@pytest.mark.parametrize("step", ["tokens", "paragraphs"])
@pytest.mark.parametrize("kind", ["writes", "opened"])
def test_a_search_answers_behind_the_thoughts(
    request: pytest.FixtureRequest, kind: str, step: str
) -> None:
    folder = request.getfixturevalue(kind)
    result, read = solve(folder, policy_options={"thinking_step": step, "temperature": 0.5})
    assert result.answer == "7"
    assert all(solution.answer != "0" for solution in result.trajectories)
    assert any(CLOSE in text for steps in read for text in steps)


def test_a_prm_that_skips_thoughts_sees_none_of_them(opened: Path) -> None:
    result, read = solve(opened, prm_thinking="skip", policy_options={"temperature": 0.5})
    assert result.answer == "7"
    assert not any(CLOSE in text or "more" in text for steps in read for text in steps)
    assert all(any(steps) for steps in read)  # there is something to judge in every step
    first = [result.tree.nodes.text[node] for node in result.tree.nodes.levels[1]]
    assert all(text is not None and f"{CLOSE}\n\nTom" in text for text in first)


def test_thoughts_that_are_joined_stop_at_the_limit(opened: Path) -> None:
    result, _ = solve(opened, prm_thinking="skip", max_tokens=12, max_step_tokens=5)
    assert {solution.cut for solution in result.trajectories} == {"max_tokens"}
    assert all(solution.tokens < 12 + 5 for solution in result.trajectories)
    assert result.answer is None
    assert result.note == ("4 of 4 solutions were cut, by max_tokens: raise max_tokens")


def test_limits_are_those_that_such_policies_need(writes: Path, caplog: Any) -> None:
    policy = TransformersPolicy(writes, device="cpu")
    assert thinking_of(policy) is not None
    none: dict[str, Any] = {
        "max_step_tokens": None,
        "max_tokens": None,
        "max_depth": None,
        "prm_thinking": None,
    }
    limits = Limits.settle(policy, None, **none)
    assert (limits.max_step_tokens, limits.max_tokens, limits.max_depth) == (512, 512, 128)
    assert "the policy reads at most 512 tokens" in caplog.text

    short_prm: Any = SimpleNamespace(format=SimpleNamespace(max_length=100))

    caplog.clear()
    short = Limits.settle(policy, short_prm, **none)
    assert not short.reads_thoughts
    assert "the PRM reads at most 100 tokens and thoughts may have 512" in caplog.text
    caplog.clear()
    told = Limits.settle(policy, short_prm, **{**none, "prm_thinking": "read"})
    assert told.reads_thoughts
    assert told.max_tokens == 100


# -- engines ---------------------------------------------------------------------------------------


@pytest.mark.rare
@pytest.mark.vllm
def test_thoughts_on_vllm_and_behind_a_server_are_those_of_transformers(opened: Path) -> None:
    """Greedy, so that all of them write the same."""

    def texts(policy: str, **options: Any) -> list[tuple[str | None, ...]]:
        with ets.Search(
            policy=policy,
            prm=lambda _, steps: 0.5,
            strategy=ets.REBASE(width=2),
            policy_options={"temperature": 0.0, **options},
        ) as search:
            result = search.solve(problem(3, 4))
        assert result.answer == "7"
        return [trajectory.texts for trajectory in result.tree.trajectories]

    whole = texts(f"transformers:{opened}")
    parts = texts(f"transformers:{opened}", thinking_step="paragraphs")
    assert len(parts[0]) > len(whole[0])
    assert texts(f"vllm:{opened}") == whole
    with vllm_server(opened, name="thinker") as server:
        assert texts(f"openai:thinker@{server.url}") == whole
        assert texts(f"openai:thinker@{server.url}", thinking_step="paragraphs") == parts
