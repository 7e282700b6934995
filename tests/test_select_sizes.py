"""Leaf selection where numbers are extreme: lambdas, weights, costs, labels, tokens and budgets."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ets import _core
from selection_oracle import check, generated, highs_optimum, path_tokens, problem_of, select


def test_without_a_price_every_weight_and_cluster_is_kept() -> None:
    for seed in range(20):
        for lambda_d in (0.0, 1.4, 1e300):
            problem = generated(32, 6, "independent", None, seed, 0.0, lambda_d)
            found = select(problem)
            check(problem, found)
            assert found.objective == pytest.approx(1.0 + lambda_d, rel=1e-12)
            assert found.keep[problem.weights > 0].all()


@pytest.mark.parametrize("small", [1e-300, 5e-324, 1e-30, 1e-13])
def test_tiny_lambdas_weigh_nothing(small: float) -> None:
    problem = generated(24, 5, "independent", (1.0, 1.4), 3, small, small)
    found = select(problem)
    check(problem, found)
    assert found.objective == pytest.approx(1.0, abs=1e-12)
    problem = replace(problem, lambda_b=1.0)
    found = select(problem)
    check(problem, found)
    assert found.objective == pytest.approx(highs_optimum(replace(problem, lambda_d=0.0)), abs=1e-7)


@pytest.mark.parametrize("huge", [1e9, 1e30, 1e300])
def test_huge_lambdas_leave_the_cheapest_path(huge: float) -> None:
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
