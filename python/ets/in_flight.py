"""Many problems side by side, a few at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from typing import Any, TypeVar

from ets.arrivals import cancel

T = TypeVar("T")


async def in_flight(
    problems: Iterator[str],
    solve: Callable[[str], Coroutine[Any, Any, T]],
    limit: Callable[[], int],
    *,
    ordered: bool,
) -> AsyncGenerator[T, None]:
    """The results of `solve` for all problems, at most `limit()` of them at once.

    `limit` is asked whenever a problem could start. With `ordered` they come in the order of the
    problems, of which at most four times `limit()` are ahead of the first that is not done.
    """
    running: dict[asyncio.Task[T], int] = {}
    ready: dict[int, asyncio.Task[T]] = {}  # in the order of completion
    started = shown = 0
    more = True
    try:
        while True:
            while more and len(running) < limit() and started - shown < 4 * limit():
                problem = await asyncio.to_thread(next, problems, None)  # it may block
                if problem is None:
                    more = False
                else:
                    running[asyncio.create_task(solve(problem))] = started
                    started += 1
            while (key := shown if ordered else next(iter(ready), -1)) in ready:
                shown += 1
                yield ready.pop(key).result()
            if running:
                done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                ready.update((running.pop(task), task) for task in done)
            elif not more:
                return
    finally:
        await cancel(running)
