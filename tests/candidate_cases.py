"""Candidates made by hand: which problems each gets right, and what its searches cost."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ets.answer import VoteMethod
from ets.bench.candidates import Candidate, Candidates, Floats, Spent
from ets.bench.grid import Cell, Grid


def candidate(
    name: str,
    right: ArrayLike,
    cost: ArrayLike,
    *,
    width: int = 4,
    vote: VoteMethod = "weighted",
    prm: float = 0.0,
    seconds: bool = True,
    **options: Any,
) -> Candidate:
    """`right` and `cost` (sampled tokens, KV tokens, seconds of sampling): [problems, seeds], or
    [problems] of one seed; a single cost is everyone's."""
    hits = np.array(right, dtype=np.float64)
    hits = hits[:, None] if hits.ndim == 1 else hits
    spent = np.array(cost, dtype=np.float64)
    spent = np.broadcast_to(spent if spent.ndim != 1 else spent[:, None], hits.shape).copy()
    scored = not (name == "best-of-n" and vote == "majority")
    times = spent if seconds else None
    nothing = np.zeros_like(spent)
    return Candidate(
        grid=Grid(),
        run="",
        cell=Cell(name, (("width", width), *options.items())),
        vote=vote,
        scored=scored,
        sampled=None if seconds else 64,
        right=hits,
        spent=Spent(
            spent,
            np.full_like(spent, prm if scored else 0.0),
            spent,
            times,
            nothing if seconds else None,
            nothing if seconds else None,
        ),
    )


def candidates(each: Sequence[Candidate], **about: Any) -> Candidates:
    problems, seeds = each[0].right.shape
    said = {"left_out": (), "machines": ("one",), "banked": False, **about}
    return Candidates(each=tuple(each), problems=problems, seeds=seeds, **said)


def drawn(accuracies: Sequence[float], problems: int, rng: np.random.Generator) -> Floats:
    """[k, problems]: who is right on which of a sample of problems, of which some are harder."""
    hardness = rng.normal(size=(1, problems))
    own = rng.normal(size=(len(accuracies), problems))
    bars = np.array([[NormalDist().inv_cdf(accuracy)] for accuracy in accuracies])
    right: Floats = (np.sqrt(0.6) * hardness + np.sqrt(0.4) * own < bars).astype(np.float64)
    return right
