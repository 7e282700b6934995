"""Coroutines handed from one event loop to another."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from ets.loop.call import LoopClosedError
from ets.loop.thread import LoopThread


@pytest.fixture
def loop() -> Iterator[LoopThread]:
    thread = LoopThread("test-loop")
    yield thread
    thread.close()


async def name_after(seconds: float) -> str:
    await asyncio.sleep(seconds)
    return threading.current_thread().name


def test_a_call_runs_on_the_loop_and_many_overlap(loop: LoopThread) -> None:
    async def many() -> list[str]:
        return await asyncio.gather(*(loop.call(name_after, 0.2) for _ in range(50)))

    # One after the other they would take 10 s.
    names = asyncio.run(asyncio.wait_for(many(), 5))
    assert names == ["test-loop"] * 50


def test_a_call_from_the_loop_itself_is_a_plain_await(loop: LoopThread) -> None:
    assert loop.run(loop.call, name_after, 0) == "test-loop"


def test_errors_come_through(loop: LoopThread) -> None:
    async def fail() -> None:
        raise ValueError("as told")

    async def call() -> None:
        await loop.call(fail)

    with pytest.raises(ValueError, match="as told"):
        asyncio.run(call())


def test_a_cancelled_call_has_ended_when_its_caller_goes_on(loop: LoopThread) -> None:
    events: list[str] = []

    async def slow_to_end() -> None:
        events.append("begun")
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.05)
            events.append("ended")

    async def cancel() -> None:
        task = asyncio.create_task(loop.call(slow_to_end))
        while not events:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        events.append("caller")

    asyncio.run(cancel())
    assert events == ["begun", "ended", "caller"]


def test_a_loop_that_closes_answers_its_callers(loop: LoopThread) -> None:
    async def call() -> None:
        task = asyncio.create_task(loop.call(name_after, 60))
        await asyncio.sleep(0.05)
        await asyncio.to_thread(loop.close)
        with pytest.raises(LoopClosedError, match="'test-loop' was closed during a call"):
            await task
        with pytest.raises(LoopClosedError, match="'test-loop' is closed"):
            await loop.call(name_after, 0)

    asyncio.run(call())


def test_a_caller_whose_loop_has_gone_harms_nobody(loop: LoopThread) -> None:
    begun = threading.Event()

    async def outlive() -> None:
        begun.set()
        await asyncio.sleep(0.2)

    gone = asyncio.new_event_loop()
    task = gone.create_task(loop.call(outlive))
    gone.run_until_complete(asyncio.sleep(0.05))
    assert begun.wait(5)
    # Or asyncio prints that the task was left, which is the point here.
    task._log_destroy_pending = False  # type: ignore[attr-defined]
    gone.close()
    assert loop.run(name_after, 0.3) == "test-loop"


@pytest.mark.parametrize("wait", [0.0, 0.002, 0.02])
def test_calls_that_come_while_the_loop_closes_are_answered(wait: float) -> None:
    thread = LoopThread("closing")
    results: list[str] = []

    async def call_for_ever() -> None:
        while True:
            await asyncio.wait_for(thread.call(name_after, 0), 10)

    async def callers() -> None:
        ends = await asyncio.gather(*(call_for_ever() for _ in range(20)), return_exceptions=True)
        assert {type(end) for end in ends} == {LoopClosedError}
        results.extend(str(end) for end in ends)

    threads = [threading.Thread(target=asyncio.run, args=(callers(),)) for _ in range(4)]
    for each in threads:
        each.start()
    threading.Event().wait(wait)
    thread.close()
    for each in threads:
        each.join(30)
    assert len(results) == 80
    assert {"was closed during a call" in r or r.endswith("is closed") for r in results} == {True}


def test_a_call_that_is_cancelled_at_once_leaves_nothing(loop: LoopThread) -> None:
    async def cancel() -> None:
        tasks = [asyncio.create_task(loop.call(name_after, 60)) for _ in range(100)]
        await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        done = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(error, asyncio.CancelledError) for error in done)

    asyncio.run(asyncio.wait_for(cancel(), 10))

    async def still_running() -> int:
        return len(asyncio.all_tasks()) - 1

    assert loop.run(still_running) == 0
