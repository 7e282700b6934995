"""Where engines stop, and where steps end, in the real vocabularies of Qwen2.5 and Llama 3."""

from __future__ import annotations

from pathlib import Path

import pytest

from ets.checkpoint.tokenizer import load_tokenizer
from ets.policy.base import PolicyOptions
from ets.policy.prompt import PolicyPrompt
from ets.policy.step_reader import read_step
from ets.policy.stops import EngineStops, delimiter_ids
from ets.rollout.usage import StepUsage
from ets.step import Step
from smollm2 import UnavailableError
from vocabularies import llama3_tokenizer_path, qwen_tokenizer_path

TEXTS = (
    "To find the sum of the first 100 odd numbers, we note that\n\n\\[\n1 + 3 + \\cdots + 199 "
    "= 100^2.\n\\]\n\nSo the sum is \\(10000\\).\n\nTherefore, the answer is \\(\\boxed{10000}\\).",
    "1. **Terms:**\n   - First: \\(a = 1\\)\n\n2. **Sum:**\n   \\[ S = 10000 \\]\n\n```python\n"
    "print(sum(range(1, 200, 2)))\n```\n\nso it is done;\n\nthe rest (see above):\n\nends here.",
    "Let x = 3.\n \nThen y = 4!\n\n\n\n- so\n\n* and\n\n\n## Step 2: go\n\n。\n\n，\n\nDone",
)
HOLDING = {"qwen": 565, "llama3": 588}
"""Tokens with a blank line."""


@pytest.fixture(scope="module", params=["qwen", "llama3"])
def named(request: pytest.FixtureRequest) -> tuple[str, PolicyPrompt]:
    """A policy's prompt on a real vocabulary."""
    make = {"qwen": qwen_tokenizer_path, "llama3": llama3_tokenizer_path}[request.param]
    try:
        folder: Path = make()
    except UnavailableError as error:
        pytest.skip(f"real vocabularies: {error}")
    tokenizer = load_tokenizer(str(folder))
    ends = frozenset([tokenizer.eos_token_id])
    prompt = PolicyPrompt(tokenizer, PolicyOptions(), end_ids=ends, max_length=4096)
    return str(request.param), prompt


def test_the_commonest_of_many_ids_are_sent(named: tuple[str, PolicyPrompt]) -> None:
    name, prompt = named
    holding = delimiter_ids(prompt.tokenizer, "\n\n")
    assert holding is not None
    assert len(holding) == HOLDING[name]
    stops = prompt.engine_stops
    assert stops == EngineStops(tuple(sorted({*sorted(holding)[:64], *prompt.end_ids})), ())
    for common in ("\n\n", ".\n\n", ":\n\n", ")\n\n"):
        assert prompt.encode(f"a{common}")[-1] in stops.ids, common


def steps_of(prompt: PolicyPrompt, text: str) -> list[Step]:
    """The steps of a text that an engine samples with those stops and gives whole."""
    ids = prompt.tokenizer.encode(text, add_special_tokens=False)
    prefix = prompt.start("What?")
    stops, steps = set(prompt.engine_stops.ids), []
    while ids:
        end = next((i for i, token in enumerate(ids, 1) if token in stops), len(ids))
        step = read_step(prompt, ids[:end], prefix, 500)
        assert step.token_ids == tuple(ids[: len(step.token_ids)])
        assert step.dropped_tokens == end - len(step.token_ids)
        prefix = prefix.extend(step)
        steps.append(step)
        ids = ids[len(step.token_ids) :]  # what was dropped is sampled anew
    return steps


@pytest.mark.parametrize("text", TEXTS)
def test_a_step_ends_at_rare_ids_too_and_what_was_sampled_beyond_is_counted(
    named: tuple[str, PolicyPrompt], text: str
) -> None:
    _, prompt = named
    steps = steps_of(prompt, text)
    assert "".join(step.text for step in steps) == text
    assert all("\n\n" in step.text.rstrip(" ") for step in steps[:-1])
    assert all("\n\n" not in step.text.rstrip("\n").lstrip("\n") for step in steps)
    usage = StepUsage(1)
    for step in steps:
        usage.add_step(step)
    assert usage.policy_overruns == sum(step.dropped_tokens > 0 for step in steps)
    assert usage.policy_dropped_tokens == sum(step.dropped_tokens for step in steps)


def test_an_end_of_sequence_is_not_counted_as_dropped(named: tuple[str, PolicyPrompt]) -> None:
    _, prompt = named
    end = min(prompt.end_ids)
    ids = [*prompt.encode("so.\n\n"), end]
    step = read_step(prompt, ids, prompt.start("What?"), 99)
    assert (step.finish, step.dropped_tokens) == ("step", 0)
