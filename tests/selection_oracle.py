"""Selection problems of many kinds, and independent judges of their optimum.

HiGHS solves the problem as a mixed-integer program, brute force tries every set of leaves, and
`objective` reads the value of a set off its definition.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ets import _core
from highs_model import on_paths, solve

Kind = Literal["independent", "inherited", "few", "distinct", "one"]
KINDS: tuple[Kind, ...] = ("independent", "inherited", "few", "distinct", "one")


@dataclass(frozen=True)
class Problem:
    """One selection problem, in the form that select_leaves takes."""

    parents: NDArray[np.int64]  # [m], -1 for the root
    leaves: NDArray[np.int64]  # [n]
    weights: NDArray[np.float64]  # [n]
    clusters: NDArray[np.int64]  # [n]
    lambda_b: float
    lambda_d: float
    node_tokens: NDArray[np.int64]  # [m]
    node_costs: NDArray[np.float64] | None = None  # [m]
    budget: int | None = None  # tokens
    lambda_r: float = 1.0
    cluster_worth: NDArray[np.float64] | None = None  # by label
    rho: float = 0.0
    source: str = ""  # what made it, for messages


def generated(
    width: int,
    depth: int,
    kind: Kind,
    pruned: tuple[float, float] | None,
    seed: int,
    lambda_b: float,
    lambda_d: float,
) -> Problem:
    """The newest layer of a simulated search, the pruner applied at every step before (or not)."""
    made = _core.generate_instance(width, depth, kind, pruned, seed)
    return Problem(
        parents=made["parents"],
        leaves=made["leaves"],
        weights=made["weights"],
        clusters=made["clusters"],
        lambda_b=lambda_b,
        lambda_d=lambda_d,
        node_tokens=made["tokens"],
        source=f"generated{(width, depth, kind, pruned, seed, lambda_b, lambda_d)}",
    )


def problem_of(parents: NDArray[np.int64], leaves: NDArray[np.int64], **changes: Any) -> Problem:
    """Equal weights, a cluster for each leaf, one token a node."""
    n, m = len(leaves), len(parents)
    plain = Problem(
        parents=parents,
        leaves=leaves,
        weights=np.ones(n),
        clusters=np.arange(n),
        lambda_b=1.0,
        lambda_d=1.0,
        node_tokens=np.ones(m, dtype=np.int64),
    )
    return replace(plain, **changes)


def random_problem(rng: np.random.Generator, width: int, inner_leaves: bool = False) -> Problem:
    """A tree as a search grows it: layers, children attached to few or many parents."""
    parents, layer = [-1], [0]
    for _ in range(int(rng.integers(1, 8))):
        size = int(rng.integers(1, width + 1))
        chosen = rng.choice(layer, size=size)
        layer = list(range(len(parents), len(parents) + size))
        parents.extend(int(p) for p in chosen)
    layer = list(range(len(parents), len(parents) + width))
    parents.extend(int(p) for p in rng.choice(np.arange(len(parents)), size=width))
    m = len(parents)
    leaves = np.array(layer, dtype=np.int64)
    if inner_leaves:
        leaves = rng.choice(m, size=width, replace=False).astype(np.int64)
    kinds = int(rng.choice([1, 3, max(width // 3, 1), width, 10 * width]))
    counts = rng.integers(0, 4, size=width) if rng.random() < 0.5 else rng.random(width)
    weights = counts.astype(np.float64)
    weights[rng.integers(width)] += 1.0
    costs = rng.random(m) * rng.integers(0, 3, size=m) if rng.random() < 0.3 else None
    return Problem(
        parents=np.array(parents, dtype=np.int64),
        leaves=leaves,
        weights=weights,
        clusters=rng.integers(0, kinds, size=width),
        lambda_b=float(rng.choice([0.0, 1.0, rng.uniform(1.5, 6.0)], p=[0.1, 0.2, 0.7])),
        lambda_d=float(rng.choice([0.0, 1.4, rng.uniform(0.2, 6.0)], p=[0.1, 0.2, 0.7])),
        node_tokens=rng.integers(1, 60, size=m),
        node_costs=costs,
    )


def select(problem: Problem, **options: Any) -> _core.Selection:
    """Our answer; `options` go before what the problem says."""
    arguments: dict[str, Any] = {
        "lambda_b": problem.lambda_b,
        "lambda_d": problem.lambda_d,
        "node_costs": problem.node_costs,
        "node_tokens": problem.node_tokens,
        "kv_budget": problem.budget,
        "lambda_r": problem.lambda_r,
        "cluster_worth": problem.cluster_worth,
        "rho": problem.rho,
    }
    return _core.select_leaves(
        problem.parents,
        problem.leaves,
        problem.weights,
        problem.clusters,
        **(arguments | options),
    )


def check(problem: Problem, found: _core.Selection, proven: bool = True) -> None:
    """What a selection says of itself is so."""
    say = problem.source
    assert found.keep.dtype == np.bool_, say
    assert found.keep.shape == problem.leaves.shape, say
    assert found.keep.any(), say
    assert found.bound >= found.objective, say
    assert found.optimal == (found.bound == found.objective), say
    assert found.optimal or not proven, say
    scale = 1.0 + problem.lambda_r + problem.lambda_b + problem.lambda_d
    assert abs(found.objective - objective(problem, found.keep)) <= 1e-11 * scale, say
    kept = on_paths(problem.parents, problem.leaves[found.keep])
    assert found.nodes_kept == len(kept), say
    assert found.tokens_kept == int(problem.node_tokens[kept].sum()), say
    assert problem.budget is None or found.tokens_kept <= problem.budget, say


def path_tokens(problem: Problem) -> NDArray[np.int64]:
    """The tokens on each leaf's root path, [n]."""
    sums = problem.node_tokens.copy()
    for node, parent in enumerate(problem.parents.tolist()):
        sums[node] += sums[parent] if parent >= 0 else 0
    return np.asarray(sums[problem.leaves])


