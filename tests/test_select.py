"""Leaf selection: right on small problems, the same by every way in, bad input refused by name."""

from __future__ import annotations

import pickle
import threading
from dataclasses import replace
from typing import Literal

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from ets import _core
from selection_oracle import (
    Problem,
    brute_force,
    check,
    highs_optimum,
    objective,
    path_tokens,
    random_problem,
    select,
)

STATS = {
    "solver", "nodes", "clusters", "joined", "dropped", "dominated", "folded", "residual_nodes",
    "residual_clusters", "components", "bounds", "branch_nodes", "variables", "constraints",
    "microseconds",
}  # fmt: skip


@st.composite
def small_problems(draw: st.DrawFn, wild: bool = False) -> Problem:
    """Trees of up to 20 nodes, from chains to bushes, up to 10 candidates anywhere in them.

    Wild ones have weights, costs and lambdas from all the range of floats.
    """
    m = draw(st.integers(1, 20))
    reach = draw(st.sampled_from([1, 2, 4, m]))
    parents = [-1, *(draw(st.integers(max(v - reach, 0), v - 1)) for v in range(1, m))]
    n = draw(st.integers(1, min(m, 10)))
    leaves = draw(st.permutations(range(m)))[:n]
    amount = st.sampled_from([0.0, 1.0, 1.0, 2.0, 3.0]) | st.floats(0.0, 1.0)
    price = st.sampled_from([0.0, 0.5, 1.0, 1.4, 50.0]) | st.floats(0.0, 6.0)
    if wild:
        amount |= st.sampled_from([5e-324, 1e-300, 1e-12, 1e-6, 1e6, 1e12, 1.7e308])
        price |= st.sampled_from([5e-324, 1e-300, 1e-12, 1e-6, 1e6, 1e12, 1e300])
    weights = draw(st.lists(amount, min_size=n, max_size=n))
    if not any(weights):
        weights[0] = 1.0
    label = st.integers(0, draw(st.sampled_from([0, 1, 3, 2**62])))
    tokens = draw(st.lists(st.integers(0, 20), min_size=m, max_size=m))
    costs = draw(st.none() | st.lists(amount, min_size=m, max_size=m))
    return Problem(
        parents=np.array(parents),
        leaves=np.array(leaves),
        weights=np.array(weights),
        clusters=np.array(draw(st.lists(label, min_size=n, max_size=n))),
        lambda_b=draw(price),
        lambda_d=draw(price),
        node_tokens=np.array(tokens),
        node_costs=None if costs is None else np.array(costs),
        budget=draw(st.none() | st.integers(0, sum(tokens))),
    )


@settings(max_examples=1000, deadline=None)
@given(small_problems())
def test_small_problems_agree_with_brute_force(problem: Problem) -> None:
    best = brute_force(problem)
    if best is None:
        cheapest = int(path_tokens(problem).min())
        refusal = f"kv_budget is {problem.budget}: it must be at least {cheapest},"
        with pytest.raises(_core.InputError, match=refusal):
            select(problem)
        problem = replace(problem, budget=cheapest)
        best = brute_force(problem)
        assert best is not None
    found = select(problem)
    check(problem, found)
    assert abs(found.objective - best) <= 1e-9 * (1 + abs(best))


@settings(max_examples=500, deadline=None)
@given(small_problems(wild=True))
def test_numbers_of_all_sizes_agree_with_brute_force(problem: Problem) -> None:
    best = brute_force(problem)
    if best is not None:
        found = select(problem)
        check(problem, found)
        # What is lost against the largest term of a sum is lost.
        tolerance = 1e-11 * (1 + problem.lambda_b + problem.lambda_d)
        assert abs(found.objective - best) <= tolerance


@settings(max_examples=300, deadline=None)
@given(small_problems())
def test_highs_itself_agrees_with_brute_force(problem: Problem) -> None:
    best = brute_force(problem)
    if best is not None:
        assert abs(highs_optimum(problem) - best) <= 1e-7


@pytest.mark.parametrize("seed", range(100))
def test_every_solver_agrees_with_highs(seed: int) -> None:
    rng = np.random.default_rng(seed)
    problem = random_problem(rng, int(rng.integers(1, 40)), inner_leaves=seed % 2 == 0)
    expected = highs_optimum(problem)
    for solver in ("auto", "exact", "milp"):
        found = select(problem, solver=solver)
        check(problem, found)
        assert abs(found.objective - expected) <= 1e-7


@pytest.mark.parametrize("seed", range(40))
def test_medium_problems_of_other_shapes_agree_with_highs(seed: int) -> None:
    rng = np.random.default_rng(10_000 + seed)
    problem = random_problem(rng, int(rng.integers(24, 65)), inner_leaves=seed % 4 == 0)
    found = select(problem)
    check(problem, found)
    assert abs(found.objective - highs_optimum(problem)) <= 1e-7


def same(one: _core.Selection, other: _core.Selection) -> bool:
    """Whether two answers are equal bit for bit."""
    return np.array_equal(one.keep, other.keep) and (
        one.objective.hex(), one.bound.hex(), one.optimal, one.nodes_kept, one.tokens_kept
    ) == (
        other.objective.hex(), other.bound.hex(), other.optimal, other.nodes_kept, other.tokens_kept
    )  # fmt: skip


