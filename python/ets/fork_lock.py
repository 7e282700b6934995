"""A lock that is free in the child of a fork, whoever held it in the parent."""

from __future__ import annotations

import os
import threading


class ForkLock:
    """As `threading.Lock`, one for each process.

    A fork copies locks as they are and leaves the threads behind that would release them: in the
    child a plain lock that another thread held would never be free again.
    """

    def __init__(self) -> None:
        self._of_process: dict[int, threading.Lock] = {}

    def acquire(self, timeout: float = -1) -> bool:
        """Whether it was got within `timeout` seconds; below 0: wait for ever."""
        return self._lock.acquire(timeout=timeout)

    def release(self) -> None:
        """Let others have it."""
        self._lock.release()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    @property
    def _lock(self) -> threading.Lock:
        return self._of_process.setdefault(os.getpid(), threading.Lock())
