"""Leaf selection: right against HiGHS, refuses bad input by name."""

from __future__ import annotations

import pickle
import threading

import numpy as np
import pytest

from ets import _core
from selection_oracle import Problem, highs_optimum, objective, on_paths, random_problem


def select(problem: Problem, **options: object) -> _core.Selection:
    arguments: dict[str, object] = {
        "lambda_b": problem.lambda_b,
        "lambda_d": problem.lambda_d,
        "node_costs": problem.node_costs,
        "node_tokens": problem.node_tokens,
    }
    return _core.select_leaves(
        problem.parents,
        problem.leaves,
        problem.weights,
        problem.clusters,
        **(arguments | options),  # type: ignore[arg-type]
    )


def check(problem: Problem, found: _core.Selection) -> None:
    """What a selection says of itself is so."""
    assert found.optimal
    assert found.bound == found.objective
    assert found.objective == pytest.approx(objective(problem, found.keep), abs=1e-9)
    kept = on_paths(problem.parents, problem.leaves[found.keep])
    assert found.nodes_kept == len(kept)
    assert found.tokens_kept == int(problem.node_tokens[kept].sum())


@pytest.mark.parametrize("seed", range(200))
def test_small_problems_agree_with_highs(seed: int) -> None:
    rng = np.random.default_rng(seed)
    problem = random_problem(rng, int(rng.integers(1, 14)), inner_leaves=seed % 2 == 0)
    expected = highs_optimum(problem)
    for solver in ("auto", "milp"):
        found = select(problem, solver=solver)
        check(problem, found)
        assert found.objective == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("seed", range(200))
def test_medium_problems_agree_with_highs(seed: int) -> None:
    rng = np.random.default_rng(10_000 + seed)
    problem = random_problem(rng, int(rng.integers(24, 65)), inner_leaves=seed % 4 == 0)
    found = select(problem)
    check(problem, found)
    assert found.objective == pytest.approx(highs_optimum(problem), abs=1e-6)


@pytest.mark.parametrize("seed", range(60))
def test_a_budget_agrees_with_highs(seed: int) -> None:
    rng = np.random.default_rng(20_000 + seed)
    problem = random_problem(rng, int(rng.integers(2, 20)), inner_leaves=seed % 2 == 0)
    free = select(problem)
    assert free.tokens_kept is not None
    budget = int(free.tokens_kept * rng.uniform(0.3, 1.0))
    cheapest = min(
        int(problem.node_tokens[on_paths(problem.parents, problem.leaves[i : i + 1])].sum())
        for i in range(len(problem.leaves))
    )
    if budget < cheapest:
        with pytest.raises(_core.InputError, match=f"kv_budget is {budget}.*at least {cheapest},"):
            select(problem, kv_budget=budget)
        budget = cheapest
    found = select(problem, kv_budget=budget)
    check(problem, found)
    assert found.tokens_kept is not None
    assert found.tokens_kept <= budget
    assert found.objective == pytest.approx(highs_optimum(problem, budget), abs=1e-6)


def test_the_same_input_gives_the_same_answer() -> None:
    problem = random_problem(np.random.default_rng(3), 48)
    first = select(problem, solver="milp")
    for _ in range(3):
        assert np.array_equal(select(problem, solver="milp").keep, first.keep)


def test_no_time_gives_an_incumbent_and_a_bound() -> None:
    rng = np.random.default_rng(5)
    for _ in range(20):
        problem = random_problem(rng, 40)
        best = select(problem)
        hasty = select(problem, solver="milp", time_limit=0.0)
        assert hasty.keep.any()
        assert hasty.objective <= best.objective + 1e-9
        assert best.objective <= hasty.bound + 1e-9
        assert hasty.objective == pytest.approx(objective(problem, hasty.keep), abs=1e-9)


def test_extreme_sizes_of_weights_and_lambdas() -> None:
    parents = np.array([-1, 0, 0, 1, 1, 2])
    leaves = np.array([3, 4, 5])
    clusters = np.array([0, 0, 1])
    for scale in (1e-300, 1e-9, 1.0, 1e9, 1e300):
        weights = np.array([9.0, 6.0, 1.0]) * scale
        found = _core.select_leaves(parents, leaves, weights, clusters, lambda_b=1.0)
        assert found.keep.tolist() == [True, True, False]
    weights = np.ones(3)
    for huge in (1e9, 1e100, 1e300):
        found = _core.select_leaves(parents, leaves, weights, clusters, lambda_b=huge)
        assert found.nodes_kept == 3
        found = _core.select_leaves(
            parents, leaves, weights, clusters, lambda_b=1.0, lambda_d=huge, solver="milp"
        )
        assert set(clusters[found.keep]) == {0, 1}


def test_a_lone_root_is_its_own_leaf() -> None:
    for solver in ("auto", "milp"):
        found = _core.select_leaves(
            np.array([-1]), np.array([0]), np.array([2.0]), lambda_b=5.0, solver=solver
        )
        assert found.keep.tolist() == [True]
        assert found.objective == pytest.approx(-4.0)
        assert found.tokens_kept is None


