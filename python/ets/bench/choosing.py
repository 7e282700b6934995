"""The rule of a choice, and the same choice made anew on every draw of a bootstrap."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ets.bench.statistics import Interval, wilson

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Places = NDArray[np.int64]

_ROUNDING = 1e-9
"""Differences below it, of costs relative ones, are floating point's."""
_AT_ONCE = 1 << 22
"""Numbers of a bootstrap's weights that are in memory together."""


@dataclass(frozen=True, slots=True)
class Rule:
    """Of those that cost no more than `at_most`, the cheapest whose accuracy is within `loss` of
    the best one's; of equal costs the more accurate, then the first."""

    at_most: float | None
    loss: float

    def affordable(self, costs: Floats) -> Flags:
        """float64[..., k] -> bool[..., k]; where nothing is, the cheapest stands for it."""
        if self.at_most is None:
            return np.ones(costs.shape, dtype=np.bool_)
        paid: Flags = costs <= self.at_most * (1 + _ROUNDING)
        least = costs <= costs.min(axis=-1, keepdims=True) * (1 + _ROUNDING)
        found: Flags = np.where(paid.any(axis=-1, keepdims=True), paid, least)
        return found

    def good(self, accuracies: Floats, costs: Floats) -> Flags:
        """bool[..., k]: affordable, and within the loss of the best that is."""
        paid = self.affordable(costs)
        best = np.where(paid, accuracies, -np.inf).max(axis=-1, keepdims=True)
        near: Flags = accuracies >= best - self.loss - _ROUNDING
        return paid & near

    def choose(self, accuracies: Floats, costs: Floats) -> Places:
        """int64[...]: which of the k."""
        good = self.good(accuracies, costs)
        priced = np.where(good, costs, np.inf)
        cheap = priced <= priced.min(axis=-1, keepdims=True) * (1 + _ROUNDING)
        worth = np.where(cheap, accuracies, -np.inf)
        best: Places = (worth >= worth.max(axis=-1, keepdims=True) - _ROUNDING).argmax(axis=-1)
        return best


@dataclass(frozen=True, slots=True, eq=False)
class Draws:
    """A bootstrap over problems and, within each, seeds, the same for all k candidates."""

    accuracies: Floats
    """float64[draws, k]"""
    costs: Floats
    """float64[draws, k]"""
    unseen: Flags
    """bool[draws, problems]: which problems a draw has not."""

    @classmethod
    def of(cls, right: Floats, spent: Floats, draws: int, seed: int) -> Draws:
        """`right` and `spent`: float64[k, problems, seeds]."""
        k, problems, seeds = right.shape
        accuracies, costs, unseen = [], [], []
        flat_right, flat_spent = right.reshape(k, -1).T, spent.reshape(k, -1).T
        for weights in _weights(problems, seeds, draws, seed):
            accuracies.append(weights @ flat_right / (problems * seeds))
            costs.append(weights @ flat_spent / (problems * seeds))
            unseen.append(weights.reshape(len(weights), problems, seeds).sum(axis=2) == 0)
        return cls(np.concatenate(accuracies), np.concatenate(costs), np.concatenate(unseen))

    def outcome(self, values: Floats, choices: Places) -> Floats:
        """float64[problems]: the mean of `values` (float64[k, problems]) of what was chosen, by
        `choices` (int64[draws]), on those draws that have not seen the problem."""
        k = len(values)
        picked = np.zeros((len(choices), k))
        picked[np.arange(len(choices)), choices] = 1.0
        times = picked.T @ self.unseen.astype(np.float64)  # [k, problems]
        outcome: Floats = (times * values).sum(axis=0) / times.sum(axis=0)
        return outcome

    def good(self, rule: Rule, chosen: int, *, luck: float = 0.0) -> float:
        """The share of the draws in which the candidate at the place `chosen` is affordable and
        within the loss of the best one, its accuracy lessened by `luck`."""
        paid = rule.affordable(self.costs)
        others = np.where(paid, self.accuracies, -np.inf)
        others[:, chosen] = -np.inf
        mine = self.accuracies[:, chosen] - luck
        near = mine >= others.max(axis=1) - rule.loss - _ROUNDING
        return float((paid[:, chosen] & near).mean())


def interval_of_shares(shares: Floats) -> Interval:
    """Wilson's interval of a mean of shares, one a problem: at least as wide as that of their own
    spread, which leaves out that the choice might have been another."""
    return wilson(float(np.clip(shares.sum(), 0, len(shares))), len(shares))


def _weights(problems: int, seeds: int, draws: int, seed: int) -> Iterator[Floats]:
    """float64[n, problems * seeds]: how often each of n draws has a search."""
    rng = np.random.default_rng(seed)
    size = problems * seeds
    at_once = max(1, _AT_ONCE // size)
    for begin in range(0, draws, at_once):
        n = min(at_once, draws - begin)
        rows = rng.integers(0, problems, (n, problems, 1))
        columns = rng.integers(0, seeds, (n, problems, seeds))
        places = rows * seeds + columns + size * np.arange(n).reshape(n, 1, 1)
        yield np.bincount(places.ravel(), minlength=n * size).reshape(n, size).astype(np.float64)
