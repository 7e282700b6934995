"""Which of many settings can be told apart by the problems that all of them were tried on."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ets.bench.statistics import Interval

_LEVEL = 0.05
_POWER80 = 0.8416212335729143
"""The normal quantile of 80%: with what chance a difference is to be seen that there is."""


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """Differences of means between any two of k settings, with 95% intervals that hold together.

    `right`: float64[k, problems, seeds] of the same searches; `drawn`: float64[draws, k], the means
    of a bootstrap's draws. The intervals are `difference +- quantile * error`, where `error` is the
    bootstrap's standard deviation of that difference and `quantile` the 95% quantile of the largest
    of all pairs' `|drawn difference - difference| / error` (max-t; Romano and Wolf, 2005), as much
    wider as Student's t of so few problems is than the normal distribution. All pairs count, since
    which one is compared with the others is chosen by the data.
    """

    right: NDArray[np.float64]
    drawn: NDArray[np.float64]
    quantile: float
    """Of the intervals, in standard errors: 1.96 for a single pair."""

    @classmethod
    def of(cls, right: NDArray[np.float64], drawn: NDArray[np.float64]) -> Pairs:
        """Those of all settings."""
        means = right.mean(axis=(1, 2))
        most = np.zeros(len(drawn))
        for a in range(len(means) - 1):
            differences = drawn[:, a, None] - drawn[:, a + 1 :]
            spread = differences - (means[a] - means[a + 1 :])
            error = differences.std(axis=0)
            seen = error > _NOTHING
            if seen.any():
                worst = (np.abs(spread[:, seen]) / error[seen]).max(axis=1)
                np.maximum(most, worst, out=most)
        normal = float(np.quantile(most, 1 - _LEVEL))
        return cls(right, drawn, _student(normal, right.shape[1] - 1))

    @property
    def count(self) -> int:
        """How many pairs the intervals hold for together."""
        k = len(self.right)
        return k * (k - 1) // 2

    def error(self, a: int, b: int) -> float:
        """The bootstrap's standard deviation of the difference, as of a sample."""
        problems = self.right.shape[1]
        deviation = float((self.drawn[:, a] - self.drawn[:, b]).std())
        return deviation * math.sqrt(problems / (problems - 1))

    def interval(self, a: int, b: int) -> Interval:
        """The mean of `a` less that of `b`."""
        difference = float((self.right[a] - self.right[b]).mean())
        half = self.quantile * self.error(a, b)
        return Interval(difference, max(-1.0, difference - half), min(1.0, difference + half))

    def told_apart(self, a: int, b: int) -> bool:
        """Whether the interval leaves out 0, and the problems that differ are enough to say so.

        A bootstrap of few differences, all to one side, has nothing else to draw. m problems that
        differ, all to one side, do so by chance with probability 2^(1 - m) (the sign test's),
        which must be at most 5% of all the pairs together.
        """
        interval = self.interval(a, b)
        if interval.low - _NOTHING <= 0 <= interval.high + _NOTHING:
            return False
        return self._differing(a, b) >= self._least_differing

    def problems_needed(self, a: int, b: int) -> int | None:
        """About how many problems would tell the two apart with a chance of 80%, if they differ as
        here; None where they do not differ."""
        difference = abs(float((self.right[a] - self.right[b]).mean()))
        problems = int(self.right.shape[1])
        if difference <= _NOTHING:
            return None
        by_error = float((self.quantile + _POWER80) * self.error(a, b) / difference) ** 2
        by_sign = self._least_differing / max(1, self._differing(a, b))
        return math.ceil(problems * max(by_error, by_sign))

    def _differing(self, a: int, b: int) -> int:
        each = (self.right[a] - self.right[b]).mean(axis=1)
        return int((np.abs(each) > _NOTHING).sum())

    @property
    def _least_differing(self) -> int:
        return math.ceil(1 + math.log2(max(1, self.count) / _LEVEL))


def _student(z: float, freedom: int) -> float:
    """Student's quantile where the normal one is z, to the second order (Fisher's expansion)."""
    first = (z**3 + z) / (4 * freedom)
    return z + first + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)


_NOTHING = 1e-9
"""Differences of means below it are floating point's."""
