"""Selection of the leaves that are worth their KV cache: what the pruning strategies share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter_ns
from typing import Any, Generic, Literal, Protocol, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from ets._core import Selection, rebase_weights
from ets.checks import check_choice, check_int, check_number
from ets.strategy.base import Decision, View
from ets.strategy.width import MAX_WIDTH, best_first
from ets.tree.nodes import Reward

Solver = Literal["auto", "exact", "milp"]
NodeCost = Literal["uniform", "tokens"]
Labels: TypeAlias = NDArray[np.int64]
C = TypeVar("C", bound=Labels | None)

BUDGETED_SECONDS = 5.0
"""For one selection under a KV budget that binds, where the user gave no limit."""


class Pruning(Protocol):
    """The settings that pruning strategies have in common."""

    @property
    def width(self) -> int: ...
    @property
    def lambda_b(self) -> float: ...
    @property
    def temperature(self) -> float: ...
    @property
    def cluster_threshold(self) -> float: ...
    @property
    def node_cost(self) -> NodeCost: ...
    @property
    def reward(self) -> Reward: ...
    @property
    def solver(self) -> Solver: ...
    @property
    def time_limit(self) -> float | None: ...
    def objective(self, shares: NDArray[np.int64], clusters: Any, /) -> dict[str, Any]:
        """What the pruner is asked of candidates with these REBASE counts and cluster labels, both
        [n], as arguments of `ets.Tree.select`."""
        ...


@dataclass(frozen=True, slots=True)
class Candidates(Generic[C]):
    """What a selection was made by."""

    rewards: NDArray[np.float64]  # [n]
    shares: NDArray[np.int64]  # [n], REBASE's
    clusters: C  # [n]
    objective: dict[str, Any]


def check_settings(strategy: Pruning) -> None:
    """Refuse common settings that are out of range, with `InputError`."""
    check_int("width", strategy.width, 1, MAX_WIDTH)
    check_number("lambda_b", strategy.lambda_b, "in [0, 1e300]", lambda x: 0 <= x <= 1e300)
    check_number("temperature", strategy.temperature, "> 0", lambda x: x > 0)
    threshold = strategy.cluster_threshold
    check_number("cluster_threshold", threshold, "in [0, 2]", lambda x: 0 <= x <= 2)
    check_choice("node_cost", strategy.node_cost, NodeCost)
    check_choice("reward", strategy.reward, Reward)
    check_choice("solver", strategy.solver, Solver)
    if strategy.time_limit is not None:
        check_number("time_limit", strategy.time_limit, "> 0 seconds, or None", lambda x: x > 0)


def prune(
    strategy: Pruning,
    view: View,
    cluster: Callable[[], C],
    hand_out: Callable[[Candidates[C], NDArray[np.int64]], NDArray[np.int64]],
) -> Decision:
    """Cluster the candidates, select among them, and hand the remaining width to those kept.

    `hand_out` is given the candidates and the positions kept, int64[k]; it returns the
    continuations of each, int64[k], which sum to the width.
    """
    rewards = view.rewards(strategy.reward)
    shares = rebase_weights(rewards, view.width, strategy.temperature)
    start = perf_counter_ns()
    clusters = cluster()
    clustered = perf_counter_ns()
    objective = strategy.objective(shares, clusters)
    selection, free = _select(view, shares, clusters, objective, strategy.time_limit)
    selected = perf_counter_ns()
    kept = np.arange(len(rewards)) if free else np.flatnonzero(selection.keep)
    counts = np.zeros(len(rewards), dtype=np.int64)
    counts[kept] = hand_out(Candidates(rewards, shares, clusters, objective), kept)
    order = best_first(rewards, counts)
    return Decision(
        order=order,
        counts=counts[order],
        clusters=clusters,
        selection=selection,
        rebase=shares,
        cluster_us=(clustered - start) / 1e3,
        select_us=(selected - clustered) / 1e3,
    )


def _select(
    view: View,
    shares: NDArray[np.int64],
    clusters: Labels | None,
    objective: dict[str, Any],
    time_limit: float | None,
) -> tuple[Selection, bool]:
    """The selection among a view's candidates, and whether it may keep all of them for nothing."""
    budget = view.kv_budget
    tree, leaves = view.contracted()
    binds = budget is not None and tree.kv_tokens(leaves) > budget
    selection = tree.select(
        leaves,
        shares.astype(np.float64),
        clusters,
        # Where it does not bind, ties are broken as if there were none.
        kv_budget=budget if binds else None,
        time_limit=BUDGETED_SECONDS if binds and time_limit is None else time_limit,
        interrupt=view.interrupt,
        **objective,
    )
    # What costs nothing is kept: a tie of the objective, broken so that nothing is pruned then.
    return selection, not objective["lambda_b"] and not binds
