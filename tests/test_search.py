"""`ets.Search` over scripted engines: order, laziness, determinism, failures, cancellation."""

from __future__ import annotations

import asyncio
import itertools
import math
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import ets
from ets.rollout.result import Answered
from ets.step import Prefix, Score, Step
from ets.tree.events import Ended, Expanded, Finished, Pruned, Scored
from scripted_engines import ScriptedPolicy, ScriptedPRM
from scripted_search import PROBLEMS, Stuck, outcome, search, until

STRATEGIES = [
    ets.ETS(width=8),
    ets.ETS(width=8, lambda_d=0.0),
    ets.REBASE(width=8),
    ets.BeamSearch(width=8),
    ets.DVTS(width=8),
    ets.ParticleFilter(width=8),
    ets.DORA(width=8),
    ets.BestOfN(width=8),
]


@pytest.mark.parametrize("strategy", STRATEGIES, ids=repr)
def test_same_seed_same_search_whatever_the_concurrency(strategy: Any) -> None:
    with search(strategy, seed=3) as one:
        alone = [outcome(one.solve(problem)) for problem in PROBLEMS]
    for concurrency in (1, 4, 32):
        with search(strategy, seed=3) as many:
            mapped = [outcome(r) for r in many.map(PROBLEMS, concurrency=concurrency)]
        assert mapped == alone
    with search(strategy, seed=4) as other:
        assert outcome(other.solve(PROBLEMS[0])) != alone[0]


@pytest.mark.parametrize("strategy", STRATEGIES, ids=repr)
def test_result_adds_up(strategy: Any) -> None:
    with search(strategy) as s:
        result = s.solve("p")
    nodes = result.tree.nodes
    assert result.usage.policy_calls == result.usage.prm_calls == len(nodes) - 1
    assert result.usage.policy_tokens == sum(nodes.tokens[1:])
    assert result.usage.policy_cached_tokens == 2 * (len(nodes) - 1)
    assert len(result.trajectories) >= 8
    assert sum(vote.count for vote in result.votes) == sum(
        t.answer is not None for t in result.trajectories
    )
    assert result.answer == result.votes[0].answer
    assert 0 < result.score <= 1
    assert result.kv[0].kv_before == 5
    assert result.kv.after.sum <= result.kv.before.sum
    for solution in result.trajectories:
        assert solution.text.endswith(f"The answer is {solution.answer}.") == solution.finished
    assert result.to_dict()["answer"] == result.answer


def test_map_keeps_the_order_and_reads_no_further_ahead_than_it_may() -> None:
    """While the first problem is held, as many behind it are done as may be, and no more read."""
    taken: list[int] = []
    go_on = threading.Event()

    class HoldsTheFirst(ScriptedPolicy):
        async def sample(self, prefix: Prefix, *, seed: int, max_tokens: int) -> Step:
            while prefix.problem == "problem 0" and not go_on.is_set():
                await asyncio.sleep(0.005)
            return await super().sample(prefix, seed=seed, max_tokens=max_tokens)

    def endless() -> Iterator[str]:
        for i in itertools.count():
            taken.append(i)
            yield f"problem {i}"

    policy = HoldsTheFirst()
    with (
        search(policy=policy) as s,
        ThreadPoolExecutor(1) as pool,
        s.map(endless(), concurrency=3) as results,
    ):
        reading = pool.submit(lambda: [next(results).problem for _ in range(5)])
        until(lambda: len(policy.started) == 4 * 3 and policy.running == 0)
        time.sleep(0.1)  # for one that would read on, and on
        assert taken == list(range(4 * 3))
        go_on.set()
        assert reading.result(30) == [f"problem {i}" for i in range(5)]
    assert policy.running == 0


def test_map_as_completed_yields_each_once() -> None:
    with search() as s:
        got = [r.problem for r in s.map(PROBLEMS, concurrency=5, ordered=False)]
    assert sorted(got) == sorted(PROBLEMS)


def test_map_of_nothing() -> None:
    with search() as s:
        assert list(s.map([])) == []


def test_as_many_problems_are_in_flight_as_may_be_and_no_more() -> None:
    policy = Stuck()
    s = search(policy=policy)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(next, s.map(PROBLEMS, concurrency=6))
        until(lambda: policy.running == 6 * 8)
        time.sleep(0.1)  # for one that would begin more
        assert policy.started == PROBLEMS[:6]
        s.close()
        with pytest.raises(ets.EngineError, match="closed during a call"):
            waiting.result(30)


def test_stream_tells_the_whole_story() -> None:
    with search(ets.ETS(width=8)) as s:
        events = list(s.stream("p"))
    last = events[-1]
    assert isinstance(last, Answered)
    assert events[:-1] == last.result.tree.events
    kinds = [type(event) for event in events[:-1]]
    assert kinds[:3] == [Pruned, Expanded, Scored]
    assert kinds[-1] is Ended
    assert kinds.count(Finished) == len(last.result.trajectories)


def test_async_callers_on_a_loop_of_their_own() -> None:
    async def run() -> tuple[ets.SearchResult, list[Any], list[Any]]:
        with search() as s:
            solved = await s.asolve("p")
            events = [event async for event in s.stream("p")]
            mapped = [r.problem async for r in s.map(PROBLEMS[:3])]
        return solved, events, mapped

    solved, events, mapped = asyncio.run(run())
    assert isinstance(events[-1], Answered)
    assert outcome(events[-1].result) == outcome(solved)
    assert mapped == PROBLEMS[:3]


