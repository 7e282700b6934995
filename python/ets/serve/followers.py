"""Who reads what happens in a search; one that is for its readers alone ends without them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Followers:
    """Counts readers; `alone` is called when there was none for `patience` seconds, unless that is
    None. All of it on the event loop."""

    def __init__(self, patience: float | None, alone: Callable[[], None]) -> None:
        self._patience = patience
        self._alone = alone
        self._count = 0
        self._timer: asyncio.TimerHandle | None = None
        self._wait()

    def join(self) -> None:
        """One more."""
        self._count += 1
        self._stop()

    def leave(self) -> None:
        """One less."""
        self._count -= 1
        if self._count == 0:
            self._wait()

    def close(self) -> None:
        """The search is over: wait for nobody any more."""
        self._patience = None
        self._stop()

    def _wait(self) -> None:
        if self._patience is not None:
            self._timer = asyncio.get_running_loop().call_later(self._patience, self._alone)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
