"""Selection of the leaves that are worth their KV cache: what the pruning strategies share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

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
    objective: Mapping[str, Any],
    time_limit: float | None,
) -> tuple[Selection, bool]:
    """The selection among a view's candidates, and whether it may keep all of them for nothing.

    `objective` holds what `ets.Tree.select` takes besides; the view's KV budget counts where it
    binds.
    """
    budget = view.kv_budget
    tree, leaves = view.contracted()
    binds = budget is not None and tree.kv_tokens(leaves) > budget
    selection = tree.select(
        leaves,
        weights,
        clusters,
        # Where it does not bind, ties are broken as if there were none.
        kv_budget=budget if binds else None,
        time_limit=BUDGETED_SECONDS if binds and time_limit is None else time_limit,
        interrupt=view.interrupt,
        **objective,
    )
    # What costs nothing is kept: a tie of the objective, broken so that nothing is pruned then.
    return selection, not objective["lambda_b"] and not binds
