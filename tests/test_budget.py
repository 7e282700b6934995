"""What ends a search early, and what it does not wait for."""

from __future__ import annotations

import asyncio
import gc
import itertools
import random
import time
import warnings
from functools import partial
from typing import Any

import pytest

import ets
from ets.rollout.arrivals import Arrivals
from ets.step import Prefix, Score, Step
from ets.tree.events import Expanded
from scripted_engines import ScriptedPolicy, ScriptedPRM
from scripted_search import PROBLEMS, outcome, search


class CountingPRM(ScriptedPRM):
    """Counts what it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    async def score(self, prefix: Prefix) -> Score:
        self.calls += 1
        return await super().score(prefix)


def sampled_in_order(result: ets.SearchResult) -> list[int]:
    return result.tree.nodes.tokens[1:]


# -- budgets ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("tokens", [1, 7, 40, 120, 200])
@pytest.mark.parametrize("strategy", [ets.ETS(width=8), ets.REBASE(width=8)], ids=repr)
def test_tokens_end_a_search_at_the_same_sample_on_every_run(strategy: Any, tokens: int) -> None:
    with search(strategy) as s:
        whole = s.solve("p")
    runs = []
    policy = ScriptedPolicy()
    for _ in range(3):
        with search(strategy, policy=policy, budget=ets.Budget(tokens=tokens)) as s:
            runs.append(s.solve("p"))
        assert policy.running == 0
    assert outcome(runs[0]) == outcome(runs[1]) == outcome(runs[2])
    result = runs[0]
    counted = sampled_in_order(result)
    assert result.end == "token_budget"
    assert sum(counted) >= tokens > sum(counted[:-1])
    assert counted == sampled_in_order(whole)[: len(counted)]
    assert result.usage.policy_tokens >= sum(counted)


@pytest.mark.parametrize("calls", [1, 8, 9, 20])
def test_prm_calls_are_never_exceeded(calls: int) -> None:
    prm = CountingPRM()
    with search(prm=prm, budget=ets.Budget(prm_calls=calls)) as s:
        result = s.solve("p")
    assert prm.calls == result.usage.prm_calls == calls == len(result.tree.nodes) - 1
    assert result.end == "prm_budget"
    assert result.usage.given_up == 0


def test_what_was_complete_still_votes() -> None:
    with search() as s:
        whole = s.solve("p")
    # One token less than all: the last trajectories are missing, the others are as they were.
    budget = ets.Budget(tokens=sum(sampled_in_order(whole)) - whole.tree.nodes.tokens[-1])
    with search(budget=budget) as s:
        result = s.solve("p")
    assert result.end == "token_budget"
    assert result.trajectories == whole.trajectories[: len(result.trajectories)]
    assert 0 < len(result.trajectories) < len(whole.trajectories)
    assert result.answer is not None


def test_a_budget_that_is_not_reached_changes_nothing() -> None:
    budget = ets.Budget(tokens=10**6, seconds=600.0, prm_calls=10**6)
    with search() as free, search(budget=budget) as bound:
        for problem in PROBLEMS[:4]:
            assert outcome(free.solve(problem)) == outcome(bound.solve(problem))


def test_seconds_end_a_search_in_the_middle_of_a_step() -> None:
    class Slow(ScriptedPolicy):
        async def sample(self, prefix: Prefix, *, seed: int, max_tokens: int) -> Step:
            if seed % 2 and prefix.steps:
                await asyncio.sleep(600)
            return await super().sample(prefix, seed=seed, max_tokens=max_tokens)

    policy = Slow()
    begin = time.perf_counter()
    with search(policy=policy, budget=ets.Budget(seconds=0.5)) as s:
        result = s.solve("p")
        assert time.perf_counter() - begin < 60
    assert result.end == "time_budget"
    assert policy.running == 0
    # What came back before the time was up is in the tree.
    assert len(result.tree.nodes.levels) == 3
    assert result.usage.given_up > 0
    assert result.usage.given_up + len(result.tree.nodes) - 1 == 8 + 8


class StartsSlowly(ScriptedPolicy):
    """Is there a second after it was made, as an engine on vLLM is minutes after."""

    def __init__(self) -> None:
        super().__init__(slow=False)
        self.begin = time.perf_counter()
        self.up: float | None = None

    async def ready(self) -> None:
        await asyncio.sleep(max(0.0, self.begin + 1 - time.perf_counter()))
        self.up = self.up or time.perf_counter()

    async def sample(self, prefix: Prefix, *, seed: int, max_tokens: int) -> Step:
        await self.ready()
        return await super().sample(prefix, seed=seed, max_tokens=max_tokens)


def test_the_start_of_an_engine_is_no_time_of_a_problem() -> None:
    policy = StartsSlowly()
    with search(ets.REBASE(width=4), policy=policy, budget=ets.Budget(seconds=600)) as s:
        result = s.solve("p")
        end = time.perf_counter()
    assert result.end == "width_used_up"
    assert policy.up is not None
    assert result.usage.seconds <= end - policy.up


def test_no_time_at_all_is_no_answer_and_no_hang() -> None:
    with search(budget=ets.Budget(seconds=1e-9)) as s:
        result = s.solve("p")
    assert (result.end, result.answer, len(result.tree.nodes)) == ("time_budget", None, 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tokens": 0}, "budget.tokens must be an integer from 1 .* got 0"),
        ({"tokens": 1.5}, "budget.tokens must be an integer .* got 1.5"),
        ({"prm_calls": True}, "budget.prm_calls must be an integer .* got True"),
        ({"seconds": 0}, "budget.seconds must be > 0, or None, got 0"),
        ({"seconds": float("nan")}, "budget.seconds must be > 0, or None, got nan"),
    ],
)
def test_wrong_budgets_name_field_and_value(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ets.InputError, match=message):
        ets.Budget(**options)


# -- stragglers ------------------------------------------------------------------------------------


class SomeAreStuck(ScriptedPolicy):
    """Of the first step's eight samples, those of some seeds never come back."""

    async def sample(self, prefix: Prefix, *, seed: int, max_tokens: int) -> Step:
        if seed % 3 == 0 and not prefix.steps:
            self.running += 1
            try:
                await asyncio.sleep(600)
            finally:
                self.running -= 1
        return await super().sample(prefix, seed=seed, max_tokens=max_tokens)


