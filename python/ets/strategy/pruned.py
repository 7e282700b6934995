"""Selection of the leaves that are worth their KV cache: what the pruning strategies share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter_ns
from typing import Any, Generic, Literal, Protocol, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from ets._core import Interrupt, Selection, Tree, rebase_weights
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


class Pruning(Protocol[C]):
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
    def choose(self, among: Candidates[C], /) -> Chosen:
        """What is kept of them."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates(Generic[C]):
    """What the pruner chooses among."""

    tree: Tree
    leaves: NDArray[np.int64]  # [n], ids in the tree
    shares: NDArray[np.int64]  # [n], REBASE's
    clusters: C  # [n]
    kv_budget: int | None = None  # where it binds
    time_limit: float | None = None  # seconds
    interrupt: Interrupt | None = None

    def select(self, objective: dict[str, Any]) -> Chosen:
        """The best of them by these arguments of `ets.Tree.select`."""
        selection = self.tree.select(
            self.leaves,
            self.shares.astype(np.float64),
            self.clusters,
            kv_budget=self.kv_budget,
            time_limit=self.time_limit,
            interrupt=self.interrupt,
            **objective,
        )
        # What costs nothing is kept: a tie of the objective, broken so that nothing is pruned then.
        free = not objective["lambda_b"] and self.kv_budget is None
        kept = np.arange(len(self.leaves)) if free else np.flatnonzero(selection.keep)
        return Chosen(selection, kept)


@dataclass(frozen=True, slots=True)
class Chosen:
    """What the pruner keeps."""

    selection: Selection
    kept: NDArray[np.int64]  # [k], positions among the candidates


def check_settings(strategy: Pruning[Any]) -> None:
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
    strategy: Pruning[C],
    view: View,
    cluster: Callable[[], C],
    hand_out: Callable[[Candidates[C], NDArray[np.float64], NDArray[np.int64]], NDArray[np.int64]],
) -> Decision:
    """Cluster the candidates, select among them, and hand the remaining width to those kept.

    `hand_out` is given the candidates, their rewards, float64[n], and the positions kept, int64[k];
    it returns the continuations of each, int64[k], which sum to the width.
    """
    rewards = view.rewards(strategy.reward)
    shares = rebase_weights(rewards, view.width, strategy.temperature)
    start = perf_counter_ns()
    clusters = cluster()
    clustered = perf_counter_ns()
    tree, leaves = view.contracted()
    binds = view.kv_budget is not None and tree.kv_tokens(leaves) > view.kv_budget
    limit = strategy.time_limit
    among = Candidates(
        tree=tree,
        leaves=leaves,
        shares=shares,
        clusters=clusters,
        # Where it does not bind, ties are broken as if there were none.
        kv_budget=view.kv_budget if binds else None,
        time_limit=BUDGETED_SECONDS if binds and limit is None else limit,
        interrupt=view.interrupt,
    )
    chosen = strategy.choose(among)
    selected = perf_counter_ns()
    counts = np.zeros(len(rewards), dtype=np.int64)
    counts[chosen.kept] = hand_out(among, rewards, chosen.kept)
    order = best_first(rewards, counts)
    return Decision(
        order=order,
        counts=counts[order],
        clusters=clusters,
        selection=chosen.selection,
        rebase=shares,
        cluster_us=(clustered - start) / 1e3,
        select_us=(selected - clustered) / 1e3,
    )
