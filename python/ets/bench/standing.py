"""How candidates stand beside each other: accuracies, costs, draws, pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ets.bench.candidates import Candidate
from ets.bench.choosing import Draws, Flags, Floats, Rule
from ets.bench.pairs import Pairs
from ets.bench.statistics import Interval, wilson

_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Standing:
    """How one candidate stands beside the recommended one."""

    candidate: Candidate
    accuracy: Interval
    """Wilson's interval over the problems, the seeds averaged."""
    cost: Interval
    """A problem, a bootstrap's interval."""
    against: Interval
    """Accuracy less the recommended one's; these intervals hold for all pairs together."""
    told_apart: bool
    """From the recommended one, by the problems that there are."""
    dominated_by: str | None
    """The label of the most accurate that is no less accurate at no more cost, and better in one of
    the two; None: it is on the frontier."""
    affordable: bool
    share: float
    """Of the bootstrap's draws, those whose choice it is."""


@dataclass(frozen=True, slots=True, eq=False)
class Field:
    """k candidates whose cost is known, the simplest first, which is what breaks ties."""

    each: tuple[Candidate, ...]
    right: Floats
    """float64[k, problems, seeds]"""
    spent: Floats
    """float64[k, problems, seeds]"""
    rule: Rule
    draws: Draws
    pairs: Pairs

    @classmethod
    def of(
        cls,
        priced: Sequence[tuple[Candidate, Floats]],
        rule: Rule,
        *,
        draws: int,
        seed: int,
    ) -> Field:
        """The field of candidates and what their searches cost, float64[problems, seeds] each."""
        order = sorted(priced, key=lambda pair: _simplicity(pair[0]))
        right = np.stack([candidate.right for candidate, _ in order])
        spent = np.stack([cost for _, cost in order])
        drawn = Draws.of(right, spent, draws, seed)
        each = tuple(candidate for candidate, _ in order)
        return cls(each, right, spent, rule, drawn, Pairs.of(right, drawn.accuracies))

    @property
    def accuracies(self) -> Floats:
        """float64[k]"""
        means: Floats = self.right.mean(axis=(1, 2))
        return means

    @property
    def costs(self) -> Floats:
        """float64[k], a problem."""
        means: Floats = self.spent.mean(axis=(1, 2))
        return means

    def choose(self, among: Flags) -> int | None:
        """The place of what the rule chooses of some, bool[k]; None of none that is affordable."""
        places = np.flatnonzero(among & self.affordable())
        if not len(places):
            return None
        return int(places[self.rule.choose(self.accuracies[places], self.costs[places])])

    def affordable(self) -> Flags:
        """bool[k]"""
        most = self.rule.at_most
        if most is None:
            return np.ones(len(self.each), dtype=np.bool_)
        paid: Flags = self.costs <= most * (1 + _ROUNDING)
        return paid

    def standings(self, chosen: int) -> list[Standing]:
        """Of each, beside the one at the place `chosen`."""
        accuracies, costs, affordable = self.accuracies, self.costs, self.affordable()
        choices = self.rule.choose(self.draws.accuracies, self.draws.costs)
        shares = np.bincount(choices, minlength=len(self.each)) / len(choices)
        low, high = np.quantile(self.draws.costs, (0.025, 0.975), axis=0)
        problems = self.right.shape[1]
        return [
            Standing(
                candidate,
                wilson(float(min(1.0, accuracies[at]) * problems), problems),
                Interval(float(costs[at]), float(low[at]), float(high[at])),
                self.pairs.interval(at, chosen),
                self.pairs.told_apart(at, chosen),
                _dominator(self.each, accuracies, costs, at),
                bool(affordable[at]),
                float(shares[at]),
            )
            for at, candidate in enumerate(self.each)
        ]


def _dominator(each: Sequence[Candidate], accuracies: Floats, costs: Floats, at: int) -> str | None:
    right, slack = accuracies[at], costs[at] * _ROUNDING
    no_worse = (accuracies >= right - _ROUNDING) & (costs <= costs[at] + slack)
    better = (accuracies > right + _ROUNDING) | (costs < costs[at] - slack)
    found = np.flatnonzero(no_worse & better)
    if not len(found):
        return None
    return each[max(found, key=lambda one: (accuracies[one], -costs[one], -one))].label


def _simplicity(candidate: Candidate) -> tuple[bool, bool, int, str]:
    """Without a PRM before with one, samples before searches, few before many."""
    return (
        candidate.scored,
        not candidate.votes_only,
        candidate.cell.width,
        candidate.label,
    )
