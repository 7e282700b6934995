"""When a problem has votes enough."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TypeVar

from ets.answer.mode import check_error, fewest_votes
from ets.checks import MOST, check_int, shown
from ets.engines.protocols import PRM, JudgesSteps
from ets.errors import InputError
from ets.pickled import Pickled
from ets.strategy import BestOfN, Strategy

SEARCHES = 16
"""Of a strategy by steps, at most, unless told otherwise."""
S = TypeVar("S", bound=Strategy)


@dataclass(frozen=True, slots=True, kw_only=True)
class Certain(Pickled):
    """Votes are asked for until the answer is certain.

    With `ets.BestOfN` each solution is a vote, weighed as `vote` says (`weighted` or `majority`);
    its samples are the first of those that the whole width would have had. The solutions of a tree
    that is searched by steps depend on each other, so with any other strategy a vote is the answer
    of a whole search: the first is the search that there would be without this, the others have
    seeds of their own, and each of them counts 1.

    Votes are asked for a few at a time, and tested whenever all of those are in, in the order in
    which they were asked for, so that no answer counts for having come back early. The chance that
    the test (`ets.answer.standing`, which has the proof) is ever certain of an answer that is not
    the policy's likeliest, or the strategy's, or that of the most expected weight, is at most
    `error`. Whether the likeliest answer is right it cannot tell.

    Raises `InputError` for a field out of range.
    """

    error: float = 0.05
    """Of the test, in (0, 0.5]; at 0.05 seven votes for one answer and none for another do."""
    batch: int = 4
    """Votes asked for at once, >= 1; as many more at first as the test needs at least."""
    most: int | None = None
    """Votes at most, >= 1. None: the width of `BestOfN`, else 16 searches."""

    def __post_init__(self) -> None:
        check_error("until.error", self.error)
        check_int("until.batch", self.batch, 1, MOST)
        if self.most is not None:
            check_int("until.most", self.most, 1, MOST, ", or None")

    def most_votes(self, strategy: Strategy) -> int:
        """What may be asked for of one problem."""
        if isinstance(strategy, BestOfN):
            return strategy.width if self.most is None else min(self.most, strategy.width)
        return SEARCHES if self.most is None else self.most

    def next_votes(self, asked: int, strategy: Strategy) -> int:
        """How many to ask for behind the first `asked`; 0 where there may be no more."""
        wanted = self.batch if asked else max(self.batch, fewest_votes(self.error))
        return min(wanted, self.most_votes(strategy) - asked)

    def opening(self, strategy: S) -> S:
        """What the first search of a problem is made with."""
        if not isinstance(strategy, BestOfN):
            return strategy
        return replace(strategy, width=self.next_votes(0, strategy))


def check_until(until: object, strategy: Strategy, vote: str, straggler: float) -> None:
    """Refuse what votes cannot be tested under.

    # Errors
    `InputError` that names it.
    """
    if not isinstance(until, Certain):
        raise InputError(f"until must be an ets.Certain or None, got {shown(until)}")
    if straggler:
        raise InputError(
            f"straggler must be 0 with until, got {straggler:g}: samples that come back late are "
            "longer, and dropping them would bias the votes"
        )
    if vote == "best" and isinstance(strategy, BestOfN):
        raise InputError(
            "vote must be 'majority' or 'weighted' with until, got 'best': one solution's score "
            "cannot be certain"
        )


def check_independent(strategy: Strategy, vote: str, prms: Iterable[PRM]) -> None:
    """Refuse weights of votes that depend on the other votes.

    # Errors
    `InputError` that says what to do.
    """
    if vote == "weighted" and isinstance(strategy, BestOfN):
        for prm in prms:
            if isinstance(prm, JudgesSteps) and getattr(prm, "judges_by_rank", True):
                raise InputError(
                    "vote must be 'majority' with until and a PRM that judges solutions beside "
                    "each other, got 'weighted': their weights are not independent "
                    "(policy?scale=map gives some that are)"
                )
