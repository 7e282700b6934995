"""Callbacks for an event loop from other threads, many to one wake-up."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable


class Mailbox:
    """Runs callbacks on one loop, in the order in which they were posted, from any thread.

    `call_soon_threadsafe` writes to a socket for each callback. The write lets go of the GIL, and
    where another thread computes it does not come back for up to 5 ms: a search that hands over
    hundreds of samples would wait hundreds of times. Here only a loop that has read all its
    callbacks is woken.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._callbacks: deque[Callable[[], object]] = deque()
        self._woken = False

    def post(self, callback: Callable[[], object]) -> None:
        """Run `callback`, which must not raise, on the loop, soon.

        # Errors
        `RuntimeError` if the loop is closed; the callback may then be left for `empty`.
        """
        self._callbacks.append(callback)
        if not self._woken:
            try:
                self._woken = True
                self.loop.call_soon_threadsafe(self.empty)
            except BaseException:  # an interrupt perhaps, after which the next callback wakes it
                self._woken = False
                raise

    def empty(self) -> None:
        """Run what was posted; on the loop, or once it has been closed on any thread."""
        # First: what is posted from here on wakes the loop again, be it for nothing.
        self._woken = False
        while True:
            try:
                callback = self._callbacks.popleft()
            except IndexError:
                return
            callback()
