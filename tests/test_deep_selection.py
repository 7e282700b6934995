"""Selections deep in a search: those of the whole tree, for no more work than near its root."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ets
from ets import _core
from ets._core import Tree, select_leaves
from ets.rollout.rollout import Rollout
from ets.strategy import ETS, BeamSearch, Decision, Strategy, View
from ets.tree.nodes import Nodes
from ets.tree_search.search import Child, TreeSearch
from scripted import World, play
from scripted_search import search
from selection_oracle import Problem, objective

LONGEST_RUN = 64  # of nodes that stay as they are; rust/tree/contract.rs


class Watch:
    """An ETS whose every view and decision is handed to `check`."""

    obeys_kv_budget = True

    def __init__(self, inner: ETS, check: Callable[[ETS, View, Decision], None]) -> None:
        self.inner, self.check = inner, check
        self.width, self.needs_embeddings = inner.width, inner.needs_embeddings
        self.reward, self.temperature = inner.reward, inner.temperature

    def decide(self, view: View) -> Decision:
        decision = self.inner.decide(view)
        self.check(self.inner, view, decision)
        return decision


# -- the same selections ---------------------------------------------------------------------------

pruners = st.builds(
    ETS,
    width=st.integers(1, 8),
    lambda_b=st.sampled_from([0.0, 0.5, 1.0, 2.5]),
    lambda_d=st.sampled_from([0.0, 1.4]),
    # A high one shares the width out evenly, so that leaves go on side by side for long.
    temperature=st.sampled_from([0.2, 1.0, 100.0]),
    node_cost=st.sampled_from(["uniform", "tokens"]),
)
worlds = st.builds(
    World,
    seed=st.integers(0, 10**6),
    finish=st.sampled_from([0.0, 0.01]),
    decimals=st.sampled_from([0, 1, 6]),
    groups=st.integers(1, 6),
    max_tokens=st.sampled_from([0, 5, 40]),
)


def same_on_the_whole_tree(strategy: ETS, view: View, decision: Decision) -> None:
    found, weights = decision.selection, decision.rebase
    assert found is not None
    assert weights is not None
    binds = view.kv_budget is not None and view.tree.kv_tokens(view.nodes) > view.kv_budget
    options: dict[str, Any] = {
        "lambda_b": strategy.lambda_b,
        "lambda_d": 0.0 if decision.clusters is None else strategy.lambda_d,
        "kv_budget": view.kv_budget if binds else None,
    }
    asked = view.nodes, weights.astype(np.float64), decision.clusters
    assert view.tree.select(*asked, node_cost=strategy.node_cost, **options) == found
    assert strategy.decide(replace(view, frontier=None)).selection == found
    # To the bit what it is without any run cut short, as long as none is too long.
    tokens = view.tree.tokens
    costs = tokens.astype(np.float64) if strategy.node_cost == "tokens" else None
    arrays = select_leaves(
        view.tree.parents, *asked, node_costs=costs, node_tokens=tokens, **options
    )
    if view.depth < LONGEST_RUN:
        assert arrays == found
        return
    assert found.optimal
    assert found.objective == pytest.approx(arrays.objective, rel=0, abs=1e-11)
    clusters = np.zeros(len(view.nodes), int) if decision.clusters is None else decision.clusters
    problem = Problem(
        view.tree.parents,
        view.nodes,
        asked[1],
        clusters,
        options["lambda_b"],
        options["lambda_d"],
        tokens,
        costs,
    )
    assert found.objective == pytest.approx(objective(problem, found.keep), rel=0, abs=1e-11)
    if (arrays.keep == found.keep).all():
        assert (arrays.nodes_kept, arrays.tokens_kept) == (found.nodes_kept, found.tokens_kept)


@settings(max_examples=30, deadline=None)
@given(
    strategy=pruners,
    world=worlds,
    # Tokens beside those of the largest leaf; a step adds 40 at most, so that one always fits.
    room=st.one_of(st.none(), st.integers(40, 200)),
)
def test_selections_are_those_on_the_whole_tree(
    strategy: ETS, world: World, room: int | None
) -> None:
    watch = Watch(strategy, same_on_the_whole_tree)
    deep = TreeSearch(watch, 50, max_tokens=10**9, max_depth=150)
    while asks := deep.ask():
        if room is not None:
            deep.kv_budget = 50 + max(deep.nodes.total) + room
        deep.tell([world.child(deep, ask.node, i) for ask in asks for i in ask.indices])
    assert world.finish or deep.depth == 150


def test_a_strategy_may_ask_for_a_part_of_its_candidates() -> None:
    """In any order, in the frontier; and for others too, in the whole tree."""

    def check(strategy: ETS, view: View, decision: Decision) -> None:
        nodes = np.ascontiguousarray(view.nodes[::-2])
        weights = np.arange(1, len(nodes) + 1, dtype=np.float64)
        whole = view.tree.select(nodes, weights, lambda_b=1.5)
        for other in (replace(view, nodes=nodes), replace(view, nodes=nodes, frontier=None)):
            tree, leaves = other.contracted()
            assert tree.select(leaves, weights, lambda_b=1.5) == whole
        inner = np.unique([*nodes, *(view.columns.parent[v] for v in nodes if v)])
        tree, leaves = replace(view, nodes=inner).contracted()
        assert tree.kv_tokens(leaves) == view.tree.kv_tokens(inner)

    strategy = ETS(width=6, lambda_d=0.0, temperature=100.0)
    play(TreeSearch(Watch(strategy, check), 50, max_tokens=10**9, max_depth=100), World(finish=0))


# -- no more work ----------------------------------------------------------------------------------


class Untouched:
    """A tree that nothing but nodes can be asked of."""

    def __init__(self, tree: Tree) -> None:
        self.extend = tree.extend


def grown(strategy: Strategy, depth: int) -> TreeSearch:
    """By rewards that differ a little, so that leaves part and die out all the time."""
    deep = TreeSearch(strategy, 87, max_tokens=10**9, max_depth=depth)
    deep.tree = Untouched(deep.tree)  # type: ignore[assignment]
    vectors = np.eye(3, dtype=np.float32)
    while asks := deep.ask():
        deep.kv_budget = 10**9 if isinstance(strategy, Watch) else None
        deep.tell(
            [
                Child(
                    a.node,
                    3,
                    0.5 + (a.node + i) % 97 / 1000,
                    False,
                    vectors[i % 3],
                    "abc"[i % 3],
                    i,
                )
                for a in asks
                for i in a.indices
            ]
        )
    return deep


@pytest.mark.parametrize("node_cost", ["uniform", "tokens"])
@pytest.mark.parametrize("temperature", [0.2, 100.0])
def test_a_selection_is_made_in_a_tree_that_does_not_grow(
    node_cost: Any, temperature: float
) -> None:
    sizes: list[int] = []

    def check(strategy: ETS, view: View, decision: Decision) -> None:
        assert decision.selection is not None
        stats = decision.selection.stats
        # What the reductions settled is what the pruner was given, less the root and the rest.
        sizes.append(stats["joined"] + stats["dropped"])
        assert stats["nodes"] > view.depth

    strategy = ETS(width=4, node_cost=node_cost, temperature=temperature)
    grown(Watch(strategy, check), 1000)
    assert len(sizes) == 1000
    assert max(sizes[500:]) <= max(sizes[:250]) <= 2 * 4 * (LONGEST_RUN + 1)


def test_no_strategy_looks_at_the_whole_tree() -> None:
    for strategy in (
        ets.REBASE(width=4),
        BeamSearch(width=4),
        ets.DVTS(width=4),
        ets.DORA(width=4),
    ):
        deep = grown(strategy, 300)
        assert deep.depth == 300
        assert len(deep._frontier) <= 2 * 4 * LONGEST_RUN


def test_requests_start_in_the_order_of_paths(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which is known from the step above, without a walk along them."""
    path, start_order = Nodes.path, Rollout._start_order
    walked: list[int] = []
    compared: list[bool] = []

    def order(self: Rollout, wanted: Any) -> list[int]:
        before = len(walked)
        found = start_order(self, wanted)
        assert len(walked) == before
        nodes = self.tree.nodes
        at = sorted(range(len(wanted)), key=lambda at: path(nodes, wanted[at].parent))
        assert found == at
        compared.append(found != list(range(len(wanted))))
        return found

    def walk(self: Nodes, node: int) -> tuple[int, ...]:
        walked.append(node)
        return path(self, node)

    monkeypatch.setattr(Nodes, "path", walk)
    monkeypatch.setattr(Rollout, "_start_order", order)
    with search(ets.REBASE(width=16)) as s:
        for problem in ("a", "b", "c"):
            s.solve(problem)
    assert any(compared)
    assert walked  # by the trajectories


