"""How a width is handed out: what the strategies share."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ets.strategy.base import Decision, View

MAX_WIDTH = 2**32


def best_first(rewards: NDArray[np.float64], counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """The positions with a count, by descending reward; equal rewards first seen first.

    float64[n], int64[n] -> int64[k].
    """
    order = np.argsort(-rewards, kind="stable").astype(np.int64)
    return order[counts[order] > 0]


def largest_remainder(
    weights: NDArray[np.float64], width: int, rewards: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Whole numbers in proportion to the weights, which sum to the width, int64[n].

    Each weight's part of the width, rounded down; what is left goes one each to the largest
    remainders, of equal ones (to 9 decimals) to the larger reward, then to the first. The weights,
    float64[n], are at least 0 and not all 0.
    """
    parts = weights * (width / weights.sum())
    counts: NDArray[np.int64] = np.floor(parts).astype(np.int64)
    # Weights come out of `exp` and sums, whose last bits would decide between equal remainders.
    order = np.lexsort((-rewards, np.round(counts - parts, 9)))
    left = width - int(counts.sum())
    counts[order[:left]] += 1
    return counts


def all_to_root(view: View) -> Decision:
    """The whole width for the only candidate there is at depth 0."""
    return Decision(
        order=np.zeros(1, dtype=np.int64), counts=np.array([view.width], dtype=np.int64)
    )
