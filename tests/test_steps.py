"""What ends a step: the rules, on texts that are split into tokens in any way."""

from __future__ import annotations

import re
from dataclasses import replace
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
