"""How long a server that does not answer is waited for."""

from __future__ import annotations

import time

from ets.fork_lock import ForkLock
from ets.shown.log import Log

_LOG = Log("ets")
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 10.0
_FORGOTTEN = 60.0
"""Seconds without a failure after which the next one is another outage."""


class Waiting:
    """One request's wait for its server."""

    def __init__(self) -> None:
        self.since: float | None = None
        """Its first failure, in seconds of the monotonic clock."""
        self._next = _FIRST_PAUSE

    def pause(self) -> float:
        """Seconds until the next try: they double, up to ten."""
        pause, self._next = self._next, min(2 * self._next, _LONGEST_PAUSE)
        return pause


class Outage:
    """The time in which a server does not answer, shared by all requests to it.

    Shared, so that requests which fail one after the other do not wait anew, each for itself. A
    request's own time counts too: one that makes the server fall over, while others find it up
    again, must come to an end. Safe to use from several threads.
    """

    def __init__(self, server: str, patience: float) -> None:
        self._server = server
        self._patience = patience
        self._lock = ForkLock()
        self._since: float | None = None
        self._last = 0.0
        """The newest failure."""

    def wait_at_most(self, seconds: float) -> None:
        """Lower the patience."""
        with self._lock:
            self._patience = min(self._patience, seconds)

    def goes_on(self, failure: Exception, waiting: Waiting) -> bool:
        """Whether to try once more after a failure; the first of an outage is logged."""
        now = time.monotonic()
        if waiting.since is None:
            waiting.since = now
        with self._lock:
            begins = self._since is None or now - self._last > _FORGOTTEN
            if self._since is None or begins:
                self._since = now
            since, self._last = self._since, now
        if now - min(since, waiting.since) >= self._patience:
            return False
        if begins:
            _LOG.warning("%s; waiting for it, %g s at most", failure, self._patience)
        return True

    def over(self) -> None:
        """Note that the server has answered."""
        if self._since is None:
            return
        with self._lock:
            since, self._since = self._since, None
        if since is not None and self._patience > 0:
            _LOG.warning("%s answers again after %.0f s", self._server, time.monotonic() - since)