def shares(problem: Problem) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Each leaf's share of the weights, [n], and each node's of the costs on all paths, [m]."""
    # Divided by the largest first: sums of the largest floats overflow.
    weights = problem.weights / problem.weights.max()
    m = len(problem.parents)
    costs = np.ones(m) if problem.node_costs is None else problem.node_costs
    on = np.zeros(m)
    on[on_paths(problem.parents, problem.leaves)] = 1.0
    largest = (costs * on).max()
    costs = costs * on / largest if largest > 0 else np.zeros(m)
    return weights / weights.sum(), costs / costs.sum() if largest > 0 else costs


def worths(problem: Problem) -> NDArray[np.float64]:
    """The worth of each distinct label, ascending, as a share of all, [K]."""
    labels = np.unique(problem.clusters)
    if problem.cluster_worth is None:
        return np.full(len(labels), 1 / len(labels))
    worth = problem.cluster_worth[labels]
    worth = worth / worth.max()
    return np.asarray(worth / worth.sum())


def objective(problem: Problem, keep: NDArray[np.bool_]) -> float:
    """The objective of one set of kept leaves, read off its definition."""
    profit, cost = shares(problem)
    kept = on_paths(problem.parents, problem.leaves[keep])
    of_label = problem.clusters[keep] == np.unique(problem.clusters)[:, None]
    covered = worths(problem) @ (1 - problem.rho ** of_label.sum(axis=1))
    price = problem.lambda_b * cost[kept].sum()
    return float(problem.lambda_r * profit[keep].sum() - price + problem.lambda_d * covered)


def brute_force(problem: Problem) -> float | None:
    """The best objective over all non-empty sets within the budget; None where none fits."""
    n, m = len(problem.leaves), len(problem.parents)
    profit, cost = shares(problem)
    above = np.zeros((n, m), dtype=np.int64)
    for i, leaf in enumerate(problem.leaves.tolist()):
        node = leaf
        while node >= 0:
            above[i, node] = 1
            node = int(problem.parents[node])
    labels, cluster = np.unique(problem.clusters, return_inverse=True)
    member = np.eye(len(labels), dtype=np.int64)[cluster]
    sets = np.arange(1, 2**n)[:, None] >> np.arange(n) & 1
    held = sets @ above > 0
    value = problem.lambda_r * (sets @ profit) - problem.lambda_b * (held @ cost)
    value += problem.lambda_d * ((1 - problem.rho ** (sets @ member)) @ worths(problem))
    if problem.budget is not None:
        value = value[held @ problem.node_tokens <= problem.budget]
    return float(value.max()) if len(value) else None


def highs_optimum(problem: Problem) -> float:
    """The optimum by HiGHS, gaps 0 and feasibility to 1e-9, valued by `objective`."""
    profit, cost = shares(problem)
    members = np.unique(problem.clusters, return_counts=True)[1]
    most = int(members.max()) if problem.rho > 0 else 1
    gains = problem.lambda_d * np.outer(
        worths(problem), (1 - problem.rho) * problem.rho ** np.arange(most)
    )
    gains *= np.arange(most) < members[:, None]
    # With slopes many sizes apart HiGHS 1.16's presolve loses optima: by 9e-4 in one of 4,000.
    options: dict[str, Any] = {"presolve": "off"} if problem.rho > 0 else {}
    keep, value = solve(
        problem.parents,
        problem.leaves,
        problem.lambda_r * profit,
        problem.lambda_b * cost,
        problem.clusters,
        gains if problem.lambda_d > 0 else gains[:0],
        problem.node_tokens,
        problem.budget,
        mip_feasibility_tolerance=1e-9,
        primal_feasibility_tolerance=1e-9,
        dual_feasibility_tolerance=1e-9,
        **options,
    )
    assert abs(value - objective(problem, keep)) <= 1e-7, problem.source
    return objective(problem, keep)
