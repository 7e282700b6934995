"""Objects that are pickled in tests."""

from __future__ import annotations

from typing import Any

import numpy as np

import ets
from ets import _core
from ets.rollout.usage import StepUsage, Usage
from ets.tree_search.search import TreeSearch
from scripted import World, play


def grown() -> _core.Tree:
    tree = _core.Tree(2**32 - 1)
    tree.extend(np.array([0, 0, 1, 3]), np.array([5, 0, 2**32 - 1, 7]))
    return tree


def selected(**options: Any) -> _core.Selection:
    return grown().select(
        np.array([2, 4]),
        np.array([1.0, 3.0]),
        np.array([0, 1]),
        lambda_b=0.3,
        lambda_d=1.0,
        **options,
    )


def searched(strategy: ets.ETS | None = None, *, steps: int | None = None) -> TreeSearch:
    """One at its end, or behind some steps, in the middle of the next."""
    search = TreeSearch(strategy or ets.ETS(width=6), 50, seed=3, max_tokens=150, max_depth=7)
    world = World(seed=4, finish=0.1)
    if steps is None:
        return play(search, world)
    for _ in range(steps):
        search.tell([world.child(search, a.node, i) for a in search.ask() for i in a.indices])
    ask = search.ask()[0]
    search.tell([world.child(search, ask.node, ask.indices[0])])
    return search


def result() -> ets.SearchResult:
    usage = Usage(steps=[StepUsage(1, policy_calls=6)], seconds=1.5)
    return ets.SearchResult.of(searched(), problem="What is 1 + 1?", usage=usage)
