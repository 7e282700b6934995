"""What `Certainty` is to hold, token by token and in plain Python."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ets import demo
from ets.certainty import MEASURES, Certainty, Measure

PROBLEM = str(demo.problems()[2]["problem"])
REST = 2.0**-16
NATS = 1e-3
"""That the numbers of one token may be off, in float32 on any backend."""
_LEFT = 2.0**-19
"""And what a sum of float32 leaves of 1: two roundings of logits of up to 32."""


def wrong_places(
    certainty: Certainty, ids: Sequence[int], logs: NDArray[np.float64], top: int
) -> list[str]:
    """The tokens at which it is not what whole distributions, [tokens, V], say."""
    wrong = []
    for measure in MEASURES:
        found = certainty.of_tokens(measure).tolist()
        for at, (number, row, token) in enumerate(zip(found, logs, ids, strict=True)):
            wanted = plain_measures(row, token, top)[measure]
            rest = 1 - sum(math.exp(log) for log in sorted(row.tolist(), reverse=True)[:top])
            guesses = measure == "self_certainty" and top < len(row)
            off = NATS + (_LEFT / max(rest, REST) if guesses else 0.0)
            if not abs(number - wanted) <= off:
                wrong.append(f"token {at}: {measure} {number}, not {wanted} within {off:.3g}")
    return wrong


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