def test_a_step_closes_without_its_stragglers() -> None:
    policy = SomeAreStuck()
    with search(policy=policy, straggler=0.5) as s:
        result = s.solve("p")
        assert policy.running == 0
    nodes, asked = result.tree.nodes, _asked(result)
    assert 4 <= len(nodes.levels[1]) < 8
    assert result.usage.given_up >= 8 - len(nodes.levels[1])
    assert result.usage.given_up + len(nodes) - 1 == sum(nodes.requested)
    for level, wanted in zip(nodes.levels[1:], asked, strict=True):
        assert len(level) >= 0.5 * wanted
    assert result.answer is not None


def _asked(result: ets.SearchResult) -> list[int]:
    return [sum(event.counts) for event in result.tree.events if isinstance(event, Expanded)]


def test_waiting_for_all_is_the_default() -> None:
    with search() as s:
        result = s.solve("p")
    assert result.usage.given_up == 0
    assert [len(level) for level in result.tree.nodes.levels[1:]] == _asked(result)


@pytest.mark.parametrize("straggler", [-0.1, 1.0, float("nan"), "0.1"])
def test_a_straggler_outside_0_1_is_refused(straggler: Any) -> None:
    with pytest.raises(ets.InputError, match=r"straggler must be .*in \[0, 1\)"):
        search(straggler=straggler)


# -- the order of requests -------------------------------------------------------------------------