@pytest.mark.parametrize("seed", range(60))
def test_auto_is_the_exact_method(seed: int) -> None:
    rng = np.random.default_rng(30_000 + seed)
    problem = random_problem(rng, int(rng.integers(1, 65)), inner_leaves=seed % 4 == 0)
    auto, exact = select(problem), select(problem, solver="exact")
    assert same(auto, exact)
    assert auto.stats.keys() == STATS
    assert {**auto.stats, "microseconds": 0} == {**exact.stats, "microseconds": 0}


@pytest.mark.parametrize("seed", range(60))
def test_a_tree_selects_what_its_arrays_do(seed: int) -> None:
    rng = np.random.default_rng(40_000 + seed)
    problem = random_problem(rng, int(rng.integers(2, 49)), inner_leaves=seed % 2 == 0)
    if seed % 3:
        worth = rng.random(int(problem.clusters.max()) + 1)
        problem = replace(problem, lambda_r=0.25, cluster_worth=worth, rho=(seed % 3 - 1) * 0.5)
    tree = _core.Tree(int(problem.node_tokens[0]))
    tree.extend(problem.parents[1:], problem.node_tokens[1:])
    node_costs: tuple[Literal["uniform", "tokens"], ...] = ("uniform", "tokens")
    for node_cost in node_costs:
        costs = None if node_cost == "uniform" else problem.node_tokens.astype(np.float64)
        whole = select(problem, node_costs=costs)
        assert whole.tokens_kept is not None
        least = int(path_tokens(problem).min())
        for budget in (None, max(least, whole.tokens_kept // 2), max(least, whole.tokens_kept - 1)):
            found = tree.select(
                problem.leaves,
                problem.weights,
                problem.clusters,
                lambda_b=problem.lambda_b,
                lambda_d=problem.lambda_d,
                lambda_r=problem.lambda_r,
                cluster_worth=problem.cluster_worth,
                rho=problem.rho,
                node_cost=node_cost,
                kv_budget=budget,
            )
            assert same(found, select(problem, node_costs=costs, kv_budget=budget))


def test_the_statistics_say_how_the_answer_was_found() -> None:
    problem = random_problem(np.random.default_rng(3), 48)
    problem = replace(problem, clusters=np.arange(48) // 3, lambda_b=2.0, lambda_d=1.0)
    for options, solver in (
        ({}, "exact"),
        ({"lambda_d": 0.0}, "onepass"),
        ({"lambda_d": 0.0, "kv_budget": 10**6}, "exact"),
    ):
        stats = select(problem, **options).stats
        assert stats.keys() == STATS
        assert stats["solver"] == solver
        assert stats["nodes"] >= stats["residual_nodes"] >= stats["components"] >= 0
        assert stats["variables"] == stats["constraints"] == 0
        assert stats["microseconds"] > 0
    stats = select(problem, solver="milp").stats
    assert stats["solver"] == "microlp"
    assert min(stats["variables"], stats["constraints"]) > stats["nodes"] / 2
    assert stats["clusters"] == 16


def test_no_time_for_the_milp_gives_an_incumbent_and_a_bound() -> None:
    rng = np.random.default_rng(5)
    for _ in range(20):
        problem = random_problem(rng, 40)
        best = select(problem)
        hasty = select(problem, solver="milp", time_limit=0.0)
        check(problem, hasty, proven=False)
        assert hasty.objective <= best.objective + 1e-9
        assert best.objective <= hasty.bound + 1e-9
        assert abs(hasty.objective - objective(problem, hasty.keep)) <= 1e-9


def test_a_lone_root_is_its_own_leaf() -> None:
    for solver in ("auto", "exact", "milp"):
        found = _core.select_leaves(
            np.array([-1]), np.array([0]), np.array([2.0]), lambda_b=5.0, solver=solver
        )
        assert found.keep.tolist() == [True]
        assert found.objective == pytest.approx(-4.0)
        assert found.tokens_kept is None


PARENTS = np.array([-1, 0, 0, 1], dtype=np.int64)
LEAVES = np.array([2, 3], dtype=np.int64)
WEIGHTS = np.array([1.0, 2.0])
LABELS = np.array([0, 1])


def worth(values: object, **more: object) -> dict[str, object]:
    """Arguments with a worth for each of the clusters."""
    return {"clusters": LABELS, "cluster_worth": values, **more}


BAD: list[tuple[dict[str, object], str]] = [
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
    ({"lambda_b": -1.0}, "lambda_b is -1.0: it must be between 0 and 1e300"),
    ({"lambda_b": 1.1e300}, r"lambda_b is 1.1e300: it must be between 0 and 1e300"),
    ({"lambda_d": 1.7e308}, r"lambda_d is 1.7e308: it must be between 0 and 1e300"),
    ({"lambda_d": -1e-300}, "lambda_d is -1e-300"),
    ({"lambda_b": "1"}, "lambda_b is '1': it must be a float"),
    ({"lambda_d": np.inf}, "lambda_d is inf"),
    ({"lambda_r": -0.5}, "lambda_r is -0.5: it must be between 0 and 1e300"),
    ({"lambda_r": np.nan}, "lambda_r is NaN"),
    ({"lambda_r": "1"}, "lambda_r is '1': it must be a float"),
    ({"rho": 1.0, "clusters": LABELS}, "rho is 1.0: it must be at least 0 and below 1"),
    ({"rho": -1e-9, "clusters": LABELS}, "rho is -1e-9"),
    ({"rho": np.nan, "clusters": LABELS}, "rho is NaN"),
    ({"rho": 0.5}, "rho above 0 needs clusters: give both or neither"),
    ({"cluster_worth": np.ones(2)}, "cluster_worth needs clusters"),
    (worth([1, 1]), "cluster_worth is of type list: it must be a float64 numpy array"),
    (worth(np.ones(2, dtype=np.float32)), "cluster_worth is a float32 array"),
    (worth(np.ones((1, 2))), "cluster_worth is a float64 array of 2 dimensions"),
    (worth(np.ones(4)[::2]), "cluster_worth is not C-contiguous"),
    (
        worth(np.array([1.0, np.nan])),
        r"cluster_worth\[1\] is NaN: it must be finite and at least 0",
    ),
    (worth(np.array([np.inf, 1.0])), r"cluster_worth\[0\] is inf"),
    (worth(np.array([1.0, 0.0, -2.0])), r"cluster_worth\[2\] is -2.0"),
    (worth(np.array([0.0, 0.0, 3.0])), "the sum of cluster_worth over the clusters that occur is"),
    (worth(np.ones(1)), r"clusters\[1\] is 1: it must be at least 0 and below 1 .the length of"),
    (worth(np.zeros(0)), r"clusters\[0\] is 0: it must be at least 0 and below 0"),
    (worth(np.ones(2), clusters=np.array([-1, 1])), r"clusters\[0\] is -1: it must be at least 0"),
    (worth(np.ones(2), clusters=np.array([0, 2**62])), r"clusters\[1\] is 4611686018427387904"),
    (worth(np.ones(2), clusters=np.array([0])), "clusters has length 1: it must have length 2"),
    ({"node_costs": np.array([1.0, 1.0, -1.0, 1.0])}, r"node_costs\[2\] is -1.0"),
    ({"node_costs": np.ones(3)}, "node_costs has length 3: it must have length 4, like parents"),
    ({"node_tokens": np.array([1, 1, 1, -1])}, r"node_tokens\[3\] is -1"),
    ({"node_tokens": np.full(4, 2**62)}, r"node_tokens\[1\] is .* sum to stay below 2\*\*63"),
    ({"kv_budget": 3}, "kv_budget needs node_tokens"),
    ({"kv_budget": 1, "node_tokens": np.ones(4, dtype=np.int64)}, "kv_budget is 1.*at least 2"),
    ({"kv_budget": 2.5, "node_tokens": np.ones(4, dtype=np.int64)}, "kv_budget is 2.5"),
    ({"kv_budget": 2**64, "node_tokens": np.ones(4, dtype=np.int64)}, "kv_budget is 18446744"),
    ({"solver": "cbc"}, 'solver is \'cbc\': it must be "auto" or "exact" or "milp"'),
    ({"solver": "Exact"}, "solver is 'Exact'"),
    ({"solver": 1}, "solver is 1: it must be"),
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
    assert pickle.loads(pickle.dumps(caught.value)).args == caught.value.args
    tree = _core.Tree(1)
    leaves = tree.extend(np.array([0, 0]), np.ones(2, dtype=np.int64))
    if change.keys() <= {"lambda_b", "lambda_d", "lambda_r", "rho", "clusters", "cluster_worth"}:
        with pytest.raises(_core.InputError, match=message):
            tree.select(leaves, WEIGHTS, **({"lambda_b": 1.0} | change))  # type: ignore[arg-type]


def test_labels_and_worths_that_are_scaled_change_nothing() -> None:
    """Only the ratios of worths count, and labels that do not occur may have any."""
    problem = random_problem(np.random.default_rng(5), 40)
    worth = np.random.default_rng(6).random(int(problem.clusters.max()) + 1)
    problem = replace(problem, lambda_d=1.0, cluster_worth=worth, rho=0.5)
    found = select(problem)
    check(problem, found)
    moved = replace(
        problem,
        clusters=2 * problem.clusters + 1,
        cluster_worth=np.stack([np.full_like(worth, 7.0), 2.0**40 * worth], axis=1).ravel(),
    )
    assert same(select(moved), found)


def test_a_selection_is_frozen() -> None:
    found = _core.select_leaves(PARENTS, LEAVES, WEIGHTS, lambda_b=1.0)
    with pytest.raises(AttributeError):
        found.objective = 1.0  # type: ignore[misc]
    with pytest.raises(ValueError, match="read-only"):
        found.keep[0] = False


@pytest.mark.parametrize("kind", [_core.InputError, _core.SolverError])
def test_errors_are_pickled(kind: type[Exception]) -> None:
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
