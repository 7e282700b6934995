"""Clusters worth differently, and further members that pay less, against HiGHS: thousands of trees.

Quick tests have a share of them.
"""

from __future__ import annotations

from dataclasses import replace

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from mass_trees import mass_tree
from selection_oracle import (
    KINDS,
    Problem,
    brute_force,
    check,
    generated,
    highs_optimum,
    path_tokens,
    select,
)
from test_select import small_problems
from test_select_highs import TOLERANCE, with_costs

RHOS = (0.0, 0.3, 0.5, 0.8)


@st.composite
def small_rules(draw: st.DrawFn) -> Problem:
    """Small problems under a rule of their own: any worths, labels that do not occur among them."""
    problem = draw(small_problems())
    amount = st.sampled_from([0.0, 1.0, 1.0, 2.0]) | st.floats(0.0, 1.0)
    worth = np.array(draw(st.lists(amount, min_size=6, max_size=6)))
    labels = problem.clusters % 6
    if not worth[labels].any():
        worth[labels[0]] = 1.0
    return replace(
        problem,
        clusters=labels,
        lambda_r=draw(st.sampled_from([0.0, 0.001, 1.0]) | st.floats(0.0, 6.0)),
        cluster_worth=draw(st.none() | st.just(worth)),
        rho=draw(st.sampled_from(RHOS) | st.floats(0.0, 0.999)),
    )


@settings(max_examples=400, deadline=None)
@given(small_rules())
def test_small_rules_agree_with_brute_force(problem: Problem) -> None:
    best = brute_force(problem)
    if best is not None:
        for solver in ("exact", "milp"):
            found = select(problem, solver=solver)
            check(problem, found)
            assert abs(found.objective - best) <= 1e-8 * (1 + abs(best)), solver


@settings(max_examples=200, deadline=None)
@given(small_rules())
def test_highs_itself_agrees_with_brute_force(problem: Problem) -> None:
    best = brute_force(problem)
    if best is not None:
        assert abs(highs_optimum(problem) - best) <= TOLERANCE


def mass_problem(rng: np.random.Generator, at: int) -> Problem:
    """A tree of the generator with masses, or, every other one, as a search by mass grows it."""
    width, depth = int(rng.integers(24, 65)), int(rng.integers(1, 9))
    lambda_b, seed = round(float(rng.uniform(0.5, 6.0)), 3), int(rng.integers(1 << 32))
    rho = RHOS[at // 2 % 4]
    if at % 2:
        texts = int(rng.choice([2, 4, 12]))
        grown = mass_tree(width, depth, texts, lambda_b, rho, seed)
        problem = Problem(
            parents=grown.parents,
            leaves=grown.leaves,
            weights=grown.weights,
            clusters=grown.clusters,
            lambda_b=lambda_b,
            lambda_d=1.0,
            node_tokens=grown.tokens,
            source=f"mass_tree{(width, depth, texts, lambda_b, rho, seed)}",
        )
    else:
        kind = KINDS[int(rng.choice(5, p=[0.5, 0.2, 0.2, 0.05, 0.05]))]
        pruned = (2.0, 1.0) if rng.random() < 0.5 else None
        problem = generated(width, depth, kind, pruned, seed, lambda_b, 1.0)
    lambda_r = float(rng.choice([0.001, 1.0]))
    worth = np.bincount(problem.clusters, problem.weights).astype(np.float64)
    source = f"{problem.source} lambda_r {lambda_r} rho {rho}"
    return replace(problem, lambda_r=lambda_r, cluster_worth=worth, rho=rho, source=source)


def agree(problem: Problem) -> None:
    found = select(problem)
    check(problem, found)
    assert abs(found.objective - highs_optimum(problem)) <= TOLERANCE, problem.source


@pytest.mark.parametrize(
    "batch", [*range(8), *(pytest.param(batch, marks=pytest.mark.rare) for batch in range(8, 100))]
)
def test_masses_agree_with_highs(batch: int) -> None:
    rng = np.random.default_rng([2, batch])
    for i in range(40):
        problem = mass_problem(rng, i)
        agree(with_costs(rng, problem) if i % 10 >= 8 else problem)


@pytest.mark.parametrize(
    "batch", [*range(4), *(pytest.param(batch, marks=pytest.mark.rare) for batch in range(4, 60))]
)
def test_masses_within_budgets_agree_with_highs(batch: int) -> None:
    rng = np.random.default_rng([3, batch])
    for i in range(16):
        problem = mass_problem(rng, i)
        free = select(problem).tokens_kept or 0
        # Below the cheapest leaf nothing fits.
        budget = max(int(free * (0.4, 0.7, 0.9)[i % 3]), int(path_tokens(problem).min()))
        agree(replace(problem, budget=budget, source=f"{problem.source} within {budget}"))
