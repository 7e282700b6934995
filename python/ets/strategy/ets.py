"""ETS: REBASE over the leaves worth their KV cache."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ets._core import cluster_steps, rebase_weights
from ets.checks import check_number
from ets.pickled import Pickled
from ets.strategy.base import Decision, View
from ets.strategy.pruned import Candidates, Chosen, Labels, NodeCost, Solver, check_settings, prune
from ets.tree.nodes import Reward

PUBLISHED_LAMBDA_D = {16: 1.5, 64: 1.4, 256: 1.45}
"""The paper's coverage weights by width."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ETS(Pickled):
    """REBASE over the leaves worth their KV cache (Hooper et al., 2025, arXiv 2502.13575).

    With `O` the REBASE share of each leaf, `cost` the part of all nodes on paths to candidates (or
    of their tokens) and `K` the number of clusters, the pruner keeps the leaves that maximise
    `sum O` of the leaves kept `- lambda_b * cost` of the nodes on their paths `+ lambda_d / K *`
    clusters covered, to a proven optimum; REBASE then spreads the full remaining width over them.

    Raises `InputError` for a field out of range.
    """

    width: int
    """Trajectories to complete, 1 to 2**32."""
    lambda_b: float = 1.0
    """Price of keeping the whole tree, 0 to 1e300; 0 prunes nothing, which is REBASE, as long as
    all fits in the search's KV budget."""
    lambda_d: float | None = None
    """Worth of covering every cluster, 0 to 1e300; 0 is ETS-KV, which needs no embeddings. None
    becomes the published value of the nearest published width, in ratio: 1.5 up to 32, 1.4 up to
    128, 1.45 above."""
    temperature: float = 0.2
    """Of the REBASE weights `exp(reward / temperature)`, > 0."""
    cluster_threshold: float = 0.05
    """Cosine distance at which average linkage is cut, in [0, 2]."""
    node_cost: NodeCost = "uniform"
    """`uniform`: each node costs the same, as published; `tokens`: each costs its share of the
    tokens."""
    reward: Reward = "last"
    """How a leaf's reward is formed from its path."""
    solver: Solver = "auto"
    """`auto` and `exact`: the exact method; `milp`: a mixed-integer program, the much slower second
    opinion."""
    time_limit: float | None = None
    """Seconds that one selection may take, > 0; past it the best found so far is taken, and
    `Decision.selection` says that it is not proven. None: no limit, but under a KV budget that
    binds, where a proof can take hours, 5 s."""

    def __post_init__(self) -> None:
        check_settings(self)
        if self.lambda_d is None:
            nearest = min(PUBLISHED_LAMBDA_D, key=lambda w: abs(math.log(self.width / w)))
            object.__setattr__(self, "lambda_d", PUBLISHED_LAMBDA_D[nearest])
        check_number("lambda_d", self.lambda_d, "in [0, 1e300], or None", lambda x: 0 <= x <= 1e300)

    @property
    def needs_embeddings(self) -> bool:
        """Whether coverage counts: `lambda_d > 0`."""
        return bool(self.lambda_d)

    @property
    def obeys_kv_budget(self) -> bool:
        """True: the leaves kept are the best of those sets that fit in the search's KV budget."""
        return True

    def choose(self, among: Candidates[Labels | None]) -> Chosen:
        """What is worth its KV cache."""
        return among.select(
            {
                "lambda_b": self.lambda_b,
                "lambda_d": 0.0 if among.clusters is None else self.lambda_d or 0.0,
                "node_cost": self.node_cost,
                "solver": self.solver,
            }
        )

    def decide(self, view: View) -> Decision:
        """Cluster, select, and spread the remaining width over the leaves kept."""

        def cluster() -> Labels | None:
            # One leaf, or the same step everywhere: there is nothing to tell apart.
            if not self.needs_embeddings or len(view.nodes) == 1 or view.same_texts():
                return None
            return cluster_steps(
                view.embeddings(), self.cluster_threshold, interrupt=view.interrupt
            )

        def rebase(
            _: Candidates[Labels | None], rewards: NDArray[np.float64], kept: NDArray[np.int64]
        ) -> NDArray[np.int64]:
            return rebase_weights(rewards[kept], view.width, self.temperature)

        return prune(self, view, cluster, rebase)
