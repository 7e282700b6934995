"""Random selection problems, and HiGHS as an independent judge of their optimum."""

from __future__ import annotations

from dataclasses import dataclass

import highspy
import numpy as np
from numpy.typing import NDArray


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


def on_paths(parents: NDArray[np.int64], nodes: NDArray[np.int64]) -> list[int]:
    """The distinct nodes on the root paths of some nodes."""
    seen: set[int] = set()
    for node in nodes.tolist():
        while node >= 0 and node not in seen:
            seen.add(node)
            node = int(parents[node])
    return sorted(seen)


def objective(problem: Problem, keep: NDArray[np.bool_]) -> float:
    """The objective of one set of kept leaves, read off its definition."""
    every = on_paths(problem.parents, problem.leaves)
    kept = on_paths(problem.parents, problem.leaves[keep])
    costs = np.ones(len(problem.parents)) if problem.node_costs is None else problem.node_costs
    total = costs[every].sum()
    share = costs[kept].sum() / total if total > 0 else 0.0
    covered = len(set(problem.clusters[keep].tolist())) / len(set(problem.clusters.tolist()))
    profit = problem.weights[keep].sum() / problem.weights.sum()
    return float(profit - problem.lambda_b * share + problem.lambda_d * covered)


def highs_optimum(problem: Problem, budget: int | None = None) -> float:
    """The optimum by HiGHS: all variables binary, at least one leaf, a node needs what it needs."""
    nodes = on_paths(problem.parents, problem.leaves)
    place = {node: i for i, node in enumerate(nodes)}
    n, p = len(problem.leaves), len(nodes)
    labels = sorted(set(problem.clusters.tolist()))
    costs = np.ones(len(problem.parents)) if problem.node_costs is None else problem.node_costs
    total = costs[nodes].sum()
    share = costs[nodes] / total if total > 0 else np.zeros(p)

    model = highspy.Highs()
    model.silent()
    model.setOptionValue("threads", 1)
    model.setOptionValue("mip_rel_gap", 0.0)
    model.setOptionValue("mip_abs_gap", 0.0)
    x = [model.addBinary() for _ in range(n)]
    y = [model.addBinary() for _ in range(p)]
    z = [model.addBinary() for _ in labels]
    below: list[list[highspy.highs.highs_var]] = [[] for _ in nodes]
    for node, at in place.items():
        parent = int(problem.parents[node])
        if parent >= 0:
            model.addConstr(y[at] <= y[place[parent]])
            below[place[parent]].append(y[at])
    for i, leaf in enumerate(problem.leaves.tolist()):
        model.addConstr(x[i] <= y[place[leaf]])
        below[place[leaf]].append(x[i])
    for at, members in enumerate(below):
        model.addConstr(y[at] <= model.qsum(members))
    for k, label in enumerate(labels):
        members = [x[i] for i in range(n) if problem.clusters[i] == label]
        model.addConstr(z[k] <= model.qsum(members))
    model.addConstr(model.qsum(x) >= 1)
    if budget is not None:
        tokens = problem.node_tokens[nodes].tolist()
        held = model.qsum(t * v for t, v in zip(tokens, y, strict=True))
        model.addConstr(held <= budget)
    profit = problem.weights / problem.weights.sum()
    value = model.qsum(float(o) * v for o, v in zip(profit, x, strict=True))
    value -= model.qsum(problem.lambda_b * float(c) * v for c, v in zip(share, y, strict=True))
    value += model.qsum(problem.lambda_d / len(labels) * v for v in z)
    model.maximize(value)
    assert model.getModelStatus() == highspy.HighsModelStatus.kOptimal
    return float(model.getObjectiveValue())