def test_the_order_of_requests_changes_no_result() -> None:
    for strategy in (ets.ETS(width=8), ets.REBASE(width=8)):
        with (
            search(strategy, request_order="tree") as tree,
            search(strategy, request_order="best_first") as best,
        ):
            for problem in PROBLEMS[:4]:
                assert outcome(tree.solve(problem)) == outcome(best.solve(problem))


def test_cousins_are_requested_together() -> None:
    class Recording(ScriptedPolicy):
        def __init__(self) -> None:
            super().__init__(slow=False)
            self.asked: list[tuple[int, ...]] = []

        async def sample(self, prefix: Prefix, *, seed: int, max_tokens: int) -> Step:
            self.asked.append(prefix.token_ids)
            return await super().sample(prefix, seed=seed, max_tokens=max_tokens)

    def changes(order: Any) -> int:
        """How often two requests in a row of depth 3 or more have grandparents that differ."""
        policy = Recording()
        with search(ets.REBASE(width=32), policy=policy, request_order=order) as s:
            s.solve("p")
        depths = [ids for ids in policy.asked if len(ids) > 17]
        return sum(a[:6] != b[:6] for a, b in itertools.pairwise(depths))

    assert changes("tree") < changes("best_first")


# -- arrivals --------------------------------------------------------------------------------------


def test_arrivals_in_any_order_end_at_the_same_place() -> None:
    """Against a slow oracle: the first position at which the running sum reaches the limit."""

    async def one(seed: int) -> None:
        draw = random.Random(seed)
        n = draw.randrange(1, 12)
        values = [draw.randrange(5) for _ in range(n)]
        limit = draw.randrange(1, 2 * n + 2)
        spent = 0

        def spend(value: int) -> bool:
            nonlocal spent
            spent += value
            return spent >= limit

        async def sample(value: int) -> int:
            for _ in range(draw.randrange(4)):
                await asyncio.sleep(0)
            return value

        order = draw.sample(range(n), n)
        arrivals = Arrivals([partial(sample, v) for v in values], order, enough=n, spend=spend)
        got = await arrivals.wait()
        ends = [k for k in range(n) if sum(values[: k + 1]) >= limit]
        expected = values[: ends[0] + 1] if ends else values
        assert list(got.items()) == list(enumerate(expected))

    async def main() -> None:
        for seed in range(300):
            await one(seed)

    asyncio.run(main())


def test_the_first_failure_is_raised_and_the_rest_is_cancelled() -> None:
    running = 0

    async def endless() -> int:
        nonlocal running
        running += 1
        try:
            await asyncio.sleep(600)
        finally:
            running -= 1
        return 1

    async def fails() -> int:
        await asyncio.sleep(0.01)
        raise ets.EngineError("the engine died")

    async def main() -> None:
        arrivals = Arrivals([endless, fails, endless], range(3), enough=3, spend=lambda _: False)
        with pytest.raises(ets.EngineError, match="the engine died"):
            await arrivals.wait()

    asyncio.run(main())
    assert running == 0


def test_a_sample_that_the_engine_cancels_is_an_error_not_a_hang() -> None:
    async def cancelled() -> int:
        raise asyncio.CancelledError

    async def main() -> None:
        arrivals = Arrivals([cancelled], range(1), enough=1, spend=lambda _: False)
        with pytest.raises(ets.EngineError, match="raised CancelledError by itself"):
            await asyncio.wait_for(arrivals.wait(), timeout=20)

    asyncio.run(main())


def test_samples_cancelled_before_they_begin_leave_no_warning() -> None:
    async def endless() -> int:
        await asyncio.sleep(600)
        return 1

    async def main() -> None:
        arrivals = Arrivals([endless] * 4, range(4), enough=4, spend=lambda _: False)
        for task in arrivals._tasks:
            task.cancel()
        assert await arrivals.wait(0.01) == {}

    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        asyncio.run(main())
        gc.collect()
    assert [str(warning.message) for warning in seen] == []
