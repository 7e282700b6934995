"""What to run: of all settings the cheapest that is good enough, or the best that can be paid."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ets.bench.candidates import Candidates
from ets.bench.choosing import Rule, interval_of_shares
from ets.bench.cost import Cost
from ets.bench.standing import Field, Standing
from ets.bench.statistics import Interval
from ets.checks import check_number
from ets.errors import InputError

DRAWS = 4000
"""Of the bootstrap."""
WITHIN = 0.01
"""Accuracy that may be lost against the best: a point."""
NOTABLY = 0.9
"""Of the recommended one's cost, what something cheaper may cost at most to be named beside it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """What is wanted: the cheapest setting whose accuracy is within `within` of the best one's,
    among those that cost no more than `at_most`.

    Raises `InputError` for an `at_most` that is not above 0, and a `within` outside of [0, 1].
    """

    cost: Cost = field(default_factory=Cost)
    at_most: float | None = None
    """A problem, in the cost's unit; None: whatever it costs."""
    within: float | None = None
    """A share of the problems. None: 0 beside `at_most`, which makes it the best that can be paid;
    else 0.01."""

    def __post_init__(self) -> None:
        if self.at_most is not None:
            check_number("at_most", self.at_most, "above 0", lambda x: x > 0)
        if self.within is not None:
            right = "in [0, 1], a share of the problems"
            check_number("within", self.within, right, lambda x: 0 <= x <= 1)

    @property
    def loss(self) -> float:
        """Accuracy that may be lost."""
        if self.within is not None:
            return self.within
        return WITHIN if self.at_most is None else 0.0


@dataclass(frozen=True, slots=True)
class Rivals:
    """What would be recommended of sampling and voting alone, and of searches alone."""

    sampling: Standing
    search: Standing
    gain: Interval
    """Accuracy of the search less that of sampling, of the intervals that hold together."""
    told_apart: bool
    """Whether the problems tell the two apart."""


@dataclass(frozen=True, slots=True)
class Recommendation:
    """What to run, how sure that is, and what else could be."""

    limit: Limit
    problems: int
    seeds: int
    standings: tuple[Standing, ...]
    """All that were compared, the cheapest first."""
    unpriced: tuple[str, ...]
    """Labels of candidates whose cost nobody knows: seconds of fewer samples than were drawn."""
    chosen: Standing
    confidence: float
    """The share of the bootstrap's draws in which it is within the loss of the best affordable.
    About right where candidates differ by more than the loss; too high where all are close."""
    cautious: float
    """The same, its accuracy lessened by the luck that choosing it by these problems brought: how
    much more right it is here than `outcome`. Too low rather than too high."""
    shortfall: float
    """With 95% confidence no affordable candidate is more accurate by more than this."""
    outcome: Interval
    """Accuracy that this way of choosing comes to on problems that it did not see."""
    outcome_cost: float
    """Its cost there."""
    simplest: Standing
    """The cheapest of the frontier, by a tenth of the cost or more, that the problems cannot tell
    apart from the recommended one; that itself, where there is none."""
    problems_needed: int | None
    """About how many problems would tell `simplest` from `chosen` in four cases of five; None where
    they are one, or as right as each other."""
    rivals: Rivals | None
    """Search against sampling; None where only one of them is affordable."""
    comparisons: int
    """Pairs for which the intervals of `Standing.against` hold together."""

    @property
    def undecided(self) -> bool:
        """Whether something cheaper cannot be told apart from what is recommended."""
        return self.simplest.candidate is not self.chosen.candidate


def recommend(
    candidates: Candidates, limit: Limit, *, draws: int = DRAWS, seed: int = 0
) -> Recommendation:
    """Choose by the point estimates, and say by a bootstrap of the whole choice what that is worth.

    Problems are resampled, then seeds within each, the same for all candidates; on every draw the
    choice is made anew. `Standing.share` is how often it falls on whom; `Recommendation.outcome` is
    the mean over the problems that a draw has not seen (a leave-one-out bootstrap, Efron and
    Tibshirani, 1997), which the luck of the chosen one does not flatter. Of equal costs the more
    accurate wins, then what needs no PRM, then what only samples, then the smaller width. Neither
    the order of rows nor that of runs and candidates matters.

    # Errors
    `InputError` where nothing is affordable, no cost is known, seconds cannot be compared, or there
    is one problem only.
    """
    if candidates.problems < 2:
        raise InputError(f"a choice needs at least 2 problems, got {candidates.problems}")
    limit.cost.check(candidates)
    cost = limit.cost.settled(candidates)
    priced = [(one, spent) for one in candidates.each if (spent := cost.of(one)) is not None]
    if not priced:
        raise InputError(f"by {cost.by}: no candidate's cost is known")
    rule = Rule(limit.at_most, limit.loss)
    compared = Field.of(priced, rule, draws=draws, seed=seed)
    chosen = compared.choose(np.ones(len(priced), dtype=np.bool_))
    if chosen is None:
        cheapest = int(compared.costs.argmin())
        raise InputError(
            f"at_most {limit.at_most:g} {cost.unit} a problem is too little: the cheapest, "
            f"{compared.each[cheapest].label}, takes {compared.costs[cheapest]:,.4g}"
        )
    standings = compared.standings(chosen)
    alike = [
        at
        for at, one in enumerate(standings)
        if one.affordable
        and not one.told_apart
        and one.dominated_by is None
        # Who has less to pay only in name need not be told.
        and compared.costs[at] <= NOTABLY * compared.costs[chosen]
    ]
    simplest = min(alike, key=lambda at: compared.costs[at], default=chosen)
    boot = compared.draws
    choices = rule.choose(boot.accuracies, boot.costs)
    outcome = interval_of_shares(boot.outcome(compared.right.mean(axis=2), choices))
    luck = max(0.0, standings[chosen].accuracy.value - outcome.value)
    known = {one.label for one, _ in priced}
    return Recommendation(
        limit=Limit(cost=cost, at_most=limit.at_most, within=limit.within),
        problems=candidates.problems,
        seeds=candidates.seeds,
        standings=tuple(sorted(standings, key=lambda one: one.cost.value)),
        unpriced=tuple(one.label for one in candidates.each if one.label not in known),
        chosen=standings[chosen],
        confidence=boot.good(rule, chosen),
        cautious=boot.good(rule, chosen, luck=luck),
        shortfall=max(one.against.high for one in standings if one.affordable),
        outcome=outcome,
        outcome_cost=float(boot.outcome(compared.spent.mean(axis=2), choices).mean()),
        simplest=standings[simplest],
        problems_needed=compared.pairs.problems_needed(simplest, chosen),
        rivals=_rivals(compared, standings),
        comparisons=compared.pairs.count,
    )


def _rivals(compared: Field, standings: list[Standing]) -> Rivals | None:
    samples = np.array([one.votes_only for one in compared.each])
    sampling, search = compared.choose(samples), compared.choose(~samples)
    if sampling is None or search is None:
        return None
    return Rivals(
        standings[sampling],
        standings[search],
        compared.pairs.interval(search, sampling),
        compared.pairs.told_apart(search, sampling),
    )
