"""Admission to an engine's KV cache: what trees keep, what runs beside them, and what waits."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ets.fork_lock import ForkLock


class KVAdmission:
    """Lets samples run as long as they fit beside the trees of all problems in flight.

    First come, first served; when nothing runs, one sample may, whatever it needs. The samples may
    be of several event loops: all searches on one engine share its room.
    """

    def __init__(self, tokens: int) -> None:
        self.tokens = tokens
        """KV tokens in all."""
        self._lock = ForkLock()
        self._kept = 0
        self._samples = 0
        self._running = 0
        self._waiting: deque[_Waiter] = deque()

    def keep(self, more: int) -> None:
        """Trees keep so many KV tokens more than before, or fewer."""
        with self._lock:
            self._kept += more
            self._wake()

    @asynccontextmanager
    async def take(self, tokens: int) -> AsyncIterator[None]:
        """Inside, what takes `tokens` KV tokens has room."""
        await self._enter(tokens)
        try:
            yield
        finally:
            with self._lock:
                self._leave(tokens)

    async def _enter(self, tokens: int) -> None:
        with self._lock:
            if not self._waiting and self._fits(tokens):
                self._begin(tokens)
                return
            waiter = _Waiter(tokens)
            self._waiting.append(waiter)
        try:
            await waiter.told
        except asyncio.CancelledError:
            with self._lock:
                if waiter.admitted:
                    self._leave(tokens)
                else:
                    self._waiting.remove(waiter)
                    self._wake()
            raise

    def _begin(self, tokens: int) -> None:
        self._samples += 1
        self._running += tokens

    def _leave(self, tokens: int) -> None:
        self._samples -= 1
        self._running -= tokens
        self._wake()

    def _fits(self, tokens: int) -> bool:
        return self._samples == 0 or self._kept + self._running + tokens <= self.tokens

    def _wake(self) -> None:
        while self._waiting and self._fits(self._waiting[0].tokens):
            waiter = self._waiting.popleft()
            self._begin(waiter.tokens)
            if not waiter.admit():
                self._samples -= 1
                self._running -= waiter.tokens


class _Waiter:
    """A sample that has no room yet."""

    def __init__(self, tokens: int) -> None:
        self.tokens = tokens
        self.admitted = False
        self._loop = asyncio.get_running_loop()
        self.told: asyncio.Future[None] = self._loop.create_future()

    def admit(self) -> bool:
        """Let it in, from any thread; False if its event loop is gone, and the sample with it."""
        self.admitted = True
        try:
            self._loop.call_soon_threadsafe(self._tell)
        except RuntimeError:
            return False
        return True

    def _tell(self) -> None:
        if not self.told.done():
            self.told.set_result(None)
