"""The solvers that the pruner is compared with, each on the same arrays, build and solve."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import highspy
import numpy as np
import pulp
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage

import ets
from ets import _core

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
KINDS: tuple[Kind, ...] = (
    "inherited", "independent", "few", "inherited", "independent", "inherited", "independent",
)  # fmt: skip


def published_pool(width: int, instances: int) -> list[Case]:
    """The published settings, as benches/common/mod.rs has them: lambda_b 1, lambda_d 0 to 2."""
    cases = []
    for i in range(instances):
        kind: Kind = (*KINDS, "distinct" if i % 16 == 7 else "one")[i % 8]  # type: ignore[assignment]
        pruned = (1.0, 1.4) if (i + i // 8) % 2 else None
        made = _core.generate_instance(width, 3 + 7 * i % 18, kind, pruned, i)
        names = ("parents", "leaves", "weights", "clusters", "tokens")
        parents, leaves, weights, clusters, tokens = (made[name] for name in names)
        cases += [
            Case(parents, leaves, weights, clusters, tokens, 1.0, lambda_d)
            for lambda_d in (0.0, 1.0, 1.4, 2.0)
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


def on_paths(parents: NDArray[np.int64], nodes: NDArray[np.int64]) -> NDArray[np.int64]:
    """The distinct nodes on the root paths of some nodes, parents before children."""
    seen = np.zeros(len(parents), dtype=bool)
    while len(nodes):
        seen[nodes] = True
        nodes = np.unique(parents[nodes])
        nodes = nodes[nodes >= 0]
        nodes = nodes[~seen[nodes]]
    return np.flatnonzero(seen)


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
    """The tight form: a binary for each node and cluster; a node needs its parent and, where it is
    no candidate, a child; a cluster needs a leaf. Built from arrays, without a Python loop."""
    nodes = on_paths(case.parents, case.leaves)
    p, n = len(nodes), len(case.leaves)
    place = np.full(len(case.parents), -1)
    place[nodes] = np.arange(p)
    at = place[case.leaves]
    child = np.arange(1, p)  # the root is first
    parent = place[case.parents[nodes[1:]]]
    labels, cluster = np.unique(case.clusters, return_inverse=True)
    k = len(labels) if case.lambda_d > 0 else 0

    # Entries of the matrix as (row, column, value); every row is at most 0 but the last ones.
    inner = np.setdiff1d(np.arange(p), at)
    row_of = np.full(p, -1)
    row_of[inner] = p - 1 + np.arange(len(inner))
    entries: list[tuple[NDArray[np.int64], NDArray[np.int64], Any]] = [
        (child - 1, child, 1.0), (child - 1, parent, -1.0),
        (row_of[inner], inner, 1.0), (row_of[parent], child, -1.0),
    ]  # fmt: skip
    rows = p - 1 + len(inner)
    if k:
        entries += [(rows + np.arange(k), p + np.arange(k), 1.0), (rows + cluster, at, -1.0)]
        rows += k
    entries.append((np.full(n, rows), at, -1.0))
    rows += 1
    upper = np.append(np.zeros(rows - 1), -1.0)  # at least one leaf
    if case.budget is not None:
        entries.append((np.full(p, rows), np.arange(p), case.tokens[nodes]))
        rows += 1
        upper = np.append(upper, case.budget)
    row = np.concatenate([entry[0] for entry in entries])
    column = np.concatenate([entry[1] for entry in entries])
    value = np.concatenate([np.full(len(entry[0]), entry[2], dtype=float) for entry in entries])
    order = np.argsort(row, kind="stable")

    lp = highspy.HighsLp()
    lp.num_col_, lp.num_row_ = p + k, rows
    cost = np.full(p + k, -case.lambda_b / p)
    cost[at] += case.weights / case.weights.sum()
    if k:
        cost[p:] = case.lambda_d / k
    lp.col_cost_ = cost
    lp.col_lower_, lp.col_upper_ = np.zeros(p + k), np.ones(p + k)
    lp.row_lower_ = np.full(rows, -highspy.kHighsInf)
    lp.row_upper_ = upper
    lp.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
    lp.a_matrix_.start_ = np.searchsorted(row[order], np.arange(rows + 1))
    lp.a_matrix_.index_ = column[order]
    lp.a_matrix_.value_ = value[order]
    lp.sense_ = highspy.ObjSense.kMaximize
    lp.integrality_ = [highspy.HighsVarType.kInteger] * (p + k)
    model = highspy.Highs()  # type: ignore[no-untyped-call]
    model.silent()
    model.setOptionValue("threads", 1)
    model.setOptionValue("mip_rel_gap", 0.0)
    model.setOptionValue("mip_abs_gap", 0.0)
    model.setOptionValue("time_limit", HIGHS_SECONDS)
    model.passModel(lp)
    model.run()
    if model.getModelStatus() == highspy.HighsModelStatus.kTimeLimit:
        raise TimeoutError(f"HiGHS proved no optimum within {HIGHS_SECONDS:g} s")
    if model.getModelStatus() != highspy.HighsModelStatus.kOptimal:
        raise RuntimeError(f"HiGHS stopped with {model.getModelStatus()}")
    values = np.asarray(model.getSolution().col_value)
    return np.asarray(values[at] > 0.5, dtype=np.bool_)


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