PARENTS = np.array([-1, 0, 0, 1], dtype=np.int64)
LEAVES = np.array([2, 3], dtype=np.int64)
WEIGHTS = np.array([1.0, 2.0])
BAD = [
    ({"parents": [-1, 0]}, "parents is of type list: it must be a int64 numpy array"),
    ({"parents": PARENTS.astype(np.int32)}, "parents is a int32 array of 1 dim"),
    ({"parents": np.array([-1, 2, 1, 0])}, r"parents\[1\] is 2: it must be the id of an earlier"),
    ({"parents": np.array([-1, 1, 0, 0])}, r"parents\[1\] is 1"),
    ({"parents": np.array([-1, -1, 0, 0])}, r"parents\[1\] is -1"),
    ({"parents": np.array([0, 0, 0, 0])}, r"parents\[0\] is 0: it must be -1"),
    ({"parents": np.zeros(0, dtype=np.int64)}, "parents is empty"),
    ({"parents": np.array([-1, 2**63 - 1, 0, 0])}, r"parents\[1\] is 9223372036854775807"),
    ({"leaves": np.array([2, 2])}, r"leaves\[1\] is 2, as leaves\[0\] already is"),
    ({"leaves": np.array([2, 4])}, r"leaves\[1\] is 4: it must be at least 0 and below 4"),
    ({"leaves": np.array([2, -1])}, r"leaves\[1\] is -1"),
    ({"leaves": np.array([2, 2**62])}, r"leaves\[1\] is 4611686018427387904"),
    ({"leaves": np.zeros(0, dtype=np.int64)}, "leaves is empty"),
    ({"leaves": np.array([2, 9, 3, 9])[::2]}, "leaves is not C-contiguous"),
    ({"leaves": np.array([[2, 3]])}, "leaves is a int64 array of 2 dimensions"),
    ({"weights": np.array([1.0])}, "weights has length 1: it must have length 2, like leaves"),
    ({"weights": np.array([1.0, np.nan])}, r"weights\[1\] is NaN"),
    ({"weights": np.array([-1.0, 1.0])}, r"weights\[0\] is -1.0"),
    ({"weights": np.zeros(2)}, "the sum of weights is 0.0: it must be above 0"),
    ({"weights": WEIGHTS.astype(">f8")}, "weights is a >f8 array|weights is a float64 array"),
    ({"clusters": np.array([1.0, 2.0])}, "clusters is a float64 array"),
    ({"clusters": np.array([1])}, "clusters has length 1"),
    ({"lambda_b": -1.0}, "lambda_b is -1.0: it must be finite and at least 0"),
    ({"lambda_b": "1"}, "lambda_b is '1': it must be a float"),
    ({"lambda_d": np.inf}, "lambda_d is inf"),
    ({"node_costs": np.array([1.0, 1.0, -1.0, 1.0])}, r"node_costs\[2\] is -1.0"),
    ({"node_costs": np.ones(3)}, "node_costs has length 3: it must have length 4, like parents"),
    ({"node_tokens": np.array([1, 1, 1, -1])}, r"node_tokens\[3\] is -1"),
    ({"node_tokens": np.full(4, 2**62)}, r"node_tokens\[1\] is .* sum to stay below 2\*\*63"),
    ({"kv_budget": 3}, "kv_budget needs node_tokens"),
    ({"kv_budget": 1, "node_tokens": np.ones(4, dtype=np.int64)}, "kv_budget is 1.*at least 2"),
    ({"kv_budget": 2.5, "node_tokens": np.ones(4, dtype=np.int64)}, "kv_budget is 2.5"),
    ({"kv_budget": 2**64, "node_tokens": np.ones(4, dtype=np.int64)}, "kv_budget is 18446744"),
    ({"solver": "cbc"}, 'solver is \'cbc\': it must be "auto" or "milp"'),
    ({"solver": "exact"}, "solver is 'exact'"),
    ({"time_limit": -1.0}, "time_limit is -1.0"),
    ({"time_limit": np.nan}, "time_limit is NaN"),
]


@pytest.mark.parametrize(("change", "message"), BAD)
def test_bad_input_is_named(change: dict[str, object], message: str) -> None:
    arguments: dict[str, object] = {
        "parents": PARENTS,
        "leaves": LEAVES,
        "weights": WEIGHTS,
        "lambda_b": 1.0,
    }
    with pytest.raises(_core.InputError, match=message) as caught:
        _core.select_leaves(**(arguments | change))  # type: ignore[arg-type]
    assert isinstance(caught.value, ValueError)
    assert "\n" not in str(caught.value)


def test_a_selection_is_frozen() -> None:
    found = _core.select_leaves(PARENTS, LEAVES, WEIGHTS, lambda_b=1.0)
    with pytest.raises(AttributeError):
        found.objective = 1.0  # type: ignore[misc]
    with pytest.raises(ValueError, match="read-only"):
        found.keep[0] = False


@pytest.mark.parametrize("kind", [_core.InputError, _core.SolverError])
def test_errors_pickle(kind: type[Exception]) -> None:
    copy = pickle.loads(pickle.dumps(kind("leaves is empty")))
    assert type(copy) is kind
    assert copy.args == ("leaves is empty",)


def test_several_threads_select_at_once() -> None:
    problem = random_problem(np.random.default_rng(8), 40)
    expected = select(problem).keep
    answers: list[bool] = []

    def work() -> None:
        answers.extend(np.array_equal(select(problem).keep, expected) for _ in range(20))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [True] * 80
