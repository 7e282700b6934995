"""A call on its way to an event loop in another thread, and its outcome on the way back."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Generic, TypeVar

from ets.errors import EngineError
from ets.loop.engine_call import described, passes

T = TypeVar("T")
GRACE = 10.0
"""Seconds that cancelled tasks are given to end."""


class LoopClosedError(EngineError):
    """The loop on which a call was to run is closed, or was closed while the call ran."""


class LoopCall(Generic[T]):
    """A call on its way to a loop, and its outcome on the way back.

    `make` is called there, so that no coroutine is left where its caller is interrupted.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        make: Callable[[], Awaitable[T]],
        on_end: Callable[[], None],
        others: set[LoopCall[Any]],
        owner: str,
    ) -> None:
        self._loop = loop
        self._make = make
        self._on_end = on_end
        self._others = others
        self._owner = owner
        self._context = contextvars.copy_context()
        self._task: asyncio.Task[T] | None = None
        self._failure: Exception | None = None
        self._over = False

    def start(self) -> None:
        """Begin, in the caller's context; on the loop."""
        if self._over:
            return
        self._task = self._context.run(self._loop.create_task, _awaited(self._make))
        self._task.add_done_callback(self._ended)

    def cancel(self) -> None:
        """End it early, or never begin; on the loop."""
        if self._task is not None:
            self._task.cancel()
        elif not self._over:
            self._answer()

    def fail(self, error: Exception) -> None:
        """Answer the caller with an error, whatever becomes of the task."""
        if not self._over:
            self._failure = error
            self._answer()

    def result(self) -> T:
        """What came of it, returned or raised."""
        if self._failure is not None:
            raise self._failure
        if self._task is None or self._task.cancelled():
            raise LoopClosedError(f"{self._owner} was closed during a call")
        error = self._task.exception()
        if error is not None and not passes(error):
            raise EngineError(f"a task raised {described(error)}") from error
        return self._task.result()

    def _ended(self, _: object) -> None:
        if self._task is not None and not self._task.cancelled():
            self._task.exception()  # seen, also where the caller has gone
        if not self._over:
            self._answer()

    def _answer(self) -> None:
        self._over = True
        self._others.discard(self)
        self._on_end()


async def _awaited(make: Callable[[], Awaitable[T]]) -> T:
    return await make()


async def cancel(tasks: Iterable[asyncio.Task[Any]], seconds: float = GRACE) -> bool:
    """Cancel what still runs of `tasks` and wait until it has stopped, `seconds` at most.

    Returns whether all have stopped. What they raised is taken note of, so that nobody logs it.
    """
    tasks = list(tasks)
    running = {task for task in tasks if not task.done()}
    for task in running:
        task.cancel()
    left: set[asyncio.Task[Any]] = set()
    if running:
        _, left = await asyncio.wait(running, timeout=seconds)
    for task in tasks:
        if task.done() and not task.cancelled():
            task.exception()
    return not left