def test_leaving_a_stream_early_cancels_its_samples() -> None:
    policy = Stuck("p")
    with search(policy=policy) as s:
        stream = s.stream("p")
        next(stream)
        until(lambda: policy.running == 8)
        stream.close()
        assert policy.running == 0
        assert s.solve("q").answer is not None


def test_close_cancels_what_runs() -> None:
    policy = Stuck()
    s = search(policy=policy)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(s.solve, "p")
        until(lambda: policy.running == 8)
        s.close()
        with pytest.raises(RuntimeError, match="the search was closed during a call"):
            waiting.result(20)
    assert policy.running == 0
    s.close()  # a second time does nothing
    with pytest.raises(RuntimeError, match="the search is closed"):
        s.solve("p")


def _read_stream(s: ets.Search) -> None:
    with s.stream("p") as events:
        list(events)


WAITS: dict[str, Callable[[ets.Search], object]] = {
    "solve": lambda s: s.solve("p"),
    "stream": _read_stream,
}


@pytest.mark.parametrize("call", WAITS)
def test_an_interrupt_cancels_and_then_cleans_up(call: str) -> None:
    policy = Stuck()

    def interrupt() -> None:
        until(lambda: policy.running == 8)
        os.kill(os.getpid(), signal.SIGINT)

    with search(policy=policy) as s:
        threading.Thread(target=interrupt).start()
        with pytest.raises(KeyboardInterrupt):
            WAITS[call](s)
        assert policy.running == 0


def test_objects_passed_in_stay_their_owners() -> None:
    policy, prm = ScriptedPolicy(), ScriptedPRM()
    with search(policy=policy, prm=prm) as s:
        s.solve("p")
    assert (policy.closed, prm.closed) == (0, 0)


def test_a_plain_function_is_a_prm() -> None:
    seen: list[list[str]] = []

    def judge(problem: str, steps: list[str]) -> float:
        assert problem == "p"
        seen.append(steps)
        return 0.25

    with search(prm=judge) as s:
        result = s.solve("p")
    assert set(result.tree.nodes.reward[1:]) == {0.25}
    assert all(step == step.strip() for steps in seen for step in steps)


@pytest.mark.parametrize("reward", [math.nan, math.inf, -0.1, 1.1])
def test_a_reward_outside_0_1_is_an_error_that_names_the_prm(reward: float) -> None:
    with (
        search(prm=lambda problem, steps: reward) as s,
        pytest.raises(ets.EngineError, match=r"FunctionPRM gave the reward .*\[0, 1\]"),
    ):
        s.solve("p")


def test_rounding_noise_at_the_ends_is_not_an_error() -> None:
    with search(prm=lambda problem, steps: 1 + 1e-9) as s:
        assert set(s.solve("p").tree.nodes.reward) == {1.0}


def test_a_failing_engine_ends_its_problem_and_leaves_no_sample_running() -> None:
    class Failing(ScriptedPRM):
        async def score(self, prefix: Prefix) -> Score:
            if prefix.problem == "problem 3":
                raise ets.EngineError("the PRM died")
            return await super().score(prefix)

    policy = ScriptedPolicy()
    with search(policy=policy, prm=Failing()) as s:
        got: list[object] = []
        results = s.map(PROBLEMS, concurrency=4)
        with pytest.raises(ets.EngineError, match="the PRM died"):
            got.extend(result.problem for result in results)
        assert got == PROBLEMS[:3]  # in its place: nothing before it is lost
        assert policy.running == 0
        assert s.solve("p").answer is not None  # the search itself goes on


def test_no_answer_is_none_not_an_error() -> None:
    class Endless(ScriptedPolicy):
        async def sample(self, prefix: Prefix, *, seed: int, max_tokens: int) -> Step:
            return Step("and 7 more\n\n", (1, 2), "step")

    with search(policy=Endless(), max_depth=3) as s:
        result = s.solve("p")
    assert (result.answer, result.score, result.votes) == (None, 0.0, [])
    assert all(not t.finished and t.answer is None for t in result.trajectories)


def test_an_answer_pattern_says_what_the_answer_is() -> None:
    with search(answer_pattern=r"answer (is)") as s:
        assert s.solve("p").answer == "is"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"policy": "gpt"}, "openai:MODEL@URL or chat:MODEL@URL, got 'gpt'"),
        ({"prm": "vllm:"}, "prm must have a path or a name behind its colon, got 'vllm:'"),
        ({"prm": 3}, "prm must be a name, a function .* got 3"),
        ({"policy": object()}, "policy must be a name or an object with start, sample and aclose"),
        ({"max_depth": 0}, "max_depth must be at least 1, got 0"),
        ({"vote": "most"}, "vote must be one of .*, got 'most'"),
        ({"score": "max"}, "score must be one of .*, got 'max'"),
        ({"policy_options": {"temperature": 2}}, "policy_options go with a policy given by name"),
    ],
)
def test_wrong_arguments(options: dict[str, Any], message: str) -> None:
    given = {"policy": ScriptedPolicy(), "prm": ScriptedPRM(), "strategy": ets.REBASE(width=2)}
    with pytest.raises(ValueError, match=message):
        ets.Search(**{**given, **options})


def test_wrong_calls() -> None:
    with search() as s:
        with pytest.raises(
            ets.InputError, match="concurrency must be at least 1, or 'auto', got 0"
        ):
            s.map(PROBLEMS, concurrency=0)
        with pytest.raises(ets.InputError, match="got one string"):
            s.map("problem")
