"""What one search may spend."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ets.checks import check_int, check_number
from ets.pickled import Pickled

Spent = Literal["token_budget", "time_budget", "prm_budget"]
"""What `SearchResult.end` says of a search that a budget ended."""

_MOST = 2**63 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget(Pickled):
    """What one search may spend; at the first limit it ends, with its best answer so far.

    Tokens and PRM calls are counted in the order in which continuations were asked for, best leaf
    first, whatever order they come back in: the same search ends at the same sample on every run.
    What is in flight behind that sample is aborted and forgotten. Seconds differ from run to run.

    Raises `InputError` for a limit out of range.
    """

    tokens: int | None = None
    """Tokens that the policy samples, >= 1; the sample that reaches it is kept."""
    seconds: float | None = None
    """Wall time of the problem, > 0, waiting for shared engines included; their start is not."""
    prm_calls: int | None = None
    """Steps that the PRM scores, >= 1; never exceeded."""

    def __post_init__(self) -> None:
        if self.tokens is not None:
            check_int("budget.tokens", self.tokens, 1, _MOST, ", or None")
        if self.seconds is not None:
            check_number("budget.seconds", self.seconds, "> 0, or None", lambda x: x > 0)
        if self.prm_calls is not None:
            check_int("budget.prm_calls", self.prm_calls, 1, _MOST, ", or None")
