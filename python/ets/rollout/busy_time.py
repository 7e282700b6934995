"""Time in which something was going on, however often at once."""

from __future__ import annotations

import time
from collections.abc import Callable


class BusyTime:
    """Seconds in which at least one of several overlapping blocks was running.

    ```python
    with busy:
        await engine.call()
    ```

    The measure of intervals' union: two calls side by side count once. For one event loop, or one
    thread; what `clock` gives is in seconds, and `seconds` are those of before.
    """

    def __init__(
        self, clock: Callable[[], float] = time.perf_counter, *, seconds: float = 0.0
    ) -> None:
        self._clock = clock
        self._running = 0
        self._begin = 0.0
        self._seconds = seconds

    @property
    def seconds(self) -> float:
        """Up to now, what is running included."""
        return self._seconds + (self._clock() - self._begin if self._running else 0.0)

    def __enter__(self) -> None:
        if not self._running:
            self._begin = self._clock()
        self._running += 1

    def __exit__(self, *exc: object) -> None:
        self._running -= 1
        if not self._running:
            self._seconds += self._clock() - self._begin
