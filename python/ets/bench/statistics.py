"""Intervals, paired comparisons, and estimates over subsets of samples."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ets.errors import InputError

Z95 = 1.959963984540054
"""The normal quantile of a two-sided 95% interval."""

_DRAWN_AT_ONCE = 1 << 18
"""Values of a bootstrap's draws that are in memory together."""


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with its 95% interval."""

    value: float
    low: float
    high: float


def wilson(right: float, total: int) -> Interval:
    """A proportion with Wilson's 95% score interval (Wilson, 1927).

    `right` may be a mean of several seeds' counts: the problems are what was drawn.

    # Errors
    `InputError` unless 0 <= right <= total and total >= 1.
    """
    if total < 1 or not 0 <= right <= total:
        raise InputError(f"right must lie in [0, total], total be at least 1: {right} of {total}")
    share, z2 = right / total, Z95**2 / total
    centre = (share + z2 / 2) / (1 + z2)
    half = math.sqrt(share * (1 - share) * z2 + z2 * z2 / 4) / (1 + z2)
    return Interval(share, max(0.0, centre - half), min(1.0, centre + half))


def paired_bootstrap(a: ArrayLike, b: ArrayLike, *, draws: int = 10_000, seed: int = 0) -> Interval:
    """The mean of `a - b` over the same problems and seeds, with a bootstrap's 95% interval.

    `a` and `b`: float[problems, seeds]. Problems are resampled, then seeds within each: what would
    differ with other problems and other luck. Percentile interval (Efron, 1979).

    # Errors
    `InputError` if the shapes differ, or are not of two dimensions with something in them.
    """
    means = bootstrap_means(a, b, draws=draws, seed=seed)
    low, high = np.quantile(means, (0.025, 0.975))
    difference = np.asarray(a, dtype=np.float64) - np.asarray(b, dtype=np.float64)
    return Interval(float(difference.mean()), float(low), float(high))


def bootstrap_means(
    a: ArrayLike, b: ArrayLike, *, draws: int = 10_000, seed: int = 0
) -> NDArray[np.float64]:
    """float[draws]: the means of `a - b` that `paired_bootstrap` takes its interval from."""
    x, y = _pairs(a, b)
    difference = x - y
    return np.concatenate(
        [
            difference[rows, columns].mean(axis=(1, 2))
            for rows, columns in _resamples(difference.shape, draws, seed)
        ]
    )


def paired_ratio(a: ArrayLike, b: ArrayLike, *, draws: int = 10_000, seed: int = 0) -> Interval:
    """The mean of `a` divided by that of `b`, over the same problems and seeds, with a bootstrap's
    95% interval, which resamples as `paired_bootstrap` does.

    `a` and `b`: float[problems, seeds], of quantities such as KV tokens.

    # Errors
    `InputError` if the shapes differ, or are not of two dimensions with something in them; unless
    all of `a` is finite and >= 0, all of `b` finite and > 0.
    """
    x, y = _pairs(a, b)
    for name, values, good in (("a", x, x >= 0), ("b", y, y > 0)):
        if not (good & np.isfinite(values)).all():
            least = ">= 0" if name == "a" else "> 0"
            raise InputError(f"{name} must be finite and {least}, got {values.min()}")
    ratios = np.concatenate(
        [
            x[rows, columns].sum(axis=(1, 2)) / y[rows, columns].sum(axis=(1, 2))
            for rows, columns in _resamples(x.shape, draws, seed)
        ]
    )
    low, high = np.quantile(ratios, (0.025, 0.975))
    return Interval(float(x.sum() / y.sum()), float(low), float(high))


def _pairs(a: ArrayLike, b: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    x, y = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if x.shape != y.shape or x.ndim != 2 or x.size == 0:
        raise InputError(f"a and b must be [problems, seeds] alike, got {x.shape} and {y.shape}")
    return x, y


def _resamples(
    shape: tuple[int, ...], draws: int, seed: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Rows, int[n, problems, 1], and columns, int[n, problems, seeds], of n draws at a time."""
    problems, seeds = shape
    rng = np.random.default_rng(seed)
    at_once = max(1, _DRAWN_AT_ONCE // (problems * seeds))
    for begin in range(0, draws, at_once):
        n = min(at_once, draws - begin)
        rows = rng.integers(0, problems, (n, problems, 1))
        yield rows, rng.integers(0, seeds, (n, problems, seeds))


def mcnemar(a: ArrayLike, b: ArrayLike) -> float:
    """The exact two-sided p-value of McNemar's test: are `a` and `b` right equally often?

    `a` and `b`: bool[n], of the same problems. 1 where they never differ.

    # Errors
    `InputError` if their lengths differ.
    """
    x, y = np.asarray(a, dtype=bool), np.asarray(b, dtype=bool)
    if x.shape != y.shape or x.ndim != 1:
        raise InputError(f"a and b must be as long as each other, got {x.shape} and {y.shape}")
    only_a, only_b = int((x & ~y).sum()), int((y & ~x).sum())
    n, least = only_a + only_b, min(only_a, only_b)
    if n == 0:
        return 1.0
    # Python's integers: the tail of a binomial of many trials is exact, too.
    tail = sum(math.comb(n, k) for k in range(least + 1))
    return min(1.0, tail / (1 << (n - 1)))


def pass_at_k(samples: int, right: int, k: int) -> float:
    """The chance that one of k of these samples is right, unbiased (Chen et al., 2021).

    `1 - C(samples - right, k) / C(samples, k)`.

    # Errors
    `InputError` unless 0 <= right <= samples and 1 <= k <= samples.
    """
    if not 0 <= right <= samples:
        raise InputError(f"right must lie in [0, {samples}], got {right}")
    if not 1 <= k <= samples:
        raise InputError(f"k must lie in [1, {samples}], got {k}")
    return 1.0 - math.comb(samples - right, k) / math.comb(samples, k)


def vote_at_k(
    classes: Sequence[int],
    hits: Sequence[bool],
    k: int,
    *,
    weights: Sequence[float] | None = None,
    draws: int = 200,
    seed: int = 0,
) -> float:
    """The chance that k of these samples vote for a right answer.

    `classes`: int[n], equal answers alike, -1 for none, which does not vote; `hits`: bool[n];
    `weights`: float[n], for the weighted majority. Ties go to the answer that is seen first, as in
    `ets.answer.vote`. The mean over `draws` subsets, drawn by `seed`; exact where k is n.

    # Errors
    `InputError` for lengths that differ, or k outside of 1..n.
    """
    n = len(classes)
    if len(hits) != n or (weights is not None and len(weights) != n):
        raise InputError(f"hits and weights must be as long as classes: {n}")
    if not 1 <= k <= n:
        raise InputError(f"k must lie in [1, {n}], got {k}")
    label, right = np.asarray(classes), np.asarray(hits, dtype=bool)
    weight = np.ones(n) if weights is None else np.asarray(weights, dtype=np.float64)
    if k == n:
        return float(_winner_is_right(label, right, weight))
    rng = np.random.default_rng(seed)
    subsets = (np.sort(rng.permutation(n)[:k]) for _ in range(draws))
    return float(np.mean([_winner_is_right(label[s], right[s], weight[s]) for s in subsets]))


def _winner_is_right(
    label: NDArray[np.int64], right: NDArray[np.bool_], weight: NDArray[np.float64]
) -> bool:
    totals: dict[int, float] = {}
    first: dict[int, int] = {}
    for i, k in enumerate(label.tolist()):
        if k >= 0:
            totals[k] = totals.get(k, 0.0) + float(weight[i])
            first.setdefault(k, i)
    if not totals:
        return False
    winner = max(totals, key=lambda k: (totals[k], -first[k]))
    return bool(right[first[winner]])