# -- contracted trees ------------------------------------------------------------------------------


def contracted() -> Tree:
    tree = Tree(2**32 - 1)
    tree.extend(np.arange(200), np.full(200, 3))
    tree.extend(np.array([200, 200]), np.array([1, 2]))
    return tree.contracted(np.array([201, 202]))[0]


@pytest.mark.parametrize(
    "again", [copy.copy, copy.deepcopy, lambda t: pickle.loads(pickle.dumps(t))]
)
def test_a_contracted_tree_comes_back_as_it_was(again: Callable[[Tree], Tree]) -> None:
    tree = contracted()
    other = again(tree)
    assert other == tree
    # The root holds more tokens than a node can, in two nodes.
    assert other.depths.tolist() == tree.depths.tolist() == [200, 200, 201, 201]
    leaves = np.array([2, 3])
    selection = other.select(leaves, np.ones(2), lambda_b=1.0)
    assert selection == tree.select(leaves, np.ones(2), lambda_b=1.0)
    assert selection.nodes_kept == 203


def test_a_damaged_contracted_tree_is_refused() -> None:
    state = contracted().__reduce__()[1]
    assert _core._restore_contracted(*state) == contracted()
    for depths, message in [
        ([200, 200, 201], "depths has length 3: it must have length 4, like the nodes"),
        ([200, 199, 201, 201], r"depths\[1\] is 199: .*at least its parent's"),
        ([2**32, 2**32, 2**32, 2**32], r"depths\[0\] is 4294967296: .*below 2\*\*32"),
    ]:
        with pytest.raises(ets.InputError, match=f"not a pickled Tree .*{message}"):
            _core._restore_contracted(*state[:-1], np.array(depths))
