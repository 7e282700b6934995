"""Where searches come in: a number of them at once, a queue before them, an end for all."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from ets.dialogue import Posed
from ets.errors import EngineLostError
from ets.search.search import Search
from ets.serve.extension import Wishes
from ets.serve.metrics import Metrics
from ets.serve.refusal import Refusal, lost
from ets.serve.running import RunningSearch
from ets.serve.settings import Settings
from ets.serve.traces import Traced
from ets.shown.log import Log
from ets.tree.events import Event

_LOG = Log("ets.serve")
_AGAIN = 1.0
"""Seconds after which one search tries engines that were lost."""


class Desk:
    """All searches of a server: those that run, those that wait, and some that are over.

    `limit` says how many may run at once, and is asked whenever one could start. `at` is in the
    ids of its searches: the name of this server where several stand behind one address.
    """

    def __init__(
        self, settings: Settings, metrics: Metrics, traced: Traced, *, at: str = ""
    ) -> None:
        self.lost: str | None = None
        """The last words of engines that answer no more; None while they do."""
        self.draining = False
        """Whether nothing new is taken."""
        self.limit: Callable[[], int] | None = None
        """None before the engines are ready."""
        self.on_loss: Callable[[], None] = lambda: None
        """Called when the engines are lost."""
        self._settings = settings
        self._metrics = metrics
        self._traced = traced
        self._id = f"search-{at}-" if at else "search-"
        self._searches: dict[str, RunningSearch] = {}
        self._finished: deque[str] = deque()
        self._inside = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._mean_seconds = 1.0
        self._tried = 0.0
        metrics.watch(self)

    @property
    def inside(self) -> int:
        """Searches that run."""
        return self._inside

    @property
    def waiting(self) -> int:
        """Searches in the queue."""
        return len(self._waiting)

    @property
    def open(self) -> list[RunningSearch]:
        """Those that run or wait."""
        return [search for search in self._searches.values() if not search.over]

    @property
    def all(self) -> list[RunningSearch]:
        """Those, and the ones over that are still known; oldest first."""
        return list(self._searches.values())

    def submit(
        self,
        model: str,
        search: Search,
        problem: Posed,
        wishes: Wishes,
        *,
        once: bool = False,
        owner: str | None = None,
        user: str | None = None,
        patience: float | None = None,
        context: Any = None,
    ) -> RunningSearch:
        """Begin a search, or put it into the queue; `context` is that of the request's trace, the
        rest as of `RunningSearch`.

        # Errors
        `Refusal`: 503 while the engines start, are lost or the server ends, 429 for a full queue.
        """
        self._check_open()
        key = self._id + secrets.token_hex(12)
        running = RunningSearch(
            key,
            model,
            search,
            problem,
            wishes,
            once=once,
            owner=owner,
            user=user,
            patience=patience,
        )
        self._searches[key] = running
        running.task = asyncio.create_task(self._run(running, context))
        running.task.add_done_callback(lambda _: self._settle(running))
        return running

    def find(self, key: str, owner: str | None) -> RunningSearch:
        """A search that this owner has asked for.

        # Errors
        `Refusal` 404.
        """
        running = self._searches.get(key)
        if running is None or running.owner != owner:
            raise Refusal(404, "no such search", param="id", code="not_found")
        return running

    def lose(self, words: str) -> None:
        """The engines are lost: all that run or wait end, and `lost` says so."""
        if self.lost is None:
            self.lost = " ".join(words.split())
            _LOG.error("an engine is lost: %s", self.lost)
            self.on_loss()
        for other in self.open:
            other.cancel(lost())

    async def fail_open(self, why: Refusal) -> None:
        """End all that run or wait, each refused with `why`, and wait until they have ended."""
        there = self.open
        for running in there:
            running.cancel(why)
        tasks = [running.task for running in there if running.task is not None]
        if tasks:
            await asyncio.wait(tasks)

    def _check_open(self) -> None:
        if self.draining:
            raise Refusal(503, "the server is shutting down", code="shutting_down", retry_after=5)
        if self.limit is None:
            raise Refusal(503, "the engines are starting", code="starting", retry_after=5)
        if self.lost is not None:
            now = time.monotonic()
            if self._inside or now - self._tried < _AGAIN:
                raise lost()
            self._tried = now
        waiting = len(self.open) - self._inside
        if self._inside + waiting >= self.limit() + self._settings.queue:
            ahead = waiting / max(1, self.limit())
            raise Refusal(
                429,
                f"{self._inside} searches run and {waiting} wait, no more are taken now",
                code="queue_full",
                retry_after=max(1.0, self._mean_seconds * ahead),
            )

    async def _run(self, running: RunningSearch, context: Any) -> None:
        span = self._traced.search(running, context)

        def noted(event: Event) -> None:
            span.note(event)
            if len(running.events) == 1:
                self._metrics.began(running)

        try:
            await running.run(self._turn, noted)
        finally:
            span.end()

    def _settle(self, running: RunningSearch) -> None:
        """Take note of a search that is over, also of one cancelled before it began."""
        running.end()
        self._metrics.ended(running)
        now = time.monotonic()
        seconds = 0.0 if running.began is None else now - running.began
        if running.result is not None:
            self._mean_seconds += 0.2 * (seconds - self._mean_seconds)
            self.lost = None
        failure = running.failure
        end = failure.code if failure is not None else getattr(running.result, "end", None)
        _LOG.info(
            "%s %s: %s, %d nodes, waited %.3f s, took %.3f s",
            running.key,
            running.model,
            end,
            running.nodes,
            (now if running.began is None else running.began) - running.asked,
            seconds,
        )
        cause = None if failure is None else failure.__cause__
        if isinstance(cause, EngineLostError):
            self.lose(str(cause))
        elif failure is not None and failure.status >= 500 and cause is not None:
            # Its words may be of the request.
            _LOG.error("%s: %s, %s", running.key, failure.message, type(cause).__name__)
            _LOG.debug("%s: %s", running.key, cause)
        self._finished.append(running.key)
        while len(self._finished) > self._settings.kept_searches:
            self._searches.pop(self._finished.popleft(), None)

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """First come, first served."""
        if self._waiting or self._inside >= self._most():
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            try:
                await turn
            except asyncio.CancelledError:
                if turn in self._waiting:
                    self._waiting.remove(turn)
                elif not turn.cancelled():  # it had come in the same moment
                    self._leave()
                raise
        else:
            self._inside += 1
        try:
            yield
        finally:
            self._leave()

    def _leave(self) -> None:
        self._inside -= 1
        while self._waiting and self._inside < self._most():
            turn = self._waiting.popleft()
            if not turn.done():
                self._inside += 1
                turn.set_result(None)

    def _most(self) -> int:
        return 1 if self.limit is None else max(1, self.limit())
