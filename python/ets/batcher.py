"""One worker thread that serves everything that is waiting, in batches."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

from ets.errors import EngineError

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

    def __init__(self, batcher: Batcher[Item, Result]) -> None:
        self._batcher = batcher
        self._taken: list[Ticket[Item, Result]] = []

    def take(self, limit: int | None = None) -> list[Ticket[Item, Result]]:
        """The waiting requests in order of arrival, at most `limit`; never blocks.

        May be called again while the batch runs, so that new requests join it.
        """
        tickets = self._batcher._pop(limit)
        self._taken = [t for t in self._taken if not t.done] + tickets
        return tickets

    @property
    def closing(self) -> bool:
        """The batcher is being closed: return soon, callers without a result get an error."""
        return self._batcher._closed

    def _end(self, error: Exception) -> None:
        for ticket in self._taken:
            ticket.fail(error)


class Batcher(Generic[Item, Result]):
    """A queue and one thread that runs `run(batch)` whenever something waits.

    All requests made in one turn of the event loop are released to the thread together. `run`
    takes tickets and resolves them; an exception in it reaches the callers of that batch that have
    no result yet, and nobody else. A cancelled call leaves the queue, or is marked `aborted` if it
    has been taken.
    """

    def __init__(self, run: Callable[[Batch[Item, Result]], None], *, name: str) -> None:
        self._run = run
        self._name = name
        self._condition = threading.Condition()
        self._arriving: list[Ticket[Item, Result]] = []
        self._waiting: deque[Ticket[Item, Result]] = deque()
        self._thread: threading.Thread | None = None
        self._closed = False

    async def submit(self, item: Item) -> Result:
        """The result for one item.

        # Errors
        `EngineError` if the batcher is closed or `run` failed.
        """
        ticket: Ticket[Item, Result] = Ticket(item)
        with self._condition:
            if self._closed:
                raise EngineError(f"{self._name} is closed")
            self._arriving.append(ticket)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name=self._name, daemon=True)
                self._thread.start()
        asyncio.get_running_loop().call_soon(self._release)
        try:
            return await asyncio.wrap_future(ticket._future)
        except asyncio.CancelledError:
            ticket.aborted = True
            raise

    async def aclose(self) -> None:
        """Fail what is waiting, let the running batch return, and join the thread."""
        with self._condition:
            self._closed = True
            left = [*self._waiting, *self._arriving]
            self._waiting.clear()
            self._arriving.clear()
            self._condition.notify_all()
        for ticket in left:
            if ticket._claim():
                ticket.fail(self._closed_error())
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join)

    def _release(self) -> None:
        with self._condition:
            self._waiting.extend(self._arriving)
            self._arriving.clear()
            self._condition.notify_all()

    def _pop(self, limit: int | None) -> list[Ticket[Item, Result]]:
        tickets: list[Ticket[Item, Result]] = []
        with self._condition:
            while self._waiting and (limit is None or len(tickets) < limit):
                ticket = self._waiting.popleft()
                if ticket._claim():
                    tickets.append(ticket)
        return tickets

    def _work(self) -> None:
        while True:
            with self._condition:
                while not self._waiting and not self._closed:
                    self._condition.wait()
                if self._closed:
                    return
            batch: Batch[Item, Result] = Batch(self)
            try:
                self._run(batch)
            except EngineError as error:
                batch._end(error)
            except Exception as error:  # noqa: BLE001 - whatever it is, the callers must hear of it
                failure = EngineError(f"{self._name} failed: {type(error).__name__}: {error}")
                failure.__cause__ = error
                batch._end(failure)
            else:
                batch._end(self._closed_error())

    def _closed_error(self) -> EngineError:
        return EngineError(f"{self._name} was closed before it had a result")
