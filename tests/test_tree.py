"""The tree arena: ids, paths, KV accounting, selection on the part above the leaves."""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ets import _core
from highs_model import on_paths
from selection_oracle import random_problem


@given(st.data())
def test_kv_tokens_is_the_sum_over_the_union_of_paths(data: st.DataObject) -> None:
    tree = _core.Tree(data.draw(st.integers(0, 2**32 - 1)))
    for _ in range(data.draw(st.integers(0, 40))):
        parent = data.draw(st.integers(0, len(tree) - 1))
        assert tree.add(parent, data.draw(st.integers(0, 2**32 - 1))) == len(tree) - 1
    nodes = st.integers(0, len(tree) - 1)
    leaves = np.array(data.draw(st.lists(nodes, max_size=20)), dtype=np.int64)
    expected = int(tree.tokens[on_paths(tree.parents, leaves)].sum())
    assert tree.kv_tokens(leaves) == expected
    for leaf in leaves.tolist():
        path = tree.path(leaf)
        assert path[0] == 0
        assert path[-1] == leaf
        assert len(path) == tree.depths[leaf] + 1
        assert tree.parents[path].tolist() == [-1, *path[:-1]]


@given(st.data())
def test_extend_is_add_after_add(data: st.DataObject) -> None:
    one, two = _core.Tree(5), _core.Tree(5)
    for size in data.draw(st.lists(st.integers(0, 15), max_size=4)):
        first = len(one)
        parents = [data.draw(st.integers(0, first + i - 1)) for i in range(size)]
        tokens = [data.draw(st.integers(0, 2**32 - 1)) for _ in range(size)]
        ids = one.extend(np.array(parents, dtype=np.int64), np.array(tokens, dtype=np.int64))
        assert ids.dtype == np.int64
        assert ids.tolist() == [two.add(p, t) for p, t in zip(parents, tokens, strict=True)]
    for name in ("parents", "tokens", "depths"):
        assert getattr(one, name).tolist() == getattr(two, name).tolist()


def test_a_refused_extension_adds_nothing() -> None:
    tree = _core.Tree(3)
    tree.add(0, 1)
    zeros = np.zeros(3, dtype=np.int64)
    bad = [
        (np.array([1, 2, 4]), zeros, r"parents\[2\] is 4: it must be at least 0 and below 4"),
        (np.array([-1, 0, 0]), zeros, r"parents\[0\] is -1"),
        (zeros, np.array([1, 2, 2**32]), r"tokens\[2\] is 4294967296: it must be between 0 and"),
        (zeros, np.array([1, -2, 1]), r"tokens\[1\] is -2"),
        (zeros, zeros[:2], "tokens has length 2: it must have length 3, like parents"),
        (zeros.astype(np.int32), zeros, "parents is a int32 array"),
        (zeros, np.zeros(6, dtype=np.int64)[::2], "tokens is not C-contiguous"),
    ]
    for parents, tokens, message in bad:
        with pytest.raises(_core.InputError, match=message):
            tree.extend(parents, tokens)
        assert len(tree) == 2


@given(st.data())
def test_held_tokens_follow_the_leaves_and_the_tree(data: st.DataObject) -> None:
    tree = _core.Tree(data.draw(st.integers(0, 100)))
    held, added = tree.held(np.zeros(0, dtype=np.int64)), []
    assert held.tokens == 0
    for _ in range(data.draw(st.integers(1, 6))):
        size = data.draw(st.integers(0, 10))
        parents = [data.draw(st.integers(0, len(tree) - 1)) for _ in range(size)]
        tree.extend(np.array(parents, dtype=np.int64), np.arange(size))
        leaves = data.draw(st.lists(st.integers(0, len(tree) - 1), max_size=8))
        before = held.tokens
        new = held.add(np.array(leaves, dtype=np.int64))
        added += leaves
        assert held.tokens == before + new == tree.kv_tokens(np.array(added, dtype=np.int64))
    assert tree.held(np.array(added, dtype=np.int64)).tokens == held.tokens
    assert repr(held) == f"Held(tokens={held.tokens})"


