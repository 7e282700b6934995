"""Iterators, for `for` and for `async for`, that read from an event loop in another thread."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any, Generic, TypeVar

from ets.loop.thread import LoopThread

T = TypeVar("T")


class Stream(Generic[T]):
    """What an asynchronous generator on a `LoopThread` yields, for `for` and for `async for`.

    Closing it, from wherever, or leaving a `with` block, cancels the work behind it and ends the
    iteration. Several threads or tasks may read from one; each item goes to one of them.
    """

    def __init__(self, loop: LoopThread, source: AsyncGenerator[T, None]) -> None:
        self._loop = loop
        self._source = source
        self._reading: asyncio.Task[Any] | None = None
        self._turn: asyncio.Lock | None = None
        self._closed = False

    def __iter__(self) -> Stream[T]:
        return self

    def __next__(self) -> T:
        for item in self._loop.run(self._next):
            return item
        raise StopIteration

    def __aiter__(self) -> Stream[T]:
        return self

    async def __anext__(self) -> T:
        for item in await self._loop.call(self._next):
            return item
        raise StopAsyncIteration

    def close(self) -> None:
        """Stop early; requests in flight are aborted."""
        if not self._loop.closed:
            self._loop.run(self._end)

    async def aclose(self) -> None:
        """`close` for asynchronous callers."""
        if not self._loop.closed:
            await self._loop.call(self._end)

    def __enter__(self) -> Stream[T]:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    async def __aenter__(self) -> Stream[T]:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()

    async def _next(self) -> list[T]:
        """The next item; none at the end."""
        async with self._taking_turns():
            if self._closed:
                return []
            self._reading = asyncio.current_task()
            try:
                return [await anext(self._source)]
            except StopAsyncIteration:
                return []
            except asyncio.CancelledError:
                if self._closed:  # by `_end`: this reader's iteration is over, and no more
                    return []
                raise
            finally:
                self._reading = None

    async def _end(self) -> None:
        self._closed = True
        if self._reading is not None:
            self._reading.cancel()
        async with self._taking_turns():
            await self._source.aclose()

    def _taking_turns(self) -> asyncio.Lock:
        """Made by the first reader: a stream is made on any thread."""
        if self._turn is None:
            self._turn = asyncio.Lock()
        return self._turn
