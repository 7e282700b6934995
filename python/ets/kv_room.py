"""Room in an engine's KV cache: what trees keep, what runs beside them, and what waits."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class KVRoom:
    """Lets samples run as long as they fit beside the trees of all problems in flight.

    First come, first served; when nothing runs, one sample may, whatever it needs. For use on one
    event loop.
    """

    def __init__(self, tokens: int) -> None:
        self.tokens = tokens
        """KV tokens in all."""
        self._kept = 0
        self._samples = 0
        self._running = 0
        self._waiting: deque[tuple[asyncio.Future[None], int]] = deque()

    def keep(self, more: int) -> None:
        """Trees keep so many KV tokens more than before, or fewer."""
        self._kept += more
        self._wake()

    @asynccontextmanager
    async def sample(self, tokens: int) -> AsyncIterator[None]:
        """Inside, a sample that takes `tokens` KV tokens has room."""
        await self._enter(tokens)
        try:
            yield
        finally:
            self._leave(tokens)

    async def _enter(self, tokens: int) -> None:
        if not self._waiting and self._fits(tokens):
            self._begin(tokens)
            return
        admitted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((admitted, tokens))
        try:
            await admitted
        except asyncio.CancelledError:
            if not admitted.cancelled():  # admitted in the same turn
                self._leave(tokens)
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
        while self._waiting:
            admitted, tokens = self._waiting[0]
            if not admitted.cancelled():
                if not self._fits(tokens):
                    return
                self._begin(tokens)
                admitted.set_result(None)
            self._waiting.popleft()