@pytest.mark.parametrize("seed", range(20))
def test_select_is_select_leaves_on_the_same_tree(seed: int) -> None:
    rng = np.random.default_rng(seed)
    problem = random_problem(rng, 16, inner_leaves=True)
    tree = _core.Tree(int(problem.node_tokens[0]))
    tree.extend(problem.parents[1:].copy(), problem.node_tokens[1:].copy())
    for node_cost in ("uniform", "tokens"):
        costs = problem.node_tokens.astype(np.float64) if node_cost == "tokens" else None
        one = tree.select(
            problem.leaves,
            problem.weights,
            problem.clusters,
            lambda_b=problem.lambda_b,
            lambda_d=problem.lambda_d,
            node_cost=node_cost,
        )
        two = _core.select_leaves(
            problem.parents,
            problem.leaves,
            problem.weights,
            problem.clusters,
            lambda_b=problem.lambda_b,
            lambda_d=problem.lambda_d,
            node_costs=costs,
            node_tokens=problem.node_tokens,
        )
        assert one.keep.tolist() == two.keep.tolist()
        assert one.objective == pytest.approx(two.objective, abs=1e-12)
        assert one.tokens_kept == two.tokens_kept == tree.kv_tokens(problem.leaves[one.keep])


def test_arrays_are_copies() -> None:
    tree = _core.Tree(4)
    tree.parents[0] = 7
    tree.tokens[0] = 7
    assert tree.parents.tolist() == [-1]
    assert tree.tokens.tolist() == [4]
    assert {a.dtype for a in (tree.parents, tree.tokens, tree.depths)} == {np.dtype(np.int64)}


def test_bad_input_is_named() -> None:
    tree = _core.Tree(3)
    tree.add(0, 1)
    ones = np.ones(2)
    bad: list[tuple[Callable[[], object], str]] = [
        (lambda: _core.Tree(-1), "prompt_tokens is -1: it must be between 0 and"),
        (lambda: _core.Tree(2**32), "prompt_tokens is 4294967296"),
        (lambda: tree.add(2, 1), "parent is 2: it must be the id of a node"),
        (lambda: tree.add(-1, 1), "parent is -1"),
        (lambda: tree.add(0, -1), "tokens is -1"),
        (lambda: tree.add(0, 1.5), "tokens is 1.5: it must be an int"),  # type: ignore[arg-type]
        (lambda: tree.path(2), "node is 2"),
        (lambda: tree.kv_tokens(np.array([0, 5])), r"leaves\[1\] is 5: .*below 2"),
        (lambda: tree.kv_tokens([0]), "leaves is of type list"),  # type: ignore[arg-type]
        (lambda: tree.held(np.array([2])), r"leaves\[0\] is 2: .*below 2"),
        (lambda: tree.held(np.array([0])).add(np.array([0, -1])), r"leaves\[1\] is -1"),
        (lambda: tree.held(np.array([0])).add([0]), "leaves is of type list"),  # type: ignore[arg-type]
        (lambda: tree.select(np.array([1, 1]), ones, lambda_b=1.0), r"leaves\[1\] is 1, as"),
        (lambda: tree.select(np.array([0, -1]), ones, lambda_b=1.0), r"leaves\[1\] is -1"),
        (lambda: tree.select(np.zeros(0, np.int64), ones, lambda_b=1.0), "is empty"),
        (
            lambda: tree.select(np.array([0, 1]), ones, lambda_b=1.0, node_cost="kv"),  # type: ignore[arg-type]
            'node_cost is \'kv\': it must be "uniform" or "tokens"',
        ),
    ]
    for call, message in bad:
        with pytest.raises(_core.InputError, match=message):
            call()
    assert len(tree) == 2


def test_threads_share_a_tree_and_what_it_holds() -> None:
    tree = _core.Tree(1)
    held = tree.held(np.array([0]))

    def grow() -> None:
        for _ in range(250):
            node = tree.add(0, 1)
            assert tree.kv_tokens(np.array([node])) == 2
            assert held.add(np.array([node])) == 1
            pair = tree.extend(np.zeros(1, dtype=np.int64), np.ones(1, dtype=np.int64))
            assert held.add(pair) == 1

    threads = [threading.Thread(target=grow) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(tree) == held.tokens == 2001
