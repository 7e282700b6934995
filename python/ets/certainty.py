"""How certain a policy was of the tokens of a step, as its log-probabilities say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ets.checks import checked_count, shown
from ets.errors import InputError
from ets.pickled import Record

Measure = Literal["logprob", "entropy", "confidence", "self_certainty"]
MEASURES: tuple[Measure, ...] = get_args(Measure)

LEAST_LOGPROB = -100.0
"""No log-probability counts as less: engines say -inf, -9999 and the like of impossible tokens."""
_LEAST_REST = 2.0**-16
"""What the tokens outside the top k have together at least: less is lost in float32 sums."""


@dataclass(frozen=True, slots=True)
class Certainty(Record):
    """Four numbers for each token that a policy sampled for a step.

    They are of the model's own distribution p over its vocabulary, at temperature 1 and before
    `top_p`, in nats:

    - `logprob`: log p of the token that was sampled;
    - `entropy`: of p;
    - `confidence`: minus the mean log p of the k likeliest tokens (DeepConf, arXiv 2508.15260);
    - `self_certainty`: KL(uniform, p), how far p is from knowing nothing (arXiv 2502.18581).

    An engine tells the k likeliest tokens only. The rule for the others, which `entropy` and
    `self_certainty` need: what is left of 1, at least 2**-16, is spread evenly over them, and none
    is likelier than the k-th.
    """

    packed: bytes
    """Little-endian float32[tokens, 4], in the order of `MEASURES`."""

    def __post_init__(self) -> None:
        if not isinstance(self.packed, bytes) or len(self.packed) % (4 * len(MEASURES)):
            raise InputError(
                f"packed must be the bytes of float32[tokens, 4], got {shown(self.packed)}"
            )
        if not np.isfinite(self._rows).all():
            at = int(np.flatnonzero(~np.isfinite(self._rows).all(axis=1))[0])
            raise InputError(
                f"packed must hold finite numbers, got {self._rows[at].tolist()} for token {at}"
            )

    @classmethod
    def of(
        cls, sampled: ArrayLike, top: Sequence[ArrayLike] | NDArray[Any], vocabulary: int
    ) -> Certainty:
        """From log-probabilities.

        `sampled`: [tokens], of the tokens that were sampled; `top`: [tokens, k], of the k likeliest
        at each place, in any order, of which a place may have fewer; `vocabulary`: the tokens of p.

        # Errors
        `InputError` for lengths that differ, a place without a likeliest token, NaN, or more tokens
        than the vocabulary has.
        """
        vocabulary = checked_count("vocabulary", vocabulary)
        mine = np.asarray(sampled, dtype=np.float64).reshape(-1)
        ranked, there = _table(top)
        if len(mine) != len(ranked):
            raise InputError(
                f"top must have a row for each of the {len(mine)} tokens sampled, got {len(ranked)}"
            )
        counts = there.sum(axis=1)
        if len(counts) and not 1 <= counts.min() <= counts.max() <= vocabulary:
            at = int(np.flatnonzero((counts < 1) | (counts > vocabulary))[0])
            raise InputError(
                f"top[{at}] must hold 1 to {vocabulary} log-probabilities, got {counts[at]}"
            )
        if np.isnan(mine).any() or np.isnan(ranked).any():
            raise InputError("sampled and top must be numbers, got nan")
        logs = np.clip(ranked, LEAST_LOGPROB, 0.0)
        shares = np.where(there, np.exp(logs), 0.0)
        sums = np.where(there, logs, 0.0).sum(axis=1)
        others = vocabulary - counts
        rest = np.maximum(1.0 - shares.sum(axis=1), _LEAST_REST)
        least = np.where(there, logs, 0.0).min(axis=1, initial=0.0)
        each = np.minimum(np.log(rest / np.maximum(others, 1)), least)
        entropy = -(shares * logs).sum(axis=1) - others * np.exp(each) * each
        far = -np.log(vocabulary) - (sums + others * each) / vocabulary
        rows = np.stack(
            [np.clip(mine, LEAST_LOGPROB, 0.0), entropy, -sums / np.maximum(counts, 1), far], axis=1
        )
        return cls(rows.astype("<f4").tobytes())

    def of_tokens(self, measure: Measure) -> NDArray[np.float32]:
        """float32[tokens] of one measure."""
        return self._rows[:, MEASURES.index(measure)]

    def first(self, tokens: int) -> Certainty:
        """That of the first tokens only."""
        return Certainty(self.packed[: 4 * len(MEASURES) * tokens])

    def then(self, more: Certainty) -> Certainty:
        """That of the tokens of both, one after the other."""
        return Certainty(self.packed + more.packed)

    def __len__(self) -> int:
        return len(self.packed) // (4 * len(MEASURES))

    @property
    def _rows(self) -> NDArray[np.float32]:
        return np.frombuffer(self.packed, dtype="<f4").reshape(-1, len(MEASURES))


def _table(
    top: Sequence[ArrayLike] | NDArray[Any],
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Rows side by side, and which entries are there."""
    if isinstance(top, np.ndarray) and top.ndim == 2:
        return top.astype(np.float64), np.ones(top.shape, dtype=np.bool_)
    rows = [np.asarray(row, dtype=np.float64).reshape(-1) for row in top]
    width = max((len(row) for row in rows), default=0)
    table = np.zeros((len(rows), width))
    there = np.zeros((len(rows), width), dtype=np.bool_)
    for at, row in enumerate(rows):
        table[at, : len(row)] = row
        there[at, : len(row)] = True
    return table, there
