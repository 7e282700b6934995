"""Best-of-N: independent samples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ets.checks import check_int
from ets.pickled import Pickled
from ets.strategy.base import Decision, View
from ets.strategy.width import MAX_WIDTH, all_to_root


@dataclass(frozen=True, slots=True, kw_only=True)
class BestOfN(Pickled):
    """`width` independent samples: every leaf goes on by itself, nothing is pruned
    (Cobbe et al., 2021, arXiv 2110.14168). Raises `InputError` for a width out of range."""

    width: int
    """Trajectories to complete, 1 to 2**32."""

    def __post_init__(self) -> None:
        check_int("width", self.width, 1, MAX_WIDTH)

    @property
    def needs_embeddings(self) -> bool:
        """False."""
        return False

    @property
    def needs_steps(self) -> bool:
        """False: policies that write whole answers will do."""
        return False

    def decide(self, view: View) -> Decision:
        """One continuation for each leaf; the root gets the whole width."""
        if view.depth == 0:
            return all_to_root(view)
        n = len(view.nodes)
        return Decision(order=np.arange(n, dtype=np.int64), counts=np.ones(n, dtype=np.int64))
