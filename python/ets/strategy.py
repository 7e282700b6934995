"""What each strategy decides: small frozen dataclasses."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from time import perf_counter_ns
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ets._core import beam_weights, cluster_steps, dvts_weights, rebase_weights
from ets.checks import check_choice, check_int, check_number
from ets.errors import InputError
from ets.nodes import Reward
from ets.view import Decision, Strategy, View

Solver = Literal["auto", "exact", "milp"]
NodeCost = Literal["uniform", "tokens"]

MAX_WIDTH = 2**32
BUDGETED_SECONDS = 5.0
"""For one selection under a KV budget that binds, where the user gave no limit."""
PUBLISHED_LAMBDA_D = {16: 1.5, 64: 1.4, 256: 1.45}
"""The paper's coverage weights by width."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ETS:
    """REBASE over the leaves worth their KV cache (Hooper et al., 2025, arXiv 2502.13575).

    With `O` the REBASE share of each leaf, the pruner keeps the leaves that maximise `sum O` of the
    leaves kept `- lambda_b * ` cost of the nodes kept `+ lambda_d / K * ` clusters covered, to a
    proven optimum; REBASE then spreads the full remaining width over them.
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
        check_int("width", self.width, 1, MAX_WIDTH)
        if self.lambda_d is None:
            nearest = min(PUBLISHED_LAMBDA_D, key=lambda w: abs(math.log(self.width / w)))
            object.__setattr__(self, "lambda_d", PUBLISHED_LAMBDA_D[nearest])
        check_number("lambda_b", self.lambda_b, "in [0, 1e300]", lambda x: 0 <= x <= 1e300)
        check_number("lambda_d", self.lambda_d, "in [0, 1e300], or None", lambda x: 0 <= x <= 1e300)
        check_number("temperature", self.temperature, "> 0", lambda x: x > 0)
        check_number(
            "cluster_threshold", self.cluster_threshold, "in [0, 2]", lambda x: 0 <= x <= 2
        )
        check_choice("node_cost", self.node_cost, NodeCost)
        check_choice("reward", self.reward, Reward)
        check_choice("solver", self.solver, Solver)
        if self.time_limit is not None:
            check_number("time_limit", self.time_limit, "> 0 seconds, or None", lambda x: x > 0)

    @property
    def needs_embeddings(self) -> bool:
        """Whether coverage counts: `lambda_d > 0`."""
        return bool(self.lambda_d)

    @property
    def obeys_kv_budget(self) -> bool:
        """True: the leaves kept are the best of those sets that fit in the search's KV budget."""
        return True

    def decide(self, view: View) -> Decision:
        """Cluster, select, and spread the remaining width over the leaves kept."""
        rewards = view.rewards(self.reward)
        outcome = rebase_weights(rewards, view.width, self.temperature)
        start = perf_counter_ns()
        clusters = None
        # One leaf, or the same step everywhere: there is nothing to tell apart.
        if self.needs_embeddings and len(rewards) > 1 and not view.same_texts():
            clusters = cluster_steps(view.embeddings(), self.cluster_threshold)
        clustered = perf_counter_ns()
        budget = view.kv_budget
        binds = budget is not None and view.tree.kv_tokens(view.nodes) > budget
        selection = view.tree.select(
            view.nodes,
            outcome.astype(np.float64),
            clusters,
            lambda_b=self.lambda_b,
            lambda_d=0.0 if clusters is None else self.lambda_d or 0.0,
            node_cost=self.node_cost,
            # Where it does not bind, ties are broken as if there were none.
            kv_budget=budget if binds else None,
            solver=self.solver,
            time_limit=BUDGETED_SECONDS if binds and self.time_limit is None else self.time_limit,
        )
        selected = perf_counter_ns()
        # What costs nothing is kept: a tie of the objective, broken so that this is REBASE then.
        free = not self.lambda_b and not binds
        kept = np.arange(len(rewards)) if free else np.flatnonzero(selection.keep)
        counts = np.zeros(len(rewards), dtype=np.int64)
        counts[kept] = rebase_weights(rewards[kept], view.width, self.temperature)
        order = best_first(rewards, counts)
        return Decision(
            order=order,
            counts=counts[order],
            clusters=clusters,
            selection=selection,
            rebase=outcome,
            cluster_us=(clustered - start) / 1e3,
            select_us=(selected - clustered) / 1e3,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class REBASE:
    """Reward-balanced search: width in proportion to `exp(reward / temperature)`, rounded up from
    the best leaf down (Wu et al., 2024, arXiv 2408.00724; ceil as in the public codes)."""

    width: int
    """Trajectories to complete, 1 to 2**32."""
    temperature: float = 0.2
    reward: Reward = "last"

    def __post_init__(self) -> None:
        check_int("width", self.width, 1, MAX_WIDTH)
        check_number("temperature", self.temperature, "> 0", lambda x: x > 0)
        check_choice("reward", self.reward, Reward)

    @property
    def needs_embeddings(self) -> bool:
        """False."""
        return False

    def decide(self, view: View) -> Decision:
        """Spread the remaining width over all candidates; the worst may get none."""
        rewards = view.rewards(self.reward)
        counts = rebase_weights(rewards, view.width, self.temperature)
        order = best_first(rewards, counts)
        return Decision(order=order, counts=counts[order], rebase=counts)


@dataclass(frozen=True, slots=True, kw_only=True)
class BeamSearch:
    """The best `beam` leaves, `ceil(remaining width / beam)` continuations each.

    The product may exceed the remaining width, so that a few more trajectories than the width may
    complete, as in the published code.
    """

    width: int
    """Trajectories to complete, 1 to 2**32."""
    beam: int | None = None
    """Leaves to keep, >= 1; None: `ceil(sqrt(remaining width))`."""
    reward: Reward = "last"

    def __post_init__(self) -> None:
        check_int("width", self.width, 1, MAX_WIDTH)
        if self.beam is not None:
            check_int("beam", self.beam, 1, MAX_WIDTH, ", or None")
        check_choice("reward", self.reward, Reward)

    @property
    def needs_embeddings(self) -> bool:
        """False."""
        return False

    def decide(self, view: View) -> Decision:
        """Keep the best; the root gets the whole width."""
        if view.depth == 0:
            return _all_to_root(view)
        rewards = view.rewards(self.reward)
        counts = beam_weights(rewards, view.width, self.beam)
        order = best_first(rewards, counts)
        return Decision(order=order, counts=counts[order])


@dataclass(frozen=True, slots=True, kw_only=True)
class DVTS:
    """Diverse verifier tree search: independent subtrees, the best leaf of each goes on.

    The unfinished nodes of depth 1 form `subtrees` blocks in order (the first ones longer by one
    where they do not divide evenly), and the width that remains there is shared out likewise. Each
    subtree's share shrinks by one with each trajectory that completes in it, so that exactly
    `width` trajectories complete; in the published code it does not.
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
            return _all_to_root(view)
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


@dataclass(frozen=True, slots=True, kw_only=True)
class BestOfN:
    """`width` independent samples: every leaf goes on by itself, nothing is pruned."""

    width: int
    """Trajectories to complete, 1 to 2**32."""

    def __post_init__(self) -> None:
        check_int("width", self.width, 1, MAX_WIDTH)

    @property
    def needs_embeddings(self) -> bool:
        """False."""
        return False

    def decide(self, view: View) -> Decision:
        """One continuation for each leaf; the root gets the whole width."""
        if view.depth == 0:
            return _all_to_root(view)
        n = len(view.nodes)
        return Decision(order=np.arange(n, dtype=np.int64), counts=np.ones(n, dtype=np.int64))


STRATEGIES: dict[str, type[ETS] | type[REBASE] | type[BeamSearch] | type[DVTS] | type[BestOfN]] = {
    kind.__name__: kind for kind in (ETS, REBASE, BeamSearch, DVTS, BestOfN)
}
"""The strategies that a saved search may name."""


def best_first(rewards: NDArray[np.float64], counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """The positions with a count, by descending reward; equal rewards first seen first.

    float64[n], int64[n] -> int64[k].
    """
    order = np.argsort(-rewards, kind="stable").astype(np.int64)
    return order[counts[order] > 0]


def strategy_to_dict(strategy: Strategy) -> dict[str, Any]:
    """A strategy as JSON-able `{"name": ..., "fields": {...}}`; no fields if it is not of ours."""
    name = type(strategy).__name__
    if type(strategy) is not STRATEGIES.get(name):
        return {"name": name, "fields": {}}
    return {"name": name, "fields": {f.name: getattr(strategy, f.name) for f in fields(strategy)}}


def strategy_from_dict(data: dict[str, Any]) -> Strategy:
    """The strategy that `strategy_to_dict` described. `InputError` for an unknown name or field."""
    name, values = data["name"], data["fields"]
    kind = STRATEGIES.get(name)
    if kind is None:
        raise InputError(
            f"strategy must be one of {sorted(STRATEGIES)}, got {name!r}; "
            "a search with a strategy of your own is loaded with strategy=THE_OBJECT"
        )
    if unknown := values.keys() - {f.name for f in fields(kind)}:
        raise InputError(f"{name} has no fields {sorted(unknown)}")
    return kind(**values)


def _all_to_root(view: View) -> Decision:
    return Decision(
        order=np.zeros(1, dtype=np.int64), counts=np.array([view.width], dtype=np.int64)
    )


__all__ = [
    "DVTS",
    "ETS",
    "REBASE",
    "STRATEGIES",
    "BeamSearch",
    "BestOfN",
    "Decision",
    "Strategy",
    "View",
    "strategy_from_dict",
    "strategy_to_dict",
]
