"""All that a search of one problem is at a point in time: what is saved, and loaded."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ets._core import Tree
from ets.strategy.base import Strategy
from ets.tree.events import Event
from ets.tree.frontier import Frontier
from ets.tree.kv_record import KVRecord
from ets.tree.nodes import Nodes
from ets.tree.trajectory import Trajectory
from ets.tree_search.asks import OpenStep


@dataclass(slots=True)
class State:
    """The parts of a `TreeSearch`, which see; the search's own, not copies."""

    strategy: Strategy
    prompt_tokens: int
    seed: int
    max_tokens: int
    max_depth: int
    kv_budget: int | None
    remaining: int
    end: str | None
    tree: Tree
    nodes: Nodes
    trajectories: list[Trajectory]
    events: list[Event]
    kv: KVRecord
    open_step: OpenStep
    candidates: list[int]
    frontier: Frontier
    """Of the candidates, or of those that are continued."""
    embeddings: dict[int, NDArray[np.float32]]
    """Of the candidates, by node."""
