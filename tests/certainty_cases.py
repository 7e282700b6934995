"""What `Certainty` is to hold, token by token and in plain Python."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ets import demo
from ets.certainty import Measure

PROBLEM = str(demo.problems()[2]["problem"])
REST = 2.0**-16
TOLERANCE: dict[Measure, float] = {
    "logprob": 1e-3,
    "entropy": 1e-3,
    "confidence": 1e-3,
    "self_certainty": 0.02,
}
"""Nats of one token, in float32 on any backend. What a sum of float32 leaves of 1 has an error of
some 1e-7, which is most of a hundredth of the least rest."""


def plain_measures(logs: NDArray[np.float64], token: int, top: int) -> dict[Measure, float]:
    """The four numbers of one place, of the whole distribution's log-probabilities."""
    size = len(logs)
    likeliest = sorted(logs.tolist(), reverse=True)[:top]
    others = size - len(likeliest)
    each = 0.0
    if others:
        rest = max(1 - sum(math.exp(log) for log in likeliest), REST)
        each = min(math.log(rest / others), likeliest[-1])
    full = [*likeliest, *[each] * others]
    uniform = 1 / size
    return {
        "logprob": float(logs[token]),
        "entropy": -sum(math.exp(log) * log for log in full),
        "confidence": -sum(likeliest) / len(likeliest),
        "self_certainty": sum(uniform * (math.log(uniform) - log) for log in full),
    }
