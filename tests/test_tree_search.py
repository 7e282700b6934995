"""`TreeSearch`: whatever the order of arrival, whatever is told, saved or loaded in between."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ets._core import rebase_weights
from ets.errors import InputError
from ets.strategy import (
    DVTS,
    ETS,
    REBASE,
    BeamSearch,
    BestOfN,
    Decision,
    Strategy,
    View,
)
from ets.tree.events import Ended, Expanded, Finished, Pruned, Scored
from ets.tree.seeds import child_seed, problem_seed, root_seed
from ets.tree_search.search import Ask, Child, TreeSearch
from scripted import World, play
from tree_search_cases import ONE, TWO, begin, good, strategies, worlds

# -- the order of arrival, and saving ------------------------------------------------------------


@settings(max_examples=150, deadline=None)
@given(strategy=strategies(), world=worlds, order=st.integers(0, 2**32))
def test_nothing_depends_on_the_order_of_arrival(
    strategy: Strategy, world: World, order: int
) -> None:
    whole = play(begin(strategy), world)
    parts = play(begin(strategy), world, shuffle=random.Random(order))
    assert parts == whole
    assert parts.to_json() == whole.to_json()


def test_half_a_step_is_the_same_whatever_came_first() -> None:
    searches = [begin(ETS(width=4)) for _ in range(2)]
    children = [Child(0, 5, 0.1 * k, embedding=ONE, text="a", index=k) for k in range(3)]
    for search, order in zip(searches, (children, children[::-1]), strict=True):
        for child in order:
            search.tell([child])
    assert searches[0] == searches[1]
    assert searches[0].to_json() == searches[1].to_json()


def test_the_caller_may_reuse_an_array() -> None:
    searches = [begin(ETS(width=4)) for _ in range(2)]
    for search, reuse in zip(searches, (True, False), strict=True):
        buffer = np.empty(2, dtype=np.float32)
        for k in range(4):
            if not reuse:
                buffer = np.empty(2, dtype=np.float32)
            buffer[:] = ONE if k % 2 else TWO
            search.tell([Child(0, 5, 0.1 * k, embedding=buffer, text=str(k))])
    assert searches[0] == searches[1]
    assert set(searches[0].nodes.cluster[1:]) == {0, 1}


# -- asks and seeds --------------------------------------------------------------------------------


def test_ask_says_what_is_still_wanted_and_changes_nothing() -> None:
    search = begin(REBASE(width=4))
    (all_,) = search.ask()
    assert (all_.node, all_.n, all_.indices) == (0, 4, (0, 1, 2, 3))
    before = search.to_json()
    assert search.ask() == search.ask() == [all_]
    assert search.to_json() == before
    search.tell([Child(0, 5, 0.5, index=2)])
    search.tell([Child(0, 5, 0.5)])  # the lowest not yet told: 0
    seeds = all_.seeds
    assert search.ask() == [Ask(0, 2, (seeds[1], seeds[3]), (1, 3))]
    assert len(search.nodes) == 1, "children become nodes only when the step is complete"
    search.tell([Child(0, 7, 0.9, index=3), Child(0, 6, 0.8, index=1)])
    assert search.nodes.tokens == [50, 5, 6, 5, 7]
    assert search.nodes.reward[1:] == [0.5, 0.8, 0.5, 0.9]


def test_children_without_an_index_fill_what_others_leave() -> None:
    search = begin(REBASE(width=4))
    search.tell([Child(0, 10, 0.5, index=0), Child(0, 11, 0.5), Child(0, 13, 0.5, index=3)])
    assert search.ask()[0].indices == (2,)
    search.tell([Child(0, 12, 0.5)])
    assert search.nodes.tokens[1:] == [10, 11, 12, 13]


def test_asks_go_best_leaf_first_and_equal_ones_first_seen_first() -> None:
    search = begin(REBASE(width=8))
    search.tell([Child(0, 5, r) for r in (0.5, 0.9, 0.5, 0.9, 0.1, 0.5, 0.9, 0.1)])
    rewards = [search.nodes.reward[ask.node] for ask in search.ask()]
    assert [ask.node for ask in search.ask()][:3] == [2, 4, 7]
    assert rewards == sorted(rewards, reverse=True)
    assert sum(ask.n for ask in search.ask()) == 8


def test_seeds_are_functions_of_seed_and_path() -> None:
    world = World(finish=0.1)
    seen: dict[tuple[int, ...], int] = {}
    for strategy in (REBASE(width=12), ETS(width=5), BestOfN(width=9)):
        search = play(begin(strategy, seed=3), world)
        for node in range(1, len(search.nodes)):
            path = tuple(search.nodes.index[v] for v in search.nodes.path(node))
            seed = root_seed(3)
            for index in path:
                seed = child_seed(seed, index)
            assert search.nodes.seed[node] == seed == seen.setdefault(path, seed)
    assert len(set(seen.values())) == len(seen)
    assert all(0 <= seed < 2**63 for seed in seen.values())
    assert begin(REBASE(width=2), seed=4).ask() != begin(REBASE(width=2), seed=3).ask()


def test_seeds_stay_what_they_are() -> None:
    """Recorded samples are found by their seeds: a change here is a change of format."""
    assert root_seed(0) == ROOT_0
    assert child_seed(ROOT_0, 0) == CHILD_0
    assert problem_seed(0, "1 + 1 = ?") == PROBLEM
    assert problem_seed(0, "1 + 1 =?") != PROBLEM != problem_seed(1, "1 + 1 = ?")
    for parent, index in ((-1, 0), (0, -1)):
        with pytest.raises(InputError):
            child_seed(parent, index)


ROOT_0, CHILD_0, PROBLEM = 2840165842650255700, 3536721191358490147, 3641866097730866519


class Twice:
    """Names each candidate twice, so that a node is asked again in the same step."""

    width = 4
    needs_embeddings = False

    def decide(self, view: View) -> Decision:
        at = np.arange(len(view.nodes), dtype=np.int64)
        order = np.concatenate([at, at])
        return Decision(order=order, counts=np.ones(len(order), dtype=np.int64))


def test_a_node_may_be_asked_twice() -> None:
    search = begin(Twice())
    assert [(ask.node, ask.indices) for ask in search.ask()] == [(0, (0,)), (0, (1,))]
    world = World(finish=0.3)
    a = play(begin(Twice()), world)
    b = play(begin(Twice()), world, shuffle=random.Random(1))
    assert a == b
    for node in range(1, len(a.nodes)):
        siblings = [v for v in range(len(a.nodes)) if a.nodes.parent[v] == a.nodes.parent[node]]
        assert sorted(a.nodes.index[v] for v in siblings) == list(range(len(siblings)))


# -- embeddings ------------------------------------------------------------------------------------


def test_equal_texts_share_an_embedding() -> None:
    search = begin(ETS(width=3))
    search.tell([good(text="b", embedding=None), good(text="a"), good(text="b", embedding=TWO)])
    assert search.nodes.cluster[1:] == [0, 1, 0]


def test_equal_texts_everywhere_need_no_embedding() -> None:
    search = begin(ETS(width=3))
    search.tell([good(embedding=None)] * 3)
    assert search.nodes.cluster[1:] == [-1, -1, -1]
    assert search.ask()


def test_a_single_candidate_needs_no_embedding_but_its_text() -> None:
    search = begin(ETS(width=3))
    search.tell([good(finished=True, embedding=None, text=None)] * 2)
    search.tell([good(embedding=None)])
    assert sum(ask.n for ask in search.ask()) == 1


def test_needs_embedding_is_only_for_what_may_be_a_candidate() -> None:
    search = TreeSearch(ETS(width=2), 10, max_tokens=20, max_depth=2)
    assert search.needs_embedding(0, 19, False)
    assert not search.needs_embedding(0, 19, True)
    assert not search.needs_embedding(0, 20, False)
    search.tell([good(), good()])
    assert not search.needs_embedding(1, 1, False)  # cut by max_depth
    assert not begin(ETS(width=2, lambda_d=0.0)).needs_embedding(0, 1, False)


# -- how a search ends -----------------------------------------------------------------------------


def test_a_search_of_width_1_is_a_chain() -> None:
    for strategy in (
        ETS(width=1),
        REBASE(width=1),
        BeamSearch(width=1),
        DVTS(width=1),
        BestOfN(width=1),
    ):
        search = play(begin(strategy), World(finish=0.2, seed=5))
        assert len(search.trajectories) == 1
        assert len(search.nodes) == len(search.trajectories[0].path) + 1


def test_everything_finishes_at_depth_1() -> None:
    search = play(begin(ETS(width=6)), World(finish=1.0))
    assert search.end == "width_used_up"
    assert [t.path for t in search.trajectories] == [(v,) for v in range(1, 7)]
    assert len(search.kv) == 1
    assert search.kv[0].kv_before == 50
    assert search.remaining == 0


def test_limits_cut_and_cut_trajectories_say_so() -> None:
    search = TreeSearch(REBASE(width=3), 1000, max_tokens=10, max_depth=2)
    search.tell([Child(0, 9, 0.5), Child(0, 10, 0.5), Child(0, 12, 0.4, finished=True)])
    assert [(t.node, t.cut, t.finished) for t in search.trajectories] == [
        (2, "max_tokens", False),
        (3, None, True),
    ]
    assert [(ask.node, ask.n) for ask in search.ask()] == [(1, 1)]
    search.tell([Child(1, 0, 0.25, text="x")])
    last = search.trajectories[-1]
    assert (last.path, last.rewards, last.tokens, last.cut) == ((1, 4), (0.5, 0.25), 9, "max_depth")
    assert last.texts == (None, "x")
    assert search.end == "max_depth"
    assert search.ask() == []


def test_a_step_can_be_closed_early() -> None:
    search = begin(REBASE(width=4))
    search.tell([Child(0, 5, 0.5, index=3), Child(0, 6, 0.9, finished=True, index=1)])
    assert search.close_step() == 2
    assert search.nodes.index[1:] == [1, 3]
    assert search.remaining == 3
    assert [(ask.node, ask.n) for ask in search.ask()] == [(2, 3)]
    assert search.close_step() == 3
    assert (search.end, search.close_step()) == ("no_candidates", 0)
    assert TreeSearch.from_json(search.to_json()) == search


# -- the record ------------------------------------------------------------------------------------


@settings(max_examples=100, deadline=None)
@given(strategy=strategies(), world=worlds)
def test_the_record_agrees_with_the_tree(strategy: Strategy, world: World) -> None:
    search = play(begin(strategy), world)
    nodes = search.nodes

    def kv(leaves: Any) -> int:
        return sum(nodes.tokens[v] for v in {u for leaf in leaves for u in (0, *nodes.path(leaf))})

    pruned = [event for event in search.events if isinstance(event, Pruned)]
    expanded = [event for event in search.events if isinstance(event, Expanded)]
    scored = [event for event in search.events if isinstance(event, Scored)]
    assert len(pruned) == len(expanded) == len(scored) == len(search.kv) == len(search.timings)
    for step, cut, wide, new in zip(search.kv, pruned, expanded, scored, strict=True):
        candidates = sorted(cut.kept + cut.dropped)
        assert step.candidates == len(candidates)
        assert step.kept == len(cut.kept)
        assert step.kv_before == kv(candidates)
        assert step.kv_after == kv(cut.kept) <= step.kv_before
        rewards = nodes.rewards(np.array(candidates), getattr(strategy, "reward", "last"))
        counts = rebase_weights(rewards, step.width, 0.2)
        assert step.kv_rebase == kv(v for v, n in zip(candidates, counts, strict=True) if n)
        assert set(wide.nodes) == set(cut.kept)
        assert {nodes.fate[v] for v in cut.kept} == {"kept"}
        assert {nodes.fate[v] for v in cut.dropped} <= {"pruned"}
        wanted = [node for node, n in zip(wide.nodes, wide.counts, strict=True) for _ in range(n)]
        assert list(new.parents) == wanted == [nodes.parent[v] for v in new.nodes]
        assert list(new.nodes) == list(nodes.levels[new.step])
        if cut.objective is not None:
            assert cut.optimal
            assert cut.bound is not None
            assert cut.bound >= cut.objective - 1e-9
    finished = [event for event in search.events if isinstance(event, Finished)]
    assert [(f.node, f.cut) for f in finished] == [(t.node, t.cut) for t in search.trajectories]
    assert search.remaining == strategy.width - len(finished)
    assert search.events[-1] == Ended(search.depth, search.end or "")
    for name in ("before", "after", "rebase"):
        values = [getattr(step, f"kv_{name}") for step in search.kv]
        totals = getattr(search.kv, name)
        assert (totals.sum, totals.peak) == (sum(values), max(values))
        assert totals.mean == pytest.approx(sum(values) / len(values))
    for done in search.trajectories:
        assert done.tokens == sum(nodes.tokens[v] for v in done.path) == nodes.total[done.node]
        assert done.rewards == tuple(nodes.reward[v] for v in done.path)
        assert nodes.lowest[done.node] == min(done.rewards)
        assert nodes.product[done.node] == pytest.approx(np.prod(done.rewards))
    assert "open" not in nodes.fate
