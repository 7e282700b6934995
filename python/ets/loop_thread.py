"""One event loop in a thread of its own, and iterators that read from it.

A search lives on one, so that it serves a plain script, a notebook whose own loop is running, and
an asynchronous server; an engine whose library binds it to a loop lives on one of its own, so that
any number of searches may share it.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncGenerator, Coroutine
from concurrent.futures import Future
from typing import Any, Generic, TypeVar
from weakref import WeakKeyDictionary

from ets.mailbox import Mailbox

T = TypeVar("T")


class LoopClosedError(RuntimeError):
    """The loop on which a call was to run is closed, or was closed while the call ran."""


class LoopThread:
    """An event loop that runs in a daemon thread until `close`."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._calls = Mailbox(self._loop)
        self._answers: WeakKeyDictionary[asyncio.AbstractEventLoop, Mailbox] = WeakKeyDictionary()
        self._closing = False
        self._thread = threading.Thread(target=self._loop.run_forever, name=name, daemon=True)
        self._thread.start()

    def submit(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        """Start a coroutine on the loop, from any thread."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine and wait for it.

        An interrupt of the wait cancels it and is raised once it has ended, so that nothing of it
        still runs when the caller goes on to clean up.
        """
        if threading.current_thread() is self._thread or not self._thread.is_alive():
            here = self._thread.is_alive()
            coroutine.close()
            raise RuntimeError(
                "a blocking call was made from the search's own event loop"
                if here
                else "the search is closed"
            )
        tasks: list[asyncio.Task[T]] = []
        ended = threading.Event()

        def start() -> None:
            tasks.append(self._loop.create_task(coroutine))
            tasks[0].add_done_callback(lambda _: ended.set())

        self._loop.call_soon_threadsafe(start)
        try:
            ended.wait()
        except BaseException:
            self._loop.call_soon_threadsafe(lambda: tasks[0].cancel())
            ended.wait()
            raise
        if tasks[0].cancelled():
            raise RuntimeError("the search was closed while a call waited for it")
        return tasks[0].result()

    async def call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Await a coroutine that runs on this loop, from whatever loop the caller is on.

        A caller that is cancelled cancels it and goes on once it has ended.
        """
        caller = asyncio.get_running_loop()
        if caller is self._loop:
            return await coroutine
        if self._closing:
            coroutine.close()
            raise LoopClosedError(f"the event loop {self._thread.name!r} is closed")
        call = _Call(self, coroutine, self._answers_to(caller), caller.create_future())
        try:
            self._calls.post(call.start)
        except RuntimeError:  # closed just now
            self._calls.empty()
        try:
            await call.ended
        except asyncio.CancelledError:
            if not call.over:
                call.ended = caller.create_future()
                with contextlib.suppress(RuntimeError):  # closed: it has been cancelled already
                    self._calls.post(call.cancel)
                await call.ended
            raise
        if call.task is None or call.task.cancelled():
            raise LoopClosedError(f"the event loop {self._thread.name!r} was closed during a call")
        return call.task.result()

    def begin(self, coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T] | None:
        """Start a coroutine, on the loop; None, and no start, while it closes."""
        if self._closing:
            coroutine.close()
            return None
        return self._loop.create_task(coroutine)

    def close(self) -> None:
        """Cancel what still runs, then stop the loop and its thread; on that thread, just stop."""
        if not self._thread.is_alive():
            return
        self._closing = True  # from here on no call begins
        if threading.current_thread() is self._thread:
            self._calls.empty()
            self._loop.stop()
            return
        self.run(self._cancel_all())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._calls.empty()  # of calls that came too late

    def _answers_to(self, caller: asyncio.AbstractEventLoop) -> Mailbox:
        mailbox = self._answers.get(caller)
        if mailbox is None:
            mailbox = self._answers.setdefault(caller, Mailbox(caller))
        return mailbox

    async def _cancel_all(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._loop.shutdown_asyncgens()
        await self._loop.shutdown_default_executor()


class _Call(Generic[T]):
    """A coroutine on its way to another loop, and its result on the way back."""

    def __init__(
        self,
        thread: LoopThread,
        coroutine: Coroutine[Any, Any, T],
        answers: Mailbox,
        ended: asyncio.Future[None],
    ) -> None:
        self._thread = thread
        self._coroutine = coroutine
        self._answers = answers
        self.ended = ended
        """What the caller waits for; touched on its loop only, as `over` is."""
        self.over = False
        """Whether the caller's loop has been told of the end."""
        self.task: asyncio.Task[T] | None = None
        """None where the loop was closed before it began."""

    def start(self) -> None:
        """Begin; on the loop, or on the thread that has closed it."""
        self.task = self._thread.begin(self._coroutine)
        if self.task is None:
            self._answer()
        else:
            self.task.add_done_callback(self._answer)

    def cancel(self) -> None:
        """End it early; on the loop, after `start`."""
        if self.task is not None:
            self.task.cancel()

    def _answer(self, _: object = None) -> None:
        with contextlib.suppress(RuntimeError):  # the caller's loop has been closed
            self._answers.post(self._tell)

    def _tell(self) -> None:
        self.over = True
        if not self.ended.done():
            self.ended.set_result(None)


class Stream(Generic[T]):
    """What an asynchronous generator on a `LoopThread` yields, for `for` and for `async for`.

    Closing it, or leaving a `with` block, cancels the work behind it.
    """

    def __init__(self, loop: LoopThread, source: AsyncGenerator[T, None]) -> None:
        self._loop = loop
        self._source = source

    async def _next(self) -> list[T]:
        """The next item; none at the end."""
        async for item in self._source:
            return [item]
        return []

    def __iter__(self) -> Stream[T]:
        return self

    def __next__(self) -> T:
        for item in self._loop.run(self._next()):
            return item
        raise StopIteration

    def __aiter__(self) -> Stream[T]:
        return self

    async def __anext__(self) -> T:
        for item in await asyncio.wrap_future(self._loop.submit(self._next())):
            return item
        raise StopAsyncIteration

    def close(self) -> None:
        """Stop early; requests in flight are aborted."""
        self._loop.run(self._source.aclose())

    async def aclose(self) -> None:
        """`close` for asynchronous callers."""
        await asyncio.wrap_future(self._loop.submit(self._source.aclose()))

    def __enter__(self) -> Stream[T]:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
