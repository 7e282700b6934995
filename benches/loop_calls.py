"""What a call from one event loop to another costs: `LoopThread.call` beside asyncio's own way.

    python benches/loop_calls.py

Several threads with a loop each make many calls at once to one other loop, as searches do to an
engine; once with nothing else running, once beside a thread that computes, as an engine's front
end does. asyncio's own way is `run_coroutine_threadsafe`, which wakes a loop for every call.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from ets.loop.thread import LoopThread

Call = Callable[[LoopThread], Awaitable[int]]


async def answer() -> int:
    """The shortest of all requests."""
    await asyncio.sleep(0)
    return 1


async def ours(loop: LoopThread) -> int:
    """Many calls to a wake-up."""
    return await loop.call(answer)


async def asyncios(loop: LoopThread) -> int:
    """A wake-up for every call, and one for every answer."""
    return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(answer(), loop._loop))


@contextmanager
def computing() -> Iterator[None]:
    """A thread that holds the GIL whenever it can."""
    over = False

    def compute() -> None:
        while not over:
            sum(range(1000))

    thread = threading.Thread(target=compute)
    thread.start()
    try:
        yield
    finally:
        over = True
        thread.join()


def microseconds(call: Call, *, threads: int, calls: int) -> float:
    """Wall time for each call."""
    loop = LoopThread("engine")

    async def many() -> None:
        await asyncio.gather(*(call(loop) for _ in range(calls)))

    callers = [threading.Thread(target=lambda: asyncio.run(many())) for _ in range(threads)]
    begin = time.perf_counter()
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    seconds = time.perf_counter() - begin
    loop.close()
    return 1e6 * seconds / (threads * calls)


def main() -> None:
    """Measure both in turn, print the medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--calls", type=int, default=800, help="at once, of each thread")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()

    def measure() -> tuple[float, float]:
        rounds = [
            [
                microseconds(call, threads=options.threads, calls=options.calls)
                for call in (asyncios, ours)
            ]
            for _ in range(options.rounds)
        ]
        first, second = (statistics.median(times) for times in zip(*rounds, strict=True))
        return first, second

    print("| beside | asyncio's own, us a call | LoopThread.call, us a call | ratio |")
    print("| --- " * 4 + "|")
    quiet = measure()
    with computing():
        busy = measure()
    for beside, (theirs, mine) in (("nothing", quiet), ("a thread that computes", busy)):
        print(f"| {beside} | {theirs:.0f} | {mine:.0f} | {theirs / mine:.1f} |")


if __name__ == "__main__":
    main()
