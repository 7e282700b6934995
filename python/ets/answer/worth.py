"""What further votes are worth: the chance that they set a wrong majority right."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_FARTHEST = 128
"""Votes of the two leading answers that are looked ahead, at most."""


def worth_of_votes(counts: Sequence[int], batch: int) -> float:
    """What the next votes of a problem are worth, each: at least 0, at most 1.

    `counts` are the votes so far by answer, in any order; `batch` >= 1 are asked for at once. Of
    the two leading answers, with `a >= b` votes, one is the likeliest; how the votes for them fall,
    `theta`, has a uniform prior, so that now it is Beta(a + 1, b + 1). With `h` more votes for the
    two, the majority is the likelier one with a chance that is greater by

    ```text
    gain(h) = E[max(P(theta > 1/2 | then), P(theta < 1/2 | then))] - P(theta > 1/2 | now)
    ```

    over how these votes may fall. It is 0 where they cannot turn the majority, so the best of
    `batch`, 2 `batch`, 4 `batch`, ... is taken: the largest `gain(h)` by the votes that it takes,
    `h` times all votes over those of the two.
    """
    a, b = ([*sorted(counts, reverse=True), 0, 0])[:2]
    all_votes = sum(counts)
    if a == 0:
        return 1.0  # nothing is known
    per_vote = (a + b) / all_votes
    best, h = 0.0, batch
    while True:
        best = max(best, _gain(a, b, h) / h)
        if h >= max(_FARTHEST, batch):
            return best * per_vote
        h *= 2


def _gain(a: int, b: int, h: int) -> float:
    n = a + b + h
    logs = _log_factorials(n + 1)
    # P(Beta(x + 1, y + 1) > 1/2) is the chance of at most x heads among x + y + 1.
    at = np.arange(n + 2)
    heads = np.exp(logs[n + 1] - logs[at] - logs[n + 1 - at] - (n + 1) * math.log(2.0))
    over = np.cumsum(heads)[a : a + h + 1]
    k = np.arange(h + 1)
    chance = np.exp(
        logs[h]
        - logs[k]
        - logs[h - k]
        + (logs[a + k] + logs[b + h - k] - logs[n + 1])
        - (logs[a] + logs[b] - logs[a + b + 1])
    )
    then = float((chance * np.maximum(over, 1.0 - over)).sum())
    now = float((chance * over).sum())
    return max(0.0, then - max(now, 1.0 - now))


def _log_factorials(n: int) -> NDArray[np.float64]:
    """[n + 1]: the logarithms of 0! to n!."""
    return np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, n + 1)))])
