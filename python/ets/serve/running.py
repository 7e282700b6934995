"""One search of a server: what has happened in it, for any number of followers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Literal

from ets.dialogue import Posed
from ets.errors import EngineLostError
from ets.rollout.result import Answered, SearchResult
from ets.search.search import Search
from ets.serve.extension import Wishes
from ets.serve.followers import Followers
from ets.serve.refusal import Refusal, refusal_of
from ets.tree.events import Event, Scored, event_to_dict
from ets.tree_search.search import TreeSearch

State = Literal["queued", "running", "completed", "failed", "cancelled"]
_PARTING = 10.0
"""Seconds behind its time budget after which a search that has not ended is given up."""


class RunningSearch:
    """A search from the request that wants it to its end; all of it on the server's event loop.

    Parameters
    ----------
    key
        Its id.
    model
        The configuration.
    once
        Whether `search` is for this one problem, and is closed behind it.
    owner
        The name of the API key that asked for it; None: there are no keys.
    user
        Whom it was asked for, in the client's own words.
    patience
        Seconds without a follower after which it is cancelled; None: it has no need of any.
    """

    def __init__(
        self,
        key: str,
        model: str,
        search: Search,
        problem: Posed,
        wishes: Wishes,
        *,
        once: bool,
        owner: str | None,
        user: str | None = None,
        patience: float | None = None,
    ) -> None:
        self.key = key
        self.model = model
        self.search = search
        self.wishes = wishes
        self.owner = owner
        self.user = user
        self.created = int(time.time())
        self.began: float | None = None
        """On the monotonic clock, when its turn came."""
        self.asked = time.monotonic()
        self.state: State = "queued"
        self.events: list[Event] = []
        self.result: SearchResult | None = None
        self.failure: Refusal | None = None
        self.task: asyncio.Task[None] | None = None
        self.tree: TreeSearch | None = None
        """As it grows, for reading only; it is ahead of the events."""
        self.problem = problem
        self.followers = Followers(patience, self.cancel)
        """Who reads its events."""
        self._once = once
        self._cancelled = False
        self._news = asyncio.Event()
        self._ended = asyncio.Event()

    @property
    def over(self) -> bool:
        """Whether nothing more will happen."""
        return self.state in ("completed", "failed", "cancelled")

    @property
    def nodes(self) -> int:
        """Of its tree so far, without the root."""
        return 0 if self.tree is None else len(self.tree.nodes) - 1

    async def run(
        self,
        turn: Callable[[], AbstractAsyncContextManager[None]],
        noted: Callable[[Event], None],
    ) -> None:
        """Search in its turn; what comes of it is `result` or `failure`."""
        try:
            async with turn():
                self.state, self.began = "running", time.monotonic()
                budget = self.search.options.budget
                seconds = None if budget is None else budget.seconds
                if seconds is None:
                    await self._search(noted)
                else:
                    await asyncio.wait_for(self._search(noted), seconds + _PARTING)
        except asyncio.CancelledError:
            pass  # `cancel` has said why
        except asyncio.TimeoutError:
            self.failure = Refusal(504, "the search did not end in its time", code="timeout")
        except Exception as error:  # noqa: BLE001 - whoever follows is told
            self.failure = refusal_of(error)
            self.failure.__cause__ = error
        finally:
            if self._once:
                await self.search.aclose()
            self.end()

    def end(self) -> None:
        """Nothing more will happen; also of one that was cancelled before it began."""
        if self.result is None and self.failure is None:
            self.failure = Refusal(409, "the search was cancelled", code="cancelled")
        if self.failure is None:
            self.state = "completed"
        else:
            self.state = "cancelled" if self.failure.code == "cancelled" else "failed"
        self.followers.close()
        self._tell()
        self._ended.set()

    async def _search(self, noted: Callable[[Event], None]) -> None:
        stream = self.search.stream(self.problem)
        async with stream:
            async for event in stream:
                if isinstance(event, Answered):
                    if event.result.lost is not None:
                        raise EngineLostError(event.result.lost)
                    self.result = event.result
                    return
                self.tree = stream.tree
                self.events.append(event)
                noted(event)
                self._tell()

    def cancel(self, why: Refusal | None = None) -> None:
        """End it; whoever waits for it is refused with `why`."""
        if self.over or self._cancelled:
            return
        self._cancelled = True
        self.failure = why
        if self.task is not None:
            self.task.cancel()

    async def outcome(self) -> SearchResult:
        """Its result, once there is one.

        # Errors
        `Refusal` where there will be none.
        """
        await self._ended.wait()
        if self.failure is not None or self.result is None:
            raise self.failure or Refusal(500, "the search ended without a result")
        return self.result

    async def news(self, at: int) -> list[Event]:
        """The events from number `at` on, at least one; none where there will be none."""
        while len(self.events) <= at and not self.over:
            await self._news.wait()
        return self.events[at:]

    async def follow(self, at: int = 0) -> AsyncGenerator[Event, None]:
        """All of its events, from number `at` on; ends with the search, however that ends."""
        while events := await self.news(at):
            at += len(events)
            for event in events:
                yield event

    def told(self, event: Event) -> dict[str, Any]:
        """An event as JSON-able values; one of new nodes with their texts."""
        told = event_to_dict(event)
        if isinstance(event, Scored) and self.tree is not None:
            told["texts"] = [self.tree.nodes.text[node] for node in event.nodes]
        return told

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()
