"""How long a worker's owner waits for it, and how often it is started again."""

from __future__ import annotations

from dataclasses import dataclass

from ets.checks import check_number, integer
from ets.workers.messages import Done, Stepped

_PAUSES = (0.1, 1.0, 5.0, 30.0)
"""Seconds before a worker is started again; the last one from then on."""


@dataclass(frozen=True, slots=True)
class Patience:
    """As `ets.Workers` and `ets.ray.RayWorkers` have it.

    # Errors
    `InputError` for a value out of range.
    """

    hang_seconds: float
    """Without a sign of life, once it runs, > 0."""
    start_seconds: float
    """For its engines to load, > 0."""
    restarts: int
    """In a row, without a step of a problem that was completed in between, >= 0."""

    def __post_init__(self) -> None:
        for name in ("hang_seconds", "start_seconds"):
            check_number(name, getattr(self, name), "> 0", lambda x: x > 0)
        object.__setattr__(self, "restarts", integer("restarts", self.restarts, 0))

    def pause(self, failures: int) -> float | None:
        """Seconds before the next start, after so many ends in a row, >= 1; None: no more."""
        if failures > self.restarts:
            return None
        return _PAUSES[min(failures, len(_PAUSES)) - 1]


def shows_work(sent: object) -> bool:
    """Whether what a worker sent begins its row of failures anew.

    Calls do not: one that dies at each first step answers them every time.
    """
    return isinstance(sent, Stepped | Done)
