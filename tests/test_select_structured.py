"""Leaf selection where structure is extreme: set covers, ties, chains, stars, sizes of numbers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from ets import _core
from selection_oracle import (
    Problem,
    brute_force,
    check,
    generated,
    highs_optimum,
    objective,
    path_tokens,
    select,
)


def problem_of(parents: NDArray[np.int64], leaves: NDArray[np.int64], **changes: object) -> Problem:
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
    return replace(plain, **changes)  # type: ignore[arg-type]


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
def test_deep_chains(lambda_d: float, costs: bool) -> None:
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


def test_without_a_price_every_weight_and_cluster_is_kept() -> None:
    for seed in range(20):
        for lambda_d in (0.0, 1.4, 1e300):
            problem = generated(32, 6, "independent", None, seed, 0.0, lambda_d)
            found = select(problem)
            check(problem, found)
            assert found.objective == pytest.approx(1.0 + lambda_d, rel=1e-12)
            assert found.keep[problem.weights > 0].all()


@pytest.mark.parametrize("small", [1e-300, 5e-324, 1e-30, 1e-13])
def test_tiny_lambdas(small: float) -> None:
    problem = generated(24, 5, "independent", (1.0, 1.4), 3, small, small)
    found = select(problem)
    check(problem, found)
    assert found.objective == pytest.approx(1.0, abs=1e-12)
    problem = replace(problem, lambda_b=1.0)
    found = select(problem)
    check(problem, found)
    assert found.objective == pytest.approx(highs_optimum(replace(problem, lambda_d=0.0)), abs=1e-7)


@pytest.mark.parametrize("huge", [1e9, 1e30, 1e300])
def test_huge_lambdas(huge: float) -> None:
    problem = generated(24, 5, "independent", (1.0, 1.4), 3, huge, 0.0)
    for lambda_d in (0.0, 1.4):
        found = select(replace(problem, lambda_d=lambda_d))
        # Nothing pays: the shortest path, and one leaf at the end of it.
        assert found.keep.sum() == 1
        assert found.nodes_kept == 6
        assert found.optimal
    found = select(replace(problem, lambda_b=1.0, lambda_d=huge))
    assert found.optimal
    assert set(problem.clusters[found.keep]) == set(problem.clusters)
    # Both at once, an even match: the smaller factor decides as it would by itself.
    both = select(replace(problem, lambda_b=2 * huge if huge < 1e300 else huge, lambda_d=huge))
    assert both.optimal
    assert np.isfinite(both.objective)


@pytest.mark.parametrize("scale", [1e-300, 1e-9, 1e9, 1e300])
def test_weights_and_costs_of_any_size(scale: float) -> None:
    problem = generated(24, 5, "independent", (2.0, 1.0), 8, 2.5, 1.5)
    costs = problem.node_tokens.astype(np.float64)
    plain = select(problem, node_costs=costs)
    # Powers of two change no digit.
    scale = 2.0 ** round(np.log2(scale))
    scaled = replace(problem, weights=problem.weights * scale, node_costs=costs * scale)
    found = select(scaled)
    check(scaled, found)
    assert found.objective == pytest.approx(plain.objective, abs=1e-12)
    wild = problem.weights.copy()
    wild[::2] *= scale
    wild[1] = 5e-324
    scaled = replace(problem, weights=wild)
    found = select(scaled)
    check(scaled, found)
    assert abs(found.objective - highs_optimum(scaled)) <= 1e-7


def test_labels_are_any_integers() -> None:
    problem = generated(24, 5, "few", (2.0, 1.0), 8, 2.5, 1.5)
    plain = select(problem)
    for renamed in ([-(2**63), 2**63 - 1, 0], [2**63 - 1, 2**63 - 2, 2**63 - 3], [-1, -2, 7]):
        found = select(replace(problem, clusters=np.array(renamed)[problem.clusters]))
        assert np.array_equal(found.keep, plain.keep)
        assert found.objective.hex() == plain.objective.hex()


def test_costs_that_are_all_zero() -> None:
    problem = generated(24, 5, "independent", None, 8, 2.5, 1.5)
    zero = np.zeros(len(problem.parents))
    found = select(replace(problem, node_costs=zero))
    check(replace(problem, node_costs=zero), found)
    assert found.objective == pytest.approx(2.5, abs=1e-12)
    zero[0] = 1.0  # the root alone costs: nothing else can be saved
    found = select(replace(problem, node_costs=zero))
    assert found.objective == pytest.approx(0.0, abs=1e-12)


def test_no_tokens_fit_no_budget() -> None:
    problem = generated(24, 5, "independent", (2.0, 1.0), 8, 2.5, 1.5)
    free = select(problem)
    none = replace(problem, node_tokens=np.zeros(len(problem.parents), dtype=np.int64), budget=0)
    found = select(none)
    check(none, found)
    assert found.tokens_kept == 0
    assert found.objective.hex() == free.objective.hex()


@pytest.mark.parametrize("seed", range(20))
def test_budgets_at_the_edge(seed: int) -> None:
    """All that the optimum needs, one token less, and just the cheapest leaf."""
    lambda_b, lambda_d = 0.6 + 0.25 * seed, 0.3 + 0.2 * seed
    problem = generated(20, 1 + seed % 7, "independent", (2.0, 1.0), seed, lambda_b, lambda_d)
    free = select(problem)
    assert free.tokens_kept is not None
    enough = select(problem, kv_budget=free.tokens_kept)
    assert enough.optimal
    assert enough.objective == pytest.approx(free.objective, abs=1e-12)
    cheapest = int(path_tokens(problem).min())
    for budget in (max(free.tokens_kept - 1, cheapest), cheapest):
        tight = replace(problem, budget=budget)
        found = select(tight)
        check(tight, found)
        assert found.objective <= free.objective + 1e-12
        assert abs(found.objective - highs_optimum(tight)) <= 1e-7
    with pytest.raises(_core.InputError, match=f"at least {cheapest}, the tokens on the path"):
        select(problem, kv_budget=cheapest - 1)


def test_a_budget_that_only_some_leaves_fit() -> None:
    """A branch that pays best and is too long for the budget does not stand in another's way."""
    m = 60
    parents = np.concatenate([[-1, 0], np.arange(1, m)])  # node 1 is cheap; the chain goes on
    problem = problem_of(
        parents,
        np.array([1, m]),
        weights=np.array([1.0, 50.0]),
        lambda_b=0.1,
        budget=2,
    )
    found = select(problem)
    check(problem, found)
    assert found.keep.tolist() == [True, False]
    tokens = np.zeros(len(parents), dtype=np.int64)
    tokens[-1] = 2**62
    huge = replace(problem, node_tokens=tokens, budget=2**62 - 1)
    assert select(huge).keep.tolist() == [True, False]
    assert select(replace(huge, budget=2**62)).keep.tolist() == [True, True]
