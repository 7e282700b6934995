"""What a search asked of its engines: by step, in sum, as JSON."""

from __future__ import annotations

import json

import pytest

import ets
from ets.step import Prefix, Score, Step
from ets.usage import TOTALS, StepUsage, Usage
from scripted_engines import ScriptedPolicy, ScriptedPRM


def test_steps_and_totals() -> None:
    usage = Usage()
    usage.at(2).add_step(Step("a", (1, 2, 3), "step", prompt_tokens=40, cached_tokens=32))
    usage.at(1).add_step(Step("b", (1,), "step", prompt_tokens=10, preemptions=2))
    usage.at(1).add_score(Score(0.5, prompt_tokens=12, cached_tokens=4, preemptions=1))
    assert usage.steps == [
        StepUsage(
            depth=1,
            policy_calls=1,
            policy_tokens=1,
            policy_prompt_tokens=10,
            policy_preemptions=2,
            prm_calls=1,
            prm_tokens=12,
            prm_cached_tokens=4,
            prm_preemptions=1,
        ),
        StepUsage(
            depth=2,
            policy_calls=1,
            policy_tokens=3,
            policy_prompt_tokens=40,
            policy_cached_tokens=32,
        ),
    ]
    assert [step.policy_computed_tokens for step in usage.steps] == [10, 8]
    assert [step.prm_computed_tokens for step in usage.steps] == [8, 0]
    for name in TOTALS:
        assert getattr(usage, name) == sum(getattr(step, name) for step in usage.steps)


def test_the_root_is_nobodys_child() -> None:
    with pytest.raises(ValueError, match="depth must be at least 1, got 0"):
        Usage().at(0)


class Preempted(ScriptedPolicy):
    """Every sample was preempted once."""

    async def sample(self, prefix: Prefix, *, seed: int, max_tokens: int) -> Step:
        step = await super().sample(prefix, seed=seed, max_tokens=max_tokens)
        return Step(step.text, step.token_ids, step.finish, 5, 2, preemptions=1)


def test_a_search_counts_by_depth() -> None:
    with ets.Search(
        policy=Preempted(), prm=ScriptedPRM(), strategy=ets.REBASE(width=8), max_step_tokens=12
    ) as search:
        result = search.solve("p")
    levels = result.tree.nodes.levels
    steps = result.usage.steps
    assert [step.depth for step in steps] == list(range(1, len(levels)))
    for step in steps:
        nodes = levels[step.depth]
        assert step.policy_calls == step.policy_preemptions == step.prm_calls == len(nodes)
        assert step.policy_tokens == sum(result.tree.nodes.tokens[node] for node in nodes)
        assert step.policy_computed_tokens == 3 * len(nodes)
    told = json.loads(json.dumps(result.to_dict()))["usage"]
    assert list(told) == [*TOTALS, "given_up", "seconds", "steps"]
    assert told["policy_preemptions"] == result.usage.policy_calls
    assert [step["depth"] for step in told["steps"]] == [step.depth for step in steps]
