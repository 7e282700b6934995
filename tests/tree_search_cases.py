"""Strategies, worlds and children for tests of `TreeSearch`."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from hypothesis import strategies as st

from ets.errors import SolverError
from ets.strategy import (
    DORA,
    DVTS,
    ETS,
    REBASE,
    BeamSearch,
    BestOfN,
    Decision,
    ParticleFilter,
    Strategy,
    View,
)
from ets.tree_search.search import Child, TreeSearch
from scripted import World

ONE = np.array([1.0, 0.0], dtype=np.float32)
TWO = np.array([0.0, 1.0], dtype=np.float32)


@st.composite
def strategies(draw: st.DrawFn) -> Strategy:
    width = draw(st.integers(1, 20))
    reward: Any = draw(st.sampled_from(["last", "min", "prod"]))
    all_of_them: list[Strategy] = [
        ETS(width=width, reward=reward),
        ETS(width=width, lambda_b=2.5, lambda_d=0.3, node_cost="tokens"),
        ETS(width=width, lambda_d=0.0, reward=reward),
        REBASE(width=width, reward=reward),
        BeamSearch(width=width, reward=reward),
        BeamSearch(width=width, beam=3),
        DVTS(width=width, reward=reward),
        ParticleFilter(width=width, reward=reward),
        DORA(width=width, reward=reward),
        DVTS(width=width, subtrees=max(1, width // 3)),
        BestOfN(width=width),
    ]
    return draw(st.sampled_from(all_of_them))


worlds = st.builds(
    World,
    seed=st.integers(0, 10**6),
    finish=st.sampled_from([0.0, 0.1, 0.3, 0.9, 1.0]),
    decimals=st.sampled_from([0, 1, 6]),
    groups=st.integers(1, 6),
    wordings=st.integers(1, 3),
    max_tokens=st.sampled_from([0, 5, 40]),
)


def begin(strategy: Strategy, **options: Any) -> TreeSearch:
    return TreeSearch(
        strategy, 50, max_tokens=options.pop("max_tokens", 150), max_depth=7, **options
    )


def good(**change: Any) -> Child:
    return dataclasses.replace(Child(0, 5, 0.5, embedding=ONE, text="a"), **change)


class Fails:
    """A strategy of one's own, whose pruner fails the first time at depth 1."""

    width = 2
    needs_embeddings = False

    def __init__(self) -> None:
        self.failed = False

    def decide(self, view: View) -> Decision:
        if view.depth == 1 and not self.failed:
            self.failed = True
            raise SolverError("no time")
        return REBASE(width=2).decide(view)
