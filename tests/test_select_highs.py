"""The exact method against HiGHS on trees as searches grow them: 3,000 and more, and budgets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from selection_oracle import KINDS, Problem, check, generated, highs_optimum, path_tokens, select

# HiGHS's own tolerances: gaps 0, but it drops nodes within about 1e-9 of its best, and takes a
# variable within 1e-9 of an integer for one.
TOLERANCE = 1e-7


def lambdas(rng: np.random.Generator, hard: bool) -> tuple[float, float]:
    if hard:
        return round(rng.uniform(0.5, 6.0), 3), round(rng.uniform(0.2, 6.0), 3)
    return 1.0, float(rng.choice([0.0, 1.0, 1.4, 2.0]))


def medium_problems(batch: int) -> Iterator[Problem]:
    """Fifty problems of every kind: widths mostly small, the wide ones at lambdas that HiGHS solves
    in well under a second."""
    rng = np.random.default_rng(batch)
    for i in range(50):
        hard = i < 44
        width = int(rng.integers(8, 49) if hard else rng.choice([64, 96, 128, 192, 256]))
        depth = int(rng.integers(1, 21 if hard else 9))
        at_every_step = None if rng.random() < 0.3 else lambdas(rng, hard)
        kind = KINDS[int(rng.choice(5, p=[0.4, 0.3, 0.1, 0.1, 0.1]))]
        seed = int(rng.integers(1 << 32))
        problem = generated(width, depth, kind, at_every_step, seed, *lambdas(rng, hard))
        yield with_costs(rng, problem) if i % 5 == 4 else problem


def with_costs(rng: np.random.Generator, problem: Problem) -> Problem:
    """The same with a cost for each node: its tokens, or random with many zeros."""
    m = len(problem.parents)
    costs = problem.node_tokens.astype(np.float64)
    if rng.random() < 0.5:
        costs = rng.random(m) * rng.integers(0, 3, size=m)
    return replace(problem, node_costs=costs, source=problem.source + " with costs")


@pytest.mark.parametrize(
    "batch", [*range(20), *(pytest.param(batch, marks=pytest.mark.rare) for batch in range(20, 62))]
)
def test_medium_problems_agree_with_highs(batch: int) -> None:
    for problem in medium_problems(batch):
        found = select(problem)
        check(problem, found)
        best = highs_optimum(problem)
        assert abs(found.objective - best) <= TOLERANCE, problem.source


@pytest.mark.parametrize("batch", range(24))
def test_problems_with_budgets_agree_with_highs(batch: int) -> None:
    rng = np.random.default_rng([1, batch])
    for i in range(14):
        width, depth = int(rng.integers(8, 41)), int(rng.integers(1, 9))
        at_every_step = None if rng.random() < 0.3 else lambdas(rng, hard=i % 2 == 0)
        kind = KINDS[int(rng.choice(5, p=[0.4, 0.3, 0.1, 0.1, 0.1]))]
        seed = int(rng.integers(1 << 32))
        problem = generated(width, depth, kind, at_every_step, seed, *lambdas(rng, hard=i % 2 == 0))
        if i % 4 == 3:
            problem = with_costs(rng, problem)
        free = select(problem).tokens_kept or 0
        # Below the cheapest leaf nothing fits.
        budget = max(int(free * (0.3, 0.6, 0.9)[i % 3]), int(path_tokens(problem).min()))
        problem = replace(problem, budget=budget, source=f"{problem.source} within {budget}")
        found = select(problem)
        check(problem, found)
        assert abs(found.objective - highs_optimum(problem)) <= TOLERANCE, problem.source
