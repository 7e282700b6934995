"""Engines that raise what is no `Exception`, call the search that they serve, or never return."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import Any

import pytest

import ets
from ets.step import Prefix, Score, Step
from scripted_engines import ScriptedEmbedder, ScriptedPolicy, ScriptedPRM
from scripted_search import PROBLEMS, outcome, search

# -- engines that break the rules ------------------------------------------------------------------

ODD = [
    SystemExit(3),
    KeyboardInterrupt(),
    GeneratorExit(),
    StopIteration(3),
    StopAsyncIteration(3),
    BaseException("odd"),
    asyncio.CancelledError(),
]


AWAITED = ("policy", "prm", "embedder")


@pytest.mark.parametrize(
    ("where", "error"),
    [(where, error) for where in AWAITED for error in ODD]
    + [(where, error) for where in ("start", "function", "strategy") for error in ODD[:-1]],
    ids=repr,
)
def test_what_is_no_exception_becomes_an_error_of_the_engine(
    where: str, error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise error

    async def afail(*_: Any, **__: Any) -> Any:
        raise error

    policy, prm, embedder = ScriptedPolicy(), ScriptedPRM(), ScriptedEmbedder()
    strategy = _Failing(fail) if where == "strategy" else ets.ETS(width=4)
    if where == "start":
        monkeypatch.setattr(policy, "start", fail)
    elif where == "policy":
        monkeypatch.setattr(policy, "sample", afail)
    elif where == "prm":
        monkeypatch.setattr(prm, "score", afail)
    elif where == "embedder":
        monkeypatch.setattr(embedder, "embed", afail)
    judge = fail if where == "function" else prm
    told = pytest.raises(ets.EngineError, match=rf"raised {type(error).__name__}")
    with search(strategy, policy=policy, prm=judge, embedder=embedder) as s, told:
        s.solve("p")


class _Failing:
    width = 4
    needs_embeddings = False

    def __init__(self, decide: Callable[..., Any]) -> None:
        self.decide = decide


def test_an_engine_that_calls_its_own_search_is_told() -> None:
    def judge(problem: str, steps: list[str]) -> float:
        return s.solve("another").score

    class Judge(ScriptedPRM):
        async def score(self, prefix: Prefix) -> Score:
            return Score((await s.asolve("another")).score)

    for prm in (judge, Judge()):
        with search(prm=prm) as s, pytest.raises(ets.EngineError, match="called the search"):
            s.solve("p")


def test_an_engine_may_use_another_search() -> None:
    with search() as inner:

        def judge(problem: str, steps: list[str]) -> float:
            return inner.solve(steps[-1]).score

        with search(ets.REBASE(width=2), prm=judge) as outer:
            assert outer.solve("p").trajectories


def test_a_sample_that_swallows_its_cancellation_is_an_error_of_the_engine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import ets.loop.call

    monkeypatch.setattr(ets.loop.call.cancel, "__defaults__", (0.2,))
    go_on = threading.Event()

    class Stubborn(ScriptedPolicy):
        async def sample(self, prefix: Prefix, *, seed: int, max_tokens: int) -> Step:
            while not go_on.is_set():
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.sleep(0.05)
            return Step("", (), "end")

    s = search(policy=Stubborn(), budget=ets.Budget(seconds=0.1))
    with pytest.raises(ets.EngineError, match="does not end when it is cancelled"):
        s.solve("p")
    s.close()
    assert not go_on.is_set()
    go_on.set()


def test_a_function_that_never_returns_holds_up_neither_answer_nor_close() -> None:
    go_on = threading.Event()

    def judge(problem: str, steps: list[str]) -> float:
        go_on.wait(100)
        return 0.5

    s = search(prm=judge, budget=ets.Budget(seconds=0.2))
    assert s.solve("p").end == "time_budget"
    s.close()
    assert not go_on.is_set()
    go_on.set()


# -- work beside the loop --------------------------------------------------------------------------


def test_functions_run_side_by_side_and_beside_decisions() -> None:
    """All 64 calls must be inside at once for any to return."""
    together = threading.Barrier(64, timeout=60)

    def judge(problem: str, steps: list[str]) -> float:
        together.wait()
        return 0.5

    with search(ets.BeamSearch(width=64, beam=8), prm=judge, max_depth=1) as s:
        assert len(s.solve("p").trajectories) == 64


def test_an_asynchronous_function_is_a_prm() -> None:
    async def judge(problem: str, steps: list[str]) -> float:
        await asyncio.sleep(0)
        return 0.25

    class Called:
        async def __call__(self, problem: str, steps: list[str]) -> float:
            return await judge(problem, steps)

    for function in (judge, Called()):
        with search(prm=function) as s:
            assert set(s.solve("p").tree.nodes.reward[1:]) == {0.25}


def test_two_searches_on_one_engine_share_its_cache_and_asolve_keeps_the_limit() -> None:
    from test_kv_share import CachedPolicy, auto

    policy = CachedPolicy(4 * 60)
    with auto(policy) as one, auto(policy) as other:

        async def main() -> list[Any]:
            return await asyncio.gather(
                *(s.asolve(problem) for problem in PROBLEMS for s in (one, other))
            )

        results = asyncio.run(main())
    assert policy.most_problems <= 2
    assert len(results) == 24
    with search(policy=ScriptedPolicy()) as plain:
        assert outcome(plain.solve("p"))
