"""What a search asked of its engines: by step, in sum, as JSON."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time

import pytest

import ets
from ets.rollout.busy_time import BusyTime
from ets.rollout.usage import TOTALS, StepUsage, Usage
from ets.step import Prefix, Score, Step
from scripted_engines import ScriptedPolicy, ScriptedPRM

SECONDS = ("seconds", "policy_seconds", "prm_seconds")


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
    assert list(told) == [*TOTALS, "given_up", *SECONDS, "replicas", "steps"]
    assert told["policy_preemptions"] == result.usage.policy_calls
    assert [step["depth"] for step in told["steps"]] == [step.depth for step in steps]


class Meter:
    """Keeps the intervals of an engine's calls."""

    def __init__(self) -> None:
        self.calls: list[tuple[float, float]] = []

    def noted(self, begin: float) -> None:
        self.calls.append((begin, time.perf_counter()))

    def union(self) -> float:
        """Seconds in which a call was in flight, interval by interval."""
        total, end = 0.0, 0.0
        for begin, until in sorted(self.calls):
            total += max(0.0, until - max(begin, end))
            end = max(end, until)
        return total


class MeteredPolicy(ScriptedPolicy):
    meter: Meter

    async def sample(self, prefix: Prefix, *, seed: int, max_tokens: int) -> Step:
        begin = time.perf_counter()
        try:
            return await super().sample(prefix, seed=seed, max_tokens=max_tokens)
        finally:
            self.meter.noted(begin)


class MeteredPRM(ScriptedPRM):
    meter: Meter

    async def score(self, prefix: Prefix) -> Score:
        begin = time.perf_counter()
        try:
            await asyncio.sleep(0.002)
            return await super().score(prefix)
        finally:
            self.meter.noted(begin)


@pytest.mark.parametrize("straggler", [0.0, 0.5], ids=["waits for all", "gives some up"])
def test_busy_time_of_an_engine_is_the_union_of_its_calls(straggler: float) -> None:
    policy, prm = MeteredPolicy(), MeteredPRM()
    policy.meter, prm.meter = Meter(), Meter()
    with ets.Search(
        policy=policy,
        prm=prm,
        strategy=ets.REBASE(width=8),
        max_step_tokens=12,
        straggler=straggler,
    ) as search:
        usage = search.solve("p").usage
    assert (usage.given_up > 0) == (straggler > 0)
    # Not equal: our clock starts before the engine's, and stops after it.
    for seconds, meter in ((usage.policy_seconds, policy.meter), (usage.prm_seconds, prm.meter)):
        assert 0 < meter.union() <= seconds <= usage.seconds
    assert usage.policy_seconds < sum(until - begin for begin, until in policy.meter.calls)
    assert usage.to_dict()["policy_seconds"] == usage.policy_seconds


def test_busy_time_by_a_clock_of_our_own() -> None:
    now = 0.0
    busy = BusyTime(lambda: now)
    with busy:  # 0 to 5, two side by side from 2 to 3
        now = 2.0
        with busy:
            now = 3.0
        assert busy.seconds == 3.0
        now = 5.0
    now = 10.0
    assert busy.seconds == 5.0
    with contextlib.suppress(RuntimeError), busy:
        now = 11.5
        raise RuntimeError("an engine failed")
    now = 20.0
    assert busy.seconds == 6.5
