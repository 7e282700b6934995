"""Selection of the leaves that are worth their KV cache: what the pruning strategies share."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ets._core import Selection
from ets.strategy.base import View

Solver = Literal["auto", "exact", "milp"]
NodeCost = Literal["uniform", "tokens"]

BUDGETED_SECONDS = 5.0
"""For one selection under a KV budget that binds, where the user gave no limit."""


def select(
    view: View,
    weights: NDArray[np.float64],
    clusters: NDArray[np.int64] | None,
    *,
    lambda_b: float,
    lambda_d: float,
    lambda_r: float = 1.0,
    cluster_worth: NDArray[np.float64] | None = None,
    rho: float = 0.0,
    node_cost: NodeCost,
    solver: Solver,
    time_limit: float | None,
) -> tuple[Selection, bool]:
    """The selection among a view's candidates, and whether it may keep all of them for nothing.

    The arguments are those of `ets.Tree.select`; the view's KV budget counts where it binds.
    """
    budget = view.kv_budget
    tree, leaves = view.contracted()
    binds = budget is not None and tree.kv_tokens(leaves) > budget
    selection = tree.select(
        leaves,
        weights,
        clusters,
        lambda_b=lambda_b,
        lambda_d=lambda_d,
        lambda_r=lambda_r,
        cluster_worth=cluster_worth,
        rho=rho,
        node_cost=node_cost,
        # Where it does not bind, ties are broken as if there were none.
        kv_budget=budget if binds else None,
        solver=solver,
        time_limit=BUDGETED_SECONDS if binds and time_limit is None else time_limit,
        interrupt=view.interrupt,
    )
    # What costs nothing is kept: a tie of the objective, broken so that nothing is pruned then.
    return selection, not lambda_b and not binds
