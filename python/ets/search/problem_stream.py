"""The events of one problem's search, as they happen."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import TypeVar

from ets.loop.call import cancel
from ets.loop.stream import Stream
from ets.loop.thread import LoopThread
from ets.rollout.result import Answered
from ets.tree_search.search import Event, TreeSearch

T = TypeVar("T")


class ProblemStream(Stream[Event | Answered]):
    """What `ets.Search.stream` gives: events, and the tree that they are of."""

    def __init__(
        self,
        loop: LoopThread,
        events: Callable[[Callable[[TreeSearch], None]], AsyncGenerator[Event | Answered, None]],
    ) -> None:
        self._tree: TreeSearch | None = None
        super().__init__(loop, _read_ahead(events(self._see)))

    @property
    def tree(self) -> TreeSearch | None:
        """The tree as it grows; None before the first event.

        For reading only: it is ahead of the events, by no more than the step that is decided. What
        an event names is in it. Of a search in workers it is another object after each step.
        """
        return self._tree

    def _see(self, tree: TreeSearch) -> None:
        self._tree = tree


async def _read_ahead(source: AsyncGenerator[T, None]) -> AsyncGenerator[T, None]:
    """The same items; once the first is asked for, the source does not wait for its reader."""
    items: asyncio.Queue[T | None] = asyncio.Queue()

    async def read() -> None:
        try:
            async with aclosing(source) as opened:
                async for item in opened:
                    items.put_nowait(item)
        finally:
            items.put_nowait(None)

    reading = asyncio.create_task(read())
    try:
        while (item := await items.get()) is not None:
            yield item
        await reading
    finally:
        await cancel([reading])
