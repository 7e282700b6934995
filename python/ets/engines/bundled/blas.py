"""Small matrices on one thread of the BLAS library behind numpy.

Of two threads that share a product of a few microseconds each waits for the other; on a machine
with other work to do that makes it thirty times slower. How many threads there are holds for the
whole process, so one object per process keeps count.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController


class _OneThread:
    """How many computations are running, and what to restore after the last of them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running = 0
        self._limit: Any = None

    @cached_property
    def _libraries(self) -> ThreadpoolController:
        from threadpoolctl import ThreadpoolController

        return ThreadpoolController()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Inside, BLAS computes on the thread that calls it."""
        with self._lock:
            if self._running == 0:
                self._limit = self._libraries.limit(limits=1, user_api="blas")
                self._limit.__enter__()
            self._running += 1
        try:
            yield
        finally:
            with self._lock:
                self._running -= 1
                if self._running == 0:
                    self._restore()

    def _restore(self) -> None:
        """Give numpy its threads back, whichever thread set the limit.

        threadpoolctl lets only the thread change a limit that did so first, and says nothing to
        others; here the count above says whose turn it is.
        """
        from threadpoolctl import OpenBLASController

        OpenBLASController.clear_controlling_thread(force=True)
        self._limit.__exit__(None, None, None)
        OpenBLASController.clear_controlling_thread(force=True)


ONE_THREAD = _OneThread()
