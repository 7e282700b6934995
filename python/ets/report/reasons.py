"""Why each candidate was pruned, from what a search has recorded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from ets._core import rebase_weights
from ets.nodes import Reward
from ets.strategy import ETS
from ets.tree_search import TreeSearch

Reason = Literal["reward", "cluster", "kv", "ended"]
"""Why a node is not continued:

- `reward`: by its reward alone: under ETS and REBASE its share of the width rounds to none, under
  another strategy it is not among those that this one continues.
- `cluster`: ETS left it out, and another leaf of its cluster is kept.
- `kv`: ETS left it out: its share of the reward is not worth the KV cache of its branch.
- `ended`: the search ended before it was decided.
"""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is known of one node's selection."""

    reason: Reason | None
    """None where it was continued, is complete, or is not decided yet."""
    share: int | None
    """The continuations that REBASE would give it; None for a node that was no candidate."""


def verdicts(search: TreeSearch) -> list[Verdict]:
    """A verdict for each node, index = id; from rewards, clusters and the remaining widths."""
    nodes, strategy = search.nodes, search.strategy
    found = [Verdict("ended" if fate == "left" else None, None) for fate in nodes.fate]
    temperature = strategy.temperature if isinstance(strategy, ETS) else 0.2
    how: Reward = getattr(strategy, "reward", "last")
    for step in search.kv:
        level = nodes.levels[step.depth]
        candidates = [node for node in level if nodes.fate[node] in ("kept", "pruned")]
        if not candidates:
            continue
        rewards = nodes.rewards(np.array(candidates, dtype=np.int64), how)
        shares = rebase_weights(rewards, step.width, temperature).tolist()
        covered = {nodes.cluster[node] for node in candidates if nodes.fate[node] == "kept"} - {-1}
        for node, share in zip(candidates, shares, strict=True):
            reason: Reason | None = None
            if nodes.fate[node] == "pruned":
                if share == 0 or not isinstance(strategy, ETS):
                    reason = "reward"
                else:
                    reason = "cluster" if nodes.cluster[node] in covered else "kv"
            found[node] = Verdict(reason, share)
    return found
