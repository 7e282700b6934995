"""Many problems side by side, a few at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from typing import Any, Generic, TypeVar

from ets.loop.call import cancel
from ets.loop.engine_call import EngineCall
from ets.loop.workers import Threads

T = TypeVar("T")


async def in_flight(
    problems: Iterator[str],
    solve: Callable[[int, str], Coroutine[Any, Any, T]],
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
    source = _Source(problems)
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
            waits: set[asyncio.Task[Any]] = {*running, *source.reading}
            if not waits:
                source.raise_failure()
                return
            done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for problem in source.taken():
                running[asyncio.create_task(solve(started, problem))] = started
                started += 1
            ready.update((task, running.pop(task))[::-1] for task in done if task in running)
    finally:
        source.close()
        await cancel([*running, *ready.values(), *source.reading])


class _Source(Generic[T]):
    """The problems, read one at a time, in one thread of their own: reading may block, and what is
    bound to a thread, as a database is, is always advanced on the same one."""

    def __init__(self, problems: Iterator[T]) -> None:
        self._problems = problems
        self._threads = Threads("ets-problems", 1)
        self._over = False
        self._failure: Exception | None = None
        self.reading: set[asyncio.Task[list[T]]] = set()
        """The one that is on its way, if any."""

    def read(self) -> None:
        """Begin to read the next problem, unless one is on its way or there are no more."""
        if not self._over and not self.reading:
            self.reading.add(asyncio.create_task(self._read()))

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
