"""Time limits: whatever the time, the answer is a selection that fits and its bound holds.

How long a call took is not asserted: a busy machine would fail it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from selection_oracle import KINDS, Kind, Problem, check, generated, path_tokens, select

LIMITS = (0.0, 1e-4, 1e-3, 1e-2)
HARD = [
    (256, 6, 3.0, 1.0), (256, 3, 4.0, 2.0), (256, 12, 6.0, 4.0), (384, 5, 5.0, 2.5),
    (512, 4, 6.0, 4.0), (512, 8, 3.5, 1.5), (1024, 4, 6.0, 4.0), (1024, 10, 4.5, 3.0),
]  # fmt: skip


def hard_problem(which: int, seed: int) -> Problem:
    width, depth, lambda_b, lambda_d = HARD[which]
    return generated(width, depth, "independent", (3.0, 1.5), seed, lambda_b, lambda_d)


def check_limits(problem: Problem) -> None:
    """Every objective is at most every bound: they are on either side of the optimum."""
    answers = [select(problem, time_limit=limit) for limit in (*LIMITS, 0.5)]
    for answer in answers:
        check(problem, answer, proven=False)
    best = max(answer.objective for answer in answers)
    for answer in answers:
        assert best <= answer.bound + 1e-9, problem.source
        assert np.isfinite(answer.bound), problem.source
        if answer.optimal:
            assert answer.objective >= best - 1e-9, problem.source
    # With no time at all the bound is the first there is; more time never makes it worse.
    assert answers[-1].bound <= answers[0].bound + 1e-9, problem.source


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("which", range(len(HARD)))
def test_hard_problems_within_their_time(which: int, seed: int) -> None:
    check_limits(hard_problem(which, seed))


@pytest.mark.parametrize("fraction", [0.3, 0.6, 0.9])
@pytest.mark.parametrize("which", range(len(HARD)))
def test_hard_problems_within_their_time_and_budget(which: int, fraction: float) -> None:
    problem = hard_problem(which, 3)
    free = select(problem, time_limit=0.5).tokens_kept or 0
    budget = max(int(fraction * free), int(path_tokens(problem).min()))
    check_limits(replace(problem, budget=budget, source=f"{problem.source} within {budget}"))


@pytest.mark.parametrize("rho", [0.0, 0.5])
@pytest.mark.parametrize("fraction", [None, 0.5])
def test_masses_within_their_time(rho: float, fraction: float | None) -> None:
    """Clusters along the tree, each worth what its candidates weigh, at prices that leave much."""
    problem = generated(256, 6, "inherited", None, 3, 2.0, 1.0)
    worth = np.bincount(problem.clusters, problem.weights).astype(np.float64)
    problem = replace(problem, lambda_r=0.001, cluster_worth=worth, rho=rho)
    if fraction is not None:
        held = select(problem, time_limit=0.5).tokens_kept or 0
        budget = max(int(fraction * held), int(path_tokens(problem).min()))
        problem = replace(problem, budget=budget)
    check_limits(problem)


@pytest.mark.parametrize("kind", KINDS)
def test_a_wide_tree_has_a_selection_within_its_time_and_budget(kind: Kind) -> None:
    problem = generated(8192, 3, kind, None, 3, 6.0, 4.0)
    check_limits(problem)
    held = select(problem, time_limit=0.01).tokens_kept or 0
    budget = max(held // 3, int(path_tokens(problem).min()))
    check_limits(replace(problem, budget=budget, source=f"{problem.source} within {budget}"))


@pytest.mark.parametrize("limit", LIMITS)
def test_where_nothing_pays(limit: float) -> None:
    """The best single leaf has to be found, time or not."""
    problem = generated(256, 6, "independent", (3.0, 1.5), 1, 80.0, 2.0)
    for budget in (None, int(path_tokens(problem).min())):
        tight = replace(problem, budget=budget)
        best = select(tight)
        found = select(tight, time_limit=limit)
        check(tight, best)
        check(tight, found, proven=False)
        assert found.objective <= best.objective + 1e-9
        assert best.objective <= found.bound + 1e-9


@pytest.mark.parametrize("seed", range(10))
def test_enough_time_changes_nothing(seed: int) -> None:
    problem = generated(48, 5, "independent", (2.0, 1.0), seed, 3.0, 1.5)
    free, limited = select(problem), select(problem, time_limit=3600.0)
    assert limited.optimal
    assert np.array_equal(free.keep, limited.keep)
    assert free.objective.hex() == limited.objective.hex()
