"""Streams of a search: what is told when, who may end them, and the sources that `map` reads."""

from __future__ import annotations

import asyncio
import gc
import queue
import threading
from collections.abc import Iterator
from typing import Any

import pytest

import ets
from ets.step import Prefix, Step
from scripted_engines import ScriptedPolicy
from scripted_search import PROBLEMS, Stuck, search, until

# -- streams and maps ------------------------------------------------------------------------------


def test_what_is_decided_is_told_before_its_samples_are_back() -> None:
    policy = Stuck()
    with search(policy=policy) as s:
        events = s.stream("p")
        first = [next(events), next(events)]
        assert [event.kind for event in first] == ["pruned", "expanded"]
        until(lambda: policy.running == 8)
        assert events.tree is not None
        assert events.tree.events == first
        events.close()
        assert policy.running == 0
        assert list(events) == []


def test_a_stream_is_closed_from_another_thread() -> None:
    policy = Stuck()
    with search(policy=policy) as s:
        events = s.stream("p")
        read: list[Any] = []
        reader = threading.Thread(target=lambda: read.extend(events), daemon=True)
        reader.start()
        until(lambda: policy.running == 8 and len(read) == 2)
        events.close()
        reader.join(30)
        assert not reader.is_alive()
        assert len(read) == 2
        assert policy.running == 0


def test_a_cancelled_reader_is_cancelled_and_may_close() -> None:
    policy = Stuck()

    async def main() -> None:
        async with search(policy=policy) as s:
            events = s.stream("p")

            async def use() -> None:
                try:
                    async for _ in events:
                        pass
                finally:
                    await events.aclose()

            task = asyncio.create_task(use())
            await asyncio.to_thread(until, lambda: policy.running == 8)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert policy.running == 0
            async with s.stream("q") as other:
                assert (await anext(other)).kind == "pruned"

    asyncio.run(main())


def test_a_source_may_wait_for_a_result() -> None:
    told: queue.Queue[str] = queue.Queue()

    def source() -> Iterator[str]:
        yield "first"
        yield "after " + told.get(timeout=60)

    seen = []
    with search() as s:
        for result in s.map(source(), concurrency=8):
            seen.append(result.problem)
            told.put(str(result.problem))
    assert seen == ["first", "after first"]


def test_an_error_of_the_source_comes_behind_the_results() -> None:
    def source() -> Iterator[str]:
        yield from PROBLEMS[:3]
        raise OSError("the file ended")

    got: list[object] = []
    with search() as s, pytest.raises(OSError, match="the file ended"):
        got.extend(result.problem for result in s.map(source(), concurrency=8))
    assert got == PROBLEMS[:3]


@pytest.mark.parametrize(
    ("error", "message"),
    [(SystemExit(3), "source raised SystemExit: 3"), (KeyboardInterrupt(), "KeyboardInterrupt")],
)
def test_a_source_that_raises_no_exception(error: BaseException, message: str) -> None:
    def source() -> Iterator[str]:
        yield "p"
        raise error

    with search() as s:
        results = s.map(source())
        assert next(results).problem == "p"
        with pytest.raises(ets.EngineError, match=message):
            next(results)
        assert s.solve("p").answer is not None


def test_a_source_is_read_in_one_thread() -> None:
    threads = set()

    def source() -> Iterator[str]:
        for problem in PROBLEMS:
            threads.add(threading.get_ident())
            yield problem

    with search() as s:
        list(s.map(source(), concurrency=3))
    assert len(threads) == 1


@pytest.mark.parametrize("wrong", [None, 3, b"p", "lone \udc80"])
def test_a_problem_that_is_no_text_is_named(wrong: Any) -> None:
    with search() as s:
        with pytest.raises(ets.InputError, match="problem must be a text"):
            s.solve(wrong)
        results = s.map(["p", wrong, "q"], concurrency=1)
        assert next(results).problem == "p"
        with pytest.raises(ets.InputError, match=r"problems\[1\] must be a text"):
            next(results)


def test_failures_that_nobody_reads_are_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    class Down(ScriptedPolicy):
        async def sample(self, prefix: Prefix, *, seed: int, max_tokens: int) -> Step:
            raise ets.EngineError("the engine is down")

    with search(policy=Down()) as s, pytest.raises(ets.EngineError, match="is down"):
        list(s.map(PROBLEMS))
    gc.collect()
    assert caplog.records == []
