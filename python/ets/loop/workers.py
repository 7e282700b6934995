"""Threads that run blocking functions for coroutines, and that nobody has to wait for."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from ets.errors import EngineError
from ets.loop.engine_call import name_of

T = TypeVar("T")


class Threads:
    """Up to `most` threads, started as they are needed.

    The standard library's executor is not used for two reasons: the interpreter waits at its end
    for whatever runs in one, however long that takes, and a function that raises `StopIteration`
    there is never answered. These threads are daemons, and end with this object.
    """

    def __init__(self, name: str, most: int) -> None:
        self._name = name
        self._most = most
        self._work = _Work()
        self._end = weakref.finalize(self, self._work.end)
        self._end.atexit = False  # daemons
        self._owner = os.getpid()

    async def run(self, function: Callable[..., T], *arguments: Any) -> T:
        """What the function returns or raises; it runs in the caller's context.

        A caller that is cancelled goes on at once: a function that has begun runs to its end, and
        its result is dropped.

        # Errors
        `EngineError` if this object is closed, and what the function raises.
        """
        if self._owner != os.getpid():  # a fork leaves the threads behind
            self._work, self._owner = _Work(), os.getpid()
        job = _Job(function, arguments)
        self._work.add(job, self._name, self._most)
        try:
            await job.answered
        except asyncio.CancelledError:
            job.wanted = False
            raise
        return job.result()

    def close(self, seconds: float = 0.0) -> bool:
        """Begin nothing more, and wait for what runs, but no longer than `seconds`.

        Returns whether everything has ended.
        """
        work = self._work
        work.end()
        deadline = time.monotonic() + seconds
        for thread in list(work.threads):
            if thread is not threading.current_thread():
                thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in work.threads)


class _Job(Generic[T]):
    """One call of a function, and its outcome on the way back to the caller's event loop."""

    def __init__(self, function: Callable[..., T], arguments: tuple[Any, ...]) -> None:
        self._function = function
        self._arguments = arguments
        self._context = contextvars.copy_context()
        self._loop = asyncio.get_running_loop()
        self._value: list[T] = []
        self._error: BaseException | None = None
        self.answered: asyncio.Future[None] = self._loop.create_future()
        self.wanted = True

    def run(self) -> None:
        """Call it, if somebody still waits; in a thread."""
        if not self.wanted:
            return
        try:
            self._value.append(self._context.run(self._function, *self._arguments))
        except StopIteration as error:  # which would end the coroutine that awaits this
            self._error = EngineError(f"{name_of(self._function)} raised StopIteration")
            self._error.__cause__ = error
        except BaseException as error:  # noqa: BLE001 - `result` raises it
            self._error = error
        self.answer()

    def refuse(self) -> None:
        """Answer without a call."""
        self._error = EngineError("closed before the call began")
        self.answer()

    def answer(self) -> None:
        with contextlib.suppress(RuntimeError):  # the caller's loop has been closed
            self._loop.call_soon_threadsafe(self._tell)

    def result(self) -> T:
        if self._error is not None:
            raise self._error
        return self._value[0]

    def _tell(self) -> None:
        if not self.answered.done():
            self.answered.set_result(None)


class _Work:
    """The queue that the threads share; they hold nothing else, so that their owner can go."""

    def __init__(self) -> None:
        self.threads: list[threading.Thread] = []
        self._jobs: deque[_Job[Any]] = deque()
        self._changed = threading.Condition()
        self._idle = 0
        self._ended = False

    def add(self, job: _Job[Any], name: str, most: int) -> None:
        with self._changed:
            if self._ended:
                raise EngineError(f"{name} is closed")
            self._jobs.append(job)
            if len(self._jobs) > self._idle and len(self.threads) < most:
                self._start(name)
            else:
                self._changed.notify()

    def end(self) -> None:
        with self._changed:
            self._ended = True
            left = list(self._jobs)
            self._jobs.clear()
            self._changed.notify_all()
        for job in left:
            job.refuse()

    def _start(self, name: str) -> None:
        thread = threading.Thread(
            target=self._serve, name=f"{name}-{len(self.threads)}", daemon=True
        )
        try:
            thread.start()
        except RuntimeError as error:  # no more threads to be had
            if not self.threads:
                self._jobs.pop()
                raise EngineError(f"{name}: no thread could be started: {error}") from error
            return
        self.threads.append(thread)

    def _serve(self) -> None:
        while True:
            with self._changed:
                self._idle += 1
                while not self._jobs and not self._ended:
                    self._changed.wait()
                self._idle -= 1
                if not self._jobs:
                    return
                job = self._jobs.popleft()
            job.run()
            del job  # or it would keep its result until the next one comes
