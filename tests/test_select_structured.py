"""Leaf selection where the shape is extreme: set covers, ties, chains, stars, inner leaves."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ets import _core
from selection_oracle import (
    Problem,
    brute_force,
    check,
    generated,
    highs_optimum,
    objective,
    path_tokens,
    problem_of,
    select,
)


def cover(sets: list[list[int]], lambda_b: float, lambda_d: float, depth: int = 1) -> Problem:
    """A set cover: below each node of the first level, one free leaf for each element it covers.

    Each set's node hangs at the root, on a chain of `depth` nodes that its price is spread over.
    """
    parents, leaves, clusters, costs = [-1], [], [], [0.0]
    for elements in sets:
        above = 0
        for _ in range(depth):
            parents.append(above)
            costs.append(1.0)
            above = len(parents) - 1
        for element in elements:
            leaves.append(len(parents))
            parents.append(above)
            clusters.append(element)
            costs.append(0.0)
    return problem_of(
        np.array(parents),
        np.array(leaves),
        clusters=np.array(clusters),
        node_costs=np.array(costs),
        lambda_b=lambda_b,
        lambda_d=lambda_d,
        source=f"cover of {len(sets)} sets, lambdas {lambda_b} and {lambda_d}",
    )


def cyclic(count: int, width: int) -> list[list[int]]:
    """Set i covers elements i to i + width - 1, cyclically: the LP takes 1 / width of each."""
    return [[(i + j) % count for j in range(width)] for i in range(count)]


def plane(order: int) -> list[list[int]]:
    """The lines of the projective plane over a prime field, as sets of points."""
    points = [(1, a, b) for a in range(order) for b in range(order)]
    points += [(0, 1, a) for a in range(order)] + [(0, 0, 1)]
    return [
        [
            j
            for j, y in enumerate(points)
            if sum(p * q for p, q in zip(x, y, strict=True)) % order == 0
        ]
        for x in points
    ]


COVERS = [
    *[cyclic(count, width) for count in (7, 11, 16, 23, 30) for width in (2, 3, 5)],
    plane(2),
    plane(3),
    plane(5),
    [[a, b] for a in range(7) for b in range(a)],  # vertex cover of a complete graph's line graph
]


@pytest.mark.parametrize("which", range(len(COVERS)))
@pytest.mark.parametrize(("lambda_b", "lambda_d"), [(1.5, 1.0), (2.0, 3.0), (6.0, 4.0)])
def test_structured_set_covers(which: int, lambda_b: float, lambda_d: float) -> None:
    problem = cover(COVERS[which], lambda_b, lambda_d, depth=1 + which % 3)
    found = select(problem)
    check(problem, found)
    assert abs(found.objective - highs_optimum(problem)) <= 1e-7


@pytest.mark.parametrize("seed", range(40))
def test_random_set_covers(seed: int) -> None:
    rng = np.random.default_rng(seed)
    count, elements = int(rng.integers(7, 31)), int(rng.integers(5, 31))
    size = int(rng.integers(2, 5))
    sets = [rng.choice(elements, size=size, replace=False).tolist() for _ in range(count)]
    problem = cover(sets, float(rng.uniform(1, 8)), float(rng.uniform(0.5, 6)))
    # Weights that do not pay for a set by themselves, random or all equal.
    if seed % 2:
        problem = replace(problem, weights=rng.random(len(problem.leaves)) + 0.1)
    found = select(problem)
    check(problem, found)
    assert abs(found.objective - highs_optimum(problem)) <= 1e-7


@pytest.mark.parametrize("fraction", [0.3, 0.6, 0.9])
@pytest.mark.parametrize("seed", range(20))
def test_set_covers_within_a_budget(seed: int, fraction: float) -> None:
    rng = np.random.default_rng(100 + seed)
    count, elements = int(rng.integers(6, 15)), int(rng.integers(5, 16))
    sets = [rng.choice(elements, size=3, replace=False).tolist() for _ in range(count)]
    problem = cover(sets, float(rng.uniform(1, 8)), float(rng.uniform(0.5, 6)))
    tokens = rng.integers(1, 9, size=len(problem.parents)) if seed % 2 else problem.node_tokens
    problem = replace(problem, node_tokens=tokens)
    free = select(problem).tokens_kept or 0
    budget = max(int(path_tokens(problem).min()), int(fraction * free))
    tight = replace(problem, budget=budget, source=f"{problem.source} within {budget}")
    found = select(tight)
    check(tight, found)
    assert abs(found.objective - highs_optimum(tight)) <= 1e-7


@pytest.mark.parametrize("lambda_b", [0.0, 0.5, 1.0, 2.0, 4.0])
@pytest.mark.parametrize("lambda_d", [0.0, 0.5, 1.0, 2.0])
def test_equal_profits_have_many_optima(lambda_b: float, lambda_d: float) -> None:
    for arms, leaves, clusters in ((4, 6, 5), (6, 6, 3), (3, 12, 8)):
        n = arms * leaves
        parents = np.concatenate([[-1], np.zeros(arms, int), 1 + np.arange(n) // leaves])
        problem = problem_of(
            parents,
            np.arange(1 + arms, 1 + arms + n),
            clusters=np.arange(n) % clusters,
            lambda_b=lambda_b,
            lambda_d=lambda_d,
        )
        found = select(problem)
        check(problem, found)
        assert abs(found.objective - highs_optimum(problem)) <= 1e-7
        assert np.array_equal(found.keep, select(problem).keep)


@pytest.mark.parametrize("clusters", ["one", "own"])
@pytest.mark.parametrize("seed", range(15))
def test_one_cluster_and_a_cluster_for_each_leaf(clusters: str, seed: int) -> None:
    lambda_b, lambda_d = 0.5 + 0.4 * seed, 0.2 + 0.3 * seed
    problem = generated(24, 1 + seed, "independent", (2.0, 1.0), seed, lambda_b, lambda_d)
    n = len(problem.leaves)
    labels = np.zeros(n, dtype=np.int64) if clusters == "one" else np.arange(n)
    problem = replace(problem, clusters=labels)
    found = select(problem)
    check(problem, found)
    assert abs(found.objective - highs_optimum(problem)) <= 1e-7
    if clusters == "own":
        # Its gain is as good as profit of its own: no coverage term is left.
        profit = problem.weights / problem.weights.sum() + lambda_d / n
        plain = _core.select_leaves(
            problem.parents,
            problem.leaves,
            profit,
            lambda_b=lambda_b / profit.sum(),
        )
        assert found.objective == pytest.approx(plain.objective * profit.sum(), abs=1e-9)


@pytest.mark.parametrize("lambda_d", [0.0, 1.5])
@pytest.mark.parametrize("costs", [False, True])
def test_leaves_along_deep_chains(lambda_d: float, costs: bool) -> None:
    """Two thousand nodes in a row with a leaf at every tenth, at the end, or on a comb."""
    m = 2000
    chain = np.arange(-1, m - 1)
    comb = np.concatenate([chain, np.arange(m)])
    for parents, leaves in (
        (chain, np.arange(m - 1, -1, -10)),
        (chain, np.array([m - 1])),
        (comb, np.arange(m, 2 * m)),
    ):
        rng = np.random.default_rng(len(leaves))
        problem = problem_of(
            parents,
            leaves,
            weights=rng.integers(1, 5, size=len(leaves)).astype(np.float64),
            clusters=rng.integers(0, 7, size=len(leaves)),
            node_costs=rng.random(len(parents)) if costs else None,
            lambda_b=1.3,
            lambda_d=lambda_d,
        )
        found = select(problem)
        check(problem, found)
        if np.array_equal(parents, chain):
            # Keeping a leaf keeps those above it for nothing: only the deepest one matters.
            values = [objective(problem, leaves <= deepest) for deepest in leaves]
            assert found.objective == pytest.approx(max(values), abs=1e-9)
        else:
            assert found.objective >= objective(problem, np.ones(len(leaves), dtype=bool)) - 1e-9


def test_a_wide_star_without_a_coverage_term() -> None:
    n = 65_536
    rng = np.random.default_rng(0)
    weights = rng.integers(0, 5, size=n).astype(np.float64)
    problem = problem_of(
        np.concatenate([[-1], np.zeros(n, dtype=np.int64)]),
        np.arange(1, n + 1),
        weights=weights,
        lambda_b=1.2,
        lambda_d=0.0,
    )
    found = select(problem)
    check(problem, found)
    profit, price = weights / weights.sum(), 1.2 / (n + 1)
    assert np.array_equal(found.keep, profit > price)
    best = np.maximum(profit - price, 0.0).sum() - price
    assert found.objective == pytest.approx(best, abs=1e-9)


@pytest.mark.parametrize("kinds", [1, 100, 20_000, 65_536])
def test_a_wide_star_with_one(kinds: int) -> None:
    """In a star the best leaf of each cluster has the gain, and every other stands for itself."""
    n = 65_536
    rng = np.random.default_rng(kinds)
    weights = rng.integers(0, 5, size=n).astype(np.float64)
    clusters = np.arange(n) % kinds
    problem = problem_of(
        np.concatenate([[-1], np.zeros(n, dtype=np.int64)]),
        np.arange(1, n + 1),
        weights=weights,
        clusters=clusters,
        lambda_b=1.5,
        lambda_d=0.7,
    )
    found = select(problem)
    check(problem, found)
    own = weights / weights.sum() - 1.5 / (n + 1)
    largest = np.full(kinds, -np.inf)
    np.maximum.at(largest, clusters, own)
    best = np.maximum(own, 0.0).sum() - 1.5 / (n + 1)
    best += np.maximum(0.7 / kinds + np.minimum(largest, 0.0), 0.0).sum()
    assert found.objective == pytest.approx(best, abs=1e-9)


@pytest.mark.parametrize("lambda_b", [0.0, 1.0, 4.0])
@pytest.mark.parametrize("lambda_d", [0.0, 2.0])
def test_leaves_at_inner_nodes_and_at_the_root(lambda_b: float, lambda_d: float) -> None:
    parents = np.array([-1, 0, 0, 1, 1, 2, 2, 5])
    for leaves in ([0], [0, 3], [7, 0, 1], [5, 7, 2], [1, 3, 4], [0, 1, 2, 3, 4, 5, 6, 7]):
        rng = np.random.default_rng(leaves)
        problem = problem_of(
            parents,
            np.array(leaves),
            weights=rng.random(len(leaves)) + 0.1,
            clusters=rng.integers(0, 3, size=len(leaves)),
            lambda_b=lambda_b,
            lambda_d=lambda_d,
        )
        found = select(problem)
        check(problem, found)
        assert found.objective == pytest.approx(brute_force(problem), abs=1e-9)
