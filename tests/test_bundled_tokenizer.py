"""The bundled tokenizer in plain Python against the one of `transformers`."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import DEMO
from ets import demo
from ets.engines.bundled.checkpoint import BundledCheckpoint
from ets.engines.bundled.tokenizer import WordTokenizer
from ets.errors import EngineError, InputError
from ets.policy.base import PolicyOptions
from ets.policy.bundled import bundled_prompt
from ets.policy.prompt import PolicyPrompt
from ets.prm.checkpoint import Checkpoint
from ets.prm.formats.qwen import QwenFormat
from ets.step import Prefix, Step

pytest.importorskip("transformers", reason="transformers is not installed (the extra 'torch')")

POLICY = BundledCheckpoint(DEMO / "policy")
OURS = POLICY.tokenizer
THEIRS: Any = Checkpoint(str(DEMO / "policy")).tokenizer

_PRM: Any = BundledCheckpoint(demo.prm_path())
OUR_FORMAT = QwenFormat(_PRM)
THEIR_FORMAT = QwenFormat(Checkpoint(str(demo.prm_path())))

words = st.sampled_from(
    [
        *(
            "Tom",
            " apples",
            " 12",
            "12",
            " 7 ",
            "\n\n",
            "\n",
            "  ",
            "\t",
            " ",
            "?",
            ".",
            "x",
            "Zoë",
        ),
        *(
            "<|user|>",
            "<|end|>",
            "<extra_0>",
            "<|us",
            "er|>",
            "<0x41>",
            "東京",
            "🙂",
            "\x1c",
            "\u2003",
        ),
        *("<pad>", "e\u0301", "\u00a0", "a1b2", "_", "</s>", "\x00", "\r\n"),
    ]
)
no_surrogates = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
texts = st.lists(words | no_surrogates, max_size=8).map("".join)


@cache
def _theirs(options: PolicyOptions) -> PolicyPrompt:
    return PolicyPrompt.load(str(DEMO / "policy"), options)


@settings(deadline=None)
@given(texts)
def test_ids_are_those_of_transformers(text: str) -> None:
    assert OURS.encode(text) == THEIRS.encode(text)


@settings(deadline=None)
@given(st.lists(st.integers(0, len(OURS) - 1), max_size=20), st.booleans())
def test_texts_are_those_of_transformers(ids: list[int], skips: bool) -> None:
    options = {"skip_special_tokens": skips, "clean_up_tokenization_spaces": False}
    assert OURS.decode(ids, **options) == THEIRS.decode(ids, **options)


@pytest.mark.parametrize(
    "options",
    [
        PolicyOptions(),
        PolicyOptions(answer_start=" 12"),
        PolicyOptions(user_template="a{problem}<|end|>b{problem}", continue_final_message=True),
        PolicyOptions(stop=("?", "the answer"), delimiter="\n", thinking=True),
    ],
)
@settings(deadline=None, max_examples=40)
@given(text=texts.filter(str.strip))
def test_prompts_are_those_of_transformers(options: PolicyOptions, text: str) -> None:
    theirs = _theirs(options)
    ours = bundled_prompt(POLICY, options)
    assert ours.start(text) == theirs.start(text)
    assert ours.text(text) == theirs.text(text)
    assert ours.encode(text) == theirs.encode(text)
    assert ours.end_ids == theirs.end_ids
    assert ours.max_length == theirs.max_length
    assert ours.engine_stops == theirs.engine_stops
    assert ours.control_texts == theirs.control_texts
    assert ours.thinking == theirs.thinking


@settings(deadline=None)
@given(problem=texts.filter(str.strip), steps=st.lists(texts, min_size=1, max_size=4))
def test_what_the_prm_reads_is_that_of_transformers(problem: str, steps: list[str]) -> None:
    prefix = Prefix(problem=problem, prompt_tokens=1, token_ids=(1,))
    for text in steps:
        prefix = prefix.extend(Step(text=text, token_ids=(7,), finish="step"))
    assert OUR_FORMAT.parts(prefix) == THEIR_FORMAT.parts(prefix)


def test_another_tokenizer_is_refused() -> None:
    description = json.loads((DEMO / "policy" / "tokenizer.json").read_text())
    config = json.loads((DEMO / "policy" / "tokenizer_config.json").read_text())
    description["model"]["merges"] = [["a", "b"]]
    with pytest.raises(EngineError, match="the bundled models only, got one with another merges"):
        WordTokenizer(description, config)


def test_another_template_is_refused() -> None:
    prompt = bundled_prompt(POLICY, PolicyOptions(chat_template="{{ messages[0].content }}"))
    with pytest.raises(EngineError, match=r"demo\?backend=transformers"):
        prompt.start("1 + 1?")


def test_a_problem_without_room_is_refused() -> None:
    prompt = bundled_prompt(POLICY, PolicyOptions(), max_length=5)
    with pytest.raises(InputError, match="reads at most 5 tokens"):
        prompt.start("Tom has 12 apples and buys 35 more.")
