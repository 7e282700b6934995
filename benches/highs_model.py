"""Leaf selection as HiGHS solves it: a peer of the pruner in benches, a judge of it in tests."""

from __future__ import annotations

from typing import Any

import highspy
import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


def on_paths(parents: Ints, nodes: Ints) -> Ints:
    """The distinct nodes on the root paths of some nodes, parents before children."""
    seen = np.zeros(len(parents), dtype=bool)
    while len(nodes):
        seen[nodes] = True
        nodes = np.unique(parents[nodes])
        nodes = nodes[nodes >= 0]
        nodes = nodes[~seen[nodes]]
    return np.flatnonzero(seen)


def solve(
    parents: Ints,
    leaves: Ints,
    profit: Floats,
    cost: Floats,
    clusters: Ints,
    gains: Floats,
    tokens: Ints,
    budget: int | None,
    **options: float | str,
) -> tuple[NDArray[np.bool_], float]:
    """The best set of leaves and its value; TimeoutError where option `time_limit` cut it short.

    Shapes: parents, cost and tokens [m], leaves, profit and clusters [n]. `gains` [K, J] has for
    the K distinct labels, ascending, what the first J kept members add, none more than the one
    before; K = 0 drops the coverage term. The tight form, one thread, gaps 0: a binary for each
    node on a path and, where J = 1, for each cluster; with more gains the covered part of a
    cluster's worth stays below each line through two neighbouring points of the concave curve of
    its members. A node needs its parent and, where no candidate sits at it, a child; a cluster
    needs a leaf; one leaf is kept at least. A candidate is kept where its node is: its profit and
    its cluster come for nothing there. Built from arrays, without a Python loop.
    """
    nodes = on_paths(parents, leaves)
    p, n = len(nodes), len(leaves)
    place = np.full(len(parents), -1)
    place[nodes] = np.arange(p)
    at = place[leaves]
    child = np.arange(1, p)  # the root is first
    parent = place[parents[nodes[1:]]]
    cluster = np.unique(clusters, return_inverse=True)[1]
    total = gains.sum(axis=1)
    k = len(total)
    # The lines of a cluster, as parts of its worth: slope times members plus a height.
    part = gains / np.where(total > 0, total, 1.0)[:, None]
    line, step = np.nonzero(part > 0)
    height = part.cumsum(axis=1) - part * np.arange(1, gains.shape[1] + 1)

    # Entries of the matrix as (row, column, value); a row is at most 0 but for the last ones.
    inner = np.setdiff1d(np.arange(p), at)
    row_of = np.full(p, -1)
    row_of[inner] = p - 1 + np.arange(len(inner))
    needs_child = row_of[parent] >= 0
    rows = p - 1 + len(inner)
    entries: list[tuple[Ints, Ints, Any]] = [
        (child - 1, child, 1.0),
        (child - 1, parent, -1.0),
        (row_of[inner], inner, 1.0),
        (row_of[parent][needs_child], child[needs_child], -1.0),
    ]
    if k:
        lines = len(line)
        # Each leaf under each line of its cluster, which are neighbours.
        count = np.bincount(line, minlength=k)
        leaf = np.repeat(np.arange(n), count[cluster])
        first = (count.cumsum() - count)[cluster] - (count[cluster].cumsum() - count[cluster])
        under = first[leaf] + np.arange(len(leaf))
        entries += [
            (rows + np.arange(lines), p + line, 1.0),
            (rows + under, at[leaf], -part[line, step][under]),
        ]
    else:
        lines = 0
    entries.append((np.full(n, rows + lines), at, -1.0))
    upper = np.zeros(rows + lines + 1)
    upper[rows:-1] = height[line, step] if k else 0.0
    upper[-1] = -1.0  # at least one leaf
    rows += lines + 1
    if budget is not None:
        entries.append((np.full(p, rows), np.arange(p), tokens[nodes]))
        rows += 1
        upper = np.append(upper, budget)
    row = np.concatenate([entry[0] for entry in entries])
    column = np.concatenate([entry[1] for entry in entries])
    value = np.concatenate([np.full(len(entry[0]), entry[2], dtype=float) for entry in entries])
    order = np.argsort(row, kind="stable")

    worth = np.append(-cost[nodes], total)
    worth[at] += profit
    lp = highspy.HighsLp()
    lp.num_col_, lp.num_row_ = p + k, rows
    lp.col_cost_ = worth
    lp.col_lower_, lp.col_upper_ = np.zeros(p + k), np.ones(p + k)
    lp.row_lower_ = np.full(rows, -highspy.kHighsInf)
    lp.row_upper_ = upper
    lp.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
    lp.a_matrix_.start_ = np.searchsorted(row[order], np.arange(rows + 1))
    lp.a_matrix_.index_ = column[order]
    lp.a_matrix_.value_ = value[order]
    lp.sense_ = highspy.ObjSense.kMaximize
    integer, continuous = highspy.HighsVarType.kInteger, highspy.HighsVarType.kContinuous
    lp.integrality_ = [integer] * p + [integer if gains.shape[1] == 1 else continuous] * k
    model = highspy.Highs()  # type: ignore[no-untyped-call]
    model.silent()
    model.setOptionValue("threads", 1)
    model.setOptionValue("mip_rel_gap", 0.0)
    model.setOptionValue("mip_abs_gap", 0.0)
    for name, setting in options.items():
        model.setOptionValue(name, setting)
    model.passModel(lp)
    model.run()
    if model.getModelStatus() == highspy.HighsModelStatus.kTimeLimit:
        raise TimeoutError("HiGHS proved no optimum in its time")
    if model.getModelStatus() != highspy.HighsModelStatus.kOptimal:
        raise RuntimeError(f"HiGHS stopped with {model.getModelStatus()}")
    keep = np.asarray(model.getSolution().col_value)[at] > 0.5
    return keep, float(model.getObjectiveValue())
