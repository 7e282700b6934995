"""One worker thread that serves everything that is waiting, in batches."""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

from ets.errors import EngineError
from ets.loop.engine_call import described

_LOOK = 0.01
"""Seconds between two looks whether the thread has ended."""
_LAST_BATCH = 10.0
"""Seconds that a batch is waited for at the interpreter's end."""

Item = TypeVar("Item")
Result = TypeVar("Result")


class Ticket(Generic[Item, Result]):
    """One request in a batch: its item, and the caller that waits for the result."""

    __slots__ = ("_future", "aborted", "item")

    def __init__(self, item: Item) -> None:
        self.item = item
        self.aborted = False
        """The caller has gone: whatever work is left for this ticket may be dropped."""
        self._future: Future[Result] = Future()

    def resolve(self, result: Result) -> None:
        """Hand the result to the caller; at once, not at the batch's end."""
        if not self._future.done():
            self._future.set_result(result)

    def fail(self, error: Exception) -> None:
        """Raise the error in the caller."""
        if not self._future.done():
            self._future.set_exception(error)

    @property
    def done(self) -> bool:
        """Whether the caller has been answered."""
        return self._future.done()

    def _claim(self) -> bool:
        """Take it out of the queue; False if the caller cancelled it there."""
        return self._future.set_running_or_notify_cancel()


class Batch(Generic[Item, Result]):
    """What the worker's function sees of the queue while it runs."""

    def __init__(self, queue: _Queue[Item, Result]) -> None:
        self._queue = queue
        self._taken: list[Ticket[Item, Result]] = []

    def take(self, limit: int | None = None) -> list[Ticket[Item, Result]]:
        """The waiting requests in order of arrival, at most `limit`; never blocks.

        May be called again while the batch runs, so that new requests join it.
        """
        tickets = self._queue.pop(limit)
        self._taken = [t for t in self._taken if not t.done] + tickets
        return tickets

    @property
    def closing(self) -> bool:
        """The batcher is being closed: return soon, callers without a result get an error."""
        return self._queue.closed

    def _end(self, error: Exception) -> None:
        for ticket in self._taken:
            ticket.fail(error)


class Batcher(Generic[Item, Result]):
    """A queue and one thread that runs `run(batch)` whenever something waits.

    All requests made in one turn of the event loop are released to the thread together. `run`
    takes tickets and resolves them; an exception in it reaches the callers of that batch that have
    no result yet, and nobody else. A cancelled call leaves the queue, or is marked `aborted` if it
    has been taken.

    The thread ends with `aclose`, when nobody refers to this object any more, or with the
    interpreter, which waits for the batch that is running.
    """

    def __init__(self, run: Callable[[Batch[Item, Result]], None], *, name: str) -> None:
        self._run = run
        self._name = name
        self._queue: _Queue[Item, Result] = _Queue()
        self._thread: threading.Thread | None = None
        self._process = os.getpid()
        weakref.finalize(self, self._queue.end)

    async def submit(self, item: Item) -> Result:
        """The result for one item.

        # Errors
        `EngineError` if the batcher is closed, belongs to the process that this one was forked
        from, or `run` failed.
        """
        if self._process != os.getpid():
            raise EngineError(
                f"{self._name} belongs to the process that this one was forked from; load it anew "
                "after the fork, or start processes by 'spawn'"
            )
        ticket: Ticket[Item, Result] = Ticket(item)
        queue = self._queue
        with queue.changed:
            if queue.closed:
                raise EngineError(f"{self._name} is closed")
            queue.arriving.append(ticket)
            if self._thread is None:
                self._thread = threading.Thread(
                    target=_work, args=(queue, weakref.ref(self)), name=self._name, daemon=True
                )
                queue.thread = self._thread
                self._thread.start()
        asyncio.get_running_loop().call_soon(queue.release)
        try:
            return await asyncio.wrap_future(ticket._future)
        except asyncio.CancelledError:
            ticket.aborted = True
            raise

    async def aclose(self) -> None:
        """Fail what is waiting, let the running batch return, and wait for the thread to end."""
        for ticket in self._queue.close():
            if ticket._claim():
                ticket.fail(self._closed_error())
        # No thread that joins: at the interpreter's end none can be started.
        while self._thread is not None and self._thread.is_alive():
            await asyncio.sleep(_LOOK)

    def _serve(self) -> None:
        batch: Batch[Item, Result] = Batch(self._queue)
        try:
            self._run(batch)
        except EngineError as error:
            batch._end(error)
        except BaseException as error:  # noqa: BLE001 - whatever it is, the callers must hear of it
            failure = EngineError(f"{self._name} failed: {described(error)}")
            failure.__cause__ = error
            batch._end(failure)
        else:
            batch._end(self._closed_error())

    def _closed_error(self) -> EngineError:
        return EngineError(f"{self._name} was closed before it had a result")


class _Queue(Generic[Item, Result]):
    """What the thread holds while nothing waits: not the batcher, nor the model behind it."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.arriving: list[Ticket[Item, Result]] = []
        self.closed = False
        self.thread: threading.Thread | None = None
        self._waiting: deque[Ticket[Item, Result]] = deque()

    def release(self) -> None:
        """Let the thread have what has arrived."""
        with self.changed:
            self._waiting.extend(self.arriving)
            self.arriving.clear()
            self.changed.notify_all()

    def pop(self, limit: int | None) -> list[Ticket[Item, Result]]:
        """What waits, at most `limit` of it."""
        tickets: list[Ticket[Item, Result]] = []
        with self.changed:
            while self._waiting and (limit is None or len(tickets) < limit):
                ticket = self._waiting.popleft()
                if ticket._claim():
                    tickets.append(ticket)
        return tickets

    def filled(self) -> bool:
        """Wait until something waits; False once the queue is closed."""
        with self.changed:
            while not self._waiting and not self.closed:
                self.changed.wait()
            return not self.closed

    def close(self) -> list[Ticket[Item, Result]]:
        """Take nothing more; what was waiting."""
        with self.changed:
            self.closed = True
            left = [*self._waiting, *self.arriving]
            self._waiting.clear()
            self.arriving.clear()
            self.changed.notify_all()
        return left

    def end(self) -> None:
        """Close for good. An interpreter that ends amid a computation of torch's would abort."""
        self.close()
        thread = self.thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(_LAST_BATCH)


def _work(queue: _Queue[Item, Result], owner: weakref.ref[Batcher[Item, Result]]) -> None:
    while queue.filled():
        batcher = owner()
        if batcher is None:
            return
        batcher._serve()
        del batcher
