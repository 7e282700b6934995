"""Many problems side by side, a few at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from typing import Any, Generic, TypeVar

from ets.loop.call import cancel
from ets.loop.engine_call import EngineCall
from ets.loop.workers import Threads

T = TypeVar("T")
P = TypeVar("P")


async def in_flight(
    problems: Iterator[P],
    solve: Callable[[int, P], Coroutine[Any, Any, T]],
    limit: Callable[[], int],
    *,
    ordered: bool,
) -> AsyncGenerator[T, None]:
    """The results of `solve(index, problem)` for all problems, at most `limit()` of them at once.

    `limit` is asked whenever a problem could start. With `ordered` they come in the order of the
    problems, of which at most four times `limit()` are ahead of the first that is not done.

    A result is handed out as soon as it is there, however long the next problem takes to come. What
    `problems` raises is raised behind the results of the problems before it.
    """
    # Each is told of as it ends: to wait for all of them costs in proportion to their number.
    over: asyncio.Queue[asyncio.Task[Any]] = asyncio.Queue()
    source = _Source(problems, over.put_nowait)
    running: dict[asyncio.Task[T], int] = {}
    ready: dict[int, asyncio.Task[T]] = {}  # in the order of completion
    started = shown = 0

    def room() -> bool:
        return len(running) < limit() and started - shown < 4 * limit()

    try:
        while True:
            if room():
                source.read()  # meanwhile whoever takes the results may be slow
            while (key := shown if ordered else next(iter(ready), -1)) in ready:
                shown += 1
                yield ready.pop(key).result()
            if room():
                source.read()  # what was handed out has made room
            if not running and not source.reading:
                source.raise_failure()
                return
            done = [await over.get()]
            while not over.empty():
                done.append(over.get_nowait())
            for problem in source.taken():
                task = asyncio.create_task(solve(started, problem))
                task.add_done_callback(over.put_nowait)
                running[task] = started
                started += 1
            ready.update((task, running.pop(task))[::-1] for task in done if task in running)
    finally:
        source.close()
        await cancel([*running, *ready.values(), *source.reading])


class _Source(Generic[T]):
    """The problems, read one at a time, in one thread of their own: reading may block, and what is
    bound to a thread, as a database is, is always advanced on the same one."""

    def __init__(self, problems: Iterator[T], on_end: Callable[[asyncio.Task[Any]], None]) -> None:
        self._problems = problems
        self._on_end = on_end
        self._threads = Threads("ets-problems", 1)
        self._over = False
        self._failure: Exception | None = None
        self.reading: set[asyncio.Task[list[T]]] = set()
        """The one that is on its way, if any."""

    def read(self) -> None:
        """Begin to read the next problem, unless one is on its way or there are no more."""
        if not self._over and not self.reading:
            task = asyncio.create_task(self._read())
            task.add_done_callback(self._on_end)
            self.reading.add(task)

    def taken(self) -> list[T]:
        """The problem that has come since, if one has."""
        for task in [task for task in self.reading if task.done()]:
            self.reading.discard(task)
            try:
                problems = task.result()
            except Exception as error:  # noqa: BLE001 - whatever it is, `raise_failure` raises it
                self._over, self._failure = True, error
                return []
            self._over = not problems
            return problems
        return []

    def raise_failure(self) -> None:
        """Raise what reading has raised."""
        if self._failure is not None:
            raise self._failure

    def close(self) -> None:
        """Read no more; a problem that is being read is not waited for."""
        self._threads.close()

    async def _read(self) -> list[T]:
        with EngineCall(self._problems):
            return await self._threads.run(self._next)

    def _next(self) -> list[T]:
        for problem in self._problems:
            return [problem]
        return []
