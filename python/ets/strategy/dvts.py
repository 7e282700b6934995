"""DVTS: independent subtrees."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ets._core import dvts_weights
from ets.checks import check_choice, check_int
from ets.pickled import Pickled
from ets.strategy.base import Decision, View
from ets.strategy.width import MAX_WIDTH, all_to_root
from ets.tree.nodes import Reward


@dataclass(frozen=True, slots=True, kw_only=True)
class DVTS(Pickled):
    """Diverse verifier tree search: independent subtrees, the best leaf of each goes on.

    The unfinished nodes of depth 1 form `subtrees` blocks in order (the first ones longer by one
    where they do not divide evenly), and the width that remains there is shared out likewise. Each
    subtree's share shrinks by one with each trajectory that completes in it, so that exactly
    `width` trajectories complete; in the published code it does not.

    Raises `InputError` for a field out of range.
    """

    width: int
    """Trajectories to complete, 1 to 2**32."""
    subtrees: int | None = None
    """1 to `width`; None: `ceil(sqrt(width))`. Fewer where depth 1 has fewer unfinished nodes."""
    reward: Reward = "last"

    def __post_init__(self) -> None:
        check_int("width", self.width, 1, MAX_WIDTH)
        if self.subtrees is not None:
            check_int("subtrees", self.subtrees, 1, self.width, " (the width), or None")
        check_choice("reward", self.reward, Reward)

    @property
    def needs_embeddings(self) -> bool:
        """False."""
        return False

    def decide(self, view: View) -> Decision:
        """Give each subtree's share to its best leaf; the root gets the whole width."""
        if view.depth == 0:
            return all_to_root(view)
        branch, depth = view.columns.branch, view.columns.depth
        later = [node for node in view.completed if depth[node] > 1]
        closed = set(view.completed)
        trunks = [node for node in view.columns.levels[1] if node not in closed]
        wanted = self.subtrees or math.isqrt(self.width - 1) + 1
        blocks = np.array_split(np.array(trunks, dtype=np.int64), min(wanted, len(trunks)))
        subtree = {int(node): s for s, block in enumerate(blocks) for node in block}
        each, extra = divmod(view.width + len(later), len(blocks))
        shares = np.array([each + (s < extra) for s in range(len(blocks))], dtype=np.int64)
        for node in later:
            shares[subtree[branch[node]]] -= 1
        counts = dvts_weights(
            view.rewards(self.reward),
            np.array([subtree[branch[node]] for node in view.nodes.tolist()], dtype=np.int64),
            np.maximum(shares, 0),
        )
        order = np.flatnonzero(counts)
        return Decision(order=order, counts=counts[order])
