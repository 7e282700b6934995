"""The solvers that the pruner is compared with, each on the same arrays, build and solve."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pulp
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage

import ets
import highs_model
from ets import _core
from highs_model import on_paths

Keep = NDArray[np.bool_]

# Far above what it takes without a budget.
HIGHS_SECONDS = 20.0


@dataclass(frozen=True)
class Case:
    """One selection problem whose candidates are the newest layer of a tree."""

    parents: NDArray[np.int64]  # [m], -1 for the root
    leaves: NDArray[np.int64]  # [n]
    weights: NDArray[np.float64]  # [n]
    clusters: NDArray[np.int64]  # [n]
    tokens: NDArray[np.int64]  # [m]
    lambda_b: float
    lambda_d: float
    budget: int | None = None  # tokens


Kind = Literal["inherited", "independent", "few", "distinct", "one"]
# Where every leaf or none has a cluster to itself the problem is easy: one in eight.
MIXED: tuple[Kind, ...] = ("inherited", "independent", "few") + 2 * ("inherited", "independent")
KINDS: tuple[Kind, ...] = (*MIXED, "distinct", *MIXED, "one")


def published_pool(width: int, instances: int) -> list[Case]:
    """The published settings, as benches/common/mod.rs has them: lambda_b 1, lambda_d 0 to 2."""
    cases = []
    for i in range(instances):
        kind = KINDS[i % 16]
        pruned = (1.0, 1.4) if (i + i // 8) % 2 else None
        made = _core.generate_instance(width, 3 + 7 * i % 18, kind, pruned, i)
        names = ("parents", "leaves", "weights", "clusters", "tokens")
        parents, leaves, weights, clusters, tokens = (made[name] for name in names)
        cases += [
            Case(parents, leaves, weights, clusters, tokens, 1.0, lambda_d)
            for lambda_d in (0.0, 1.0, 1.4, 2.0)
        ]
    return cases


def strict_pool(width: int, instances: int) -> list[Case]:
    """Trees pruned at every step with the published lambdas, and then much more strictly."""
    cases = []
    for i in range(instances):
        kind: Kind = "independent" if i % 2 else "inherited"
        made = _core.generate_instance(width, (5, 8)[i // 2 % 2], kind, (1.0, 1.4), i // 4)
        names = ("parents", "leaves", "weights", "clusters", "tokens")
        parents, leaves, weights, clusters, tokens = (made[name] for name in names)
        cases += [
            Case(parents, leaves, weights, clusters, tokens, lambda_b, lambda_d)
            for lambda_b, lambda_d in ((4.0, 2.0), (8.0, 6.0))
        ]
    return cases


def with_budgets(pool: list[Case], fraction: float) -> list[Case]:
    """Each case under a budget: a fraction of the tokens that its optimum holds without one. Cases
    in which not even one leaf fits are left out."""
    cases = []
    for case in pool:
        tokens = ours(case).tokens_kept or 0
        tight = replace(case, budget=int(fraction * tokens))
        with contextlib.suppress(ets.InputError):
            ours(tight, time_limit=0.0)
            cases.append(tight)
    return cases


def objective(case: Case, keep: Keep) -> float:
    """The objective of a set of kept leaves, read off its definition."""
    kept = len(on_paths(case.parents, case.leaves[keep]))
    every = len(on_paths(case.parents, case.leaves))
    covered = len(np.unique(case.clusters[keep])) / len(np.unique(case.clusters))
    profit = case.weights[keep].sum() / case.weights.sum()
    return float(profit - case.lambda_b * kept / every + case.lambda_d * covered)


def ours(case: Case, time_limit: float | None = None) -> ets.Selection:
    return ets.select_leaves(
        case.parents,
        case.leaves,
        case.weights,
        case.clusters,
        lambda_b=case.lambda_b,
        lambda_d=case.lambda_d,
        node_tokens=case.tokens,
        kv_budget=case.budget,
        time_limit=time_limit,
    )


def ours_keep(case: Case) -> Keep:
    return ours(case).keep


def highs_or_none(case: Case) -> Keep | None:
    """None where the time limit cut the proof short."""
    try:
        return highs(case)
    except TimeoutError:
        return None


def pulp_cbc(case: Case) -> Keep:
    """The published form: a binary for each leaf, branch and cluster; for each branch one row over
    all leaves below it, and one for each leaf below it."""
    n = len(case.leaves)
    parents = case.parents.tolist()
    below: dict[int, list[int]] = {}
    for i, leaf in enumerate(case.leaves.tolist()):
        node = parents[leaf]
        while node >= 0:
            below.setdefault(node, []).append(i)
            node = parents[node]
    price = case.lambda_b / (n + len(below))
    profit = (case.weights / case.weights.sum()).tolist()
    kept = [pulp.LpVariable(f"leaf_{i}", cat="Binary") for i in range(n)]
    branch = {v: pulp.LpVariable(f"branch_{v}", cat="Binary") for v in below}
    model = pulp.LpProblem("leaf_selection", pulp.LpMaximize)
    value = [(profit[i] - price) * kept[i] for i in range(n)]
    value += [-price * variable for variable in branch.values()]
    if case.lambda_d > 0:
        members: dict[int, list[int]] = {}
        for i, label in enumerate(case.clusters.tolist()):
            members.setdefault(label, []).append(i)
        for label, inside in members.items():
            covered = pulp.LpVariable(f"cluster_{label}", cat="Binary")
            model += covered <= pulp.lpSum(kept[i] for i in inside)
            value.append(case.lambda_d / len(members) * covered)
    model += pulp.lpSum(value)
    for v, inside in below.items():
        model += branch[v] <= pulp.lpSum(kept[i] for i in inside)
        for i in inside:
            model += branch[v] >= kept[i]
    model += pulp.lpSum(kept) >= 1
    model.solve(pulp.PULP_CBC_CMD(msg=False, threads=1))
    return np.array([variable.value() > 0.5 for variable in kept])


def highs(case: Case) -> Keep:
    """The tight form, with its own tolerances."""
    n, k = len(on_paths(case.parents, case.leaves)), len(np.unique(case.clusters))
    keep, _ = highs_model.solve(
        case.parents,
        case.leaves,
        case.weights / case.weights.sum(),
        np.full(len(case.parents), case.lambda_b / n),
        case.clusters,
        np.full((k, 1), case.lambda_d / k)[: k if case.lambda_d > 0 else 0],
        case.tokens,
        case.budget,
        time_limit=HIGHS_SECONDS,
    )
    return keep


SELECTORS: dict[str, Callable[[Case], Keep]] = {
    "ets": ours_keep,
    "HiGHS": highs,
    "PuLP + CBC": pulp_cbc,
}


def meanings(width: int, seed: int) -> NDArray[np.float32]:
    """Embeddings [width, 384] of width / 4 meanings, wordings well inside the cut at 0.05."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(width // 4, 384))
    rows = centres[rng.integers(width // 4, size=width)] + 0.15 * rng.normal(size=(width, 384))
    return rows.astype(np.float32)


def repeated(width: int, seed: int) -> NDArray[np.float32]:
    """Embeddings [width, 384] of an eighth as many wordings: what wide steps of one policy say."""
    rows = meanings(width // 8, seed)
    return rows[np.random.default_rng(seed).integers(len(rows), size=width)]


def arc(width: int, seed: int) -> NDArray[np.float32]:
    """Embeddings [width, 384] along half a circle: one component, many clusters."""
    rng = np.random.default_rng(seed)
    angle = np.pi * (rng.permutation(width) + rng.random(width)) / width
    axes = rng.normal(size=(2, 384))
    rows = np.cos(angle)[:, None] * axes[0] + np.sin(angle)[:, None] * axes[1]
    return np.asarray(rows + 0.1 * rng.normal(size=rows.shape), dtype=np.float32)


def scipy_clusters(rows: NDArray[np.float32]) -> NDArray[np.int64]:
    merges = linkage(rows, method="average", metric="cosine")
    return np.asarray(fcluster(merges, 0.05, criterion="distance"), dtype=np.int64)


def same_partition(a: NDArray[np.int64], b: NDArray[np.int64]) -> bool:
    pairs = len(np.unique(np.stack([a, b]), axis=1).T)
    return pairs == len(np.unique(a)) == len(np.unique(b))
