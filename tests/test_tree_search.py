"""`TreeSearch`: whatever the order of arrival, whatever is told, saved or loaded in between."""

from __future__ import annotations

import dataclasses
import json
import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ets._core import rebase_weights
from ets.errors import InputError, SolverError
from ets.strategy import (
    DORA,
    DVTS,
    ETS,
    REBASE,
    BeamSearch,
    BestOfN,
    Decision,
    ParticleFilter,
    Strategy,
    View,
)
from ets.tree.events import Ended, Expanded, Finished, Pruned, Scored
from ets.tree.seeds import child_seed, problem_seed, root_seed
from ets.tree_search.search import Ask, Child, TreeSearch
from scripted import World, play

ONE = np.array([1.0, 0.0], dtype=np.float32)
TWO = np.array([0.0, 1.0], dtype=np.float32)


@st.composite
def strategies(draw: st.DrawFn) -> Strategy:
    width = draw(st.integers(1, 20))
    reward: Any = draw(st.sampled_from(["last", "min", "prod"]))
    all_of_them: list[Strategy] = [
        ETS(width=width, reward=reward),
        ETS(width=width, lambda_b=2.5, lambda_d=0.3, node_cost="tokens"),
        ETS(width=width, lambda_d=0.0, reward=reward),
        REBASE(width=width, reward=reward),
        BeamSearch(width=width, reward=reward),
        BeamSearch(width=width, beam=3),
        DVTS(width=width, reward=reward),
        ParticleFilter(width=width, reward=reward),
        DORA(width=width, reward=reward),
        DVTS(width=width, subtrees=max(1, width // 3)),
        BestOfN(width=width),
    ]
    return draw(st.sampled_from(all_of_them))


worlds = st.builds(
    World,
    seed=st.integers(0, 10**6),
    finish=st.sampled_from([0.0, 0.1, 0.3, 0.9, 1.0]),
    decimals=st.sampled_from([0, 1, 6]),
    groups=st.integers(1, 6),
    wordings=st.integers(1, 3),
    max_tokens=st.sampled_from([0, 5, 40]),
)


def begin(strategy: Strategy, **options: Any) -> TreeSearch:
    return TreeSearch(
        strategy, 50, max_tokens=options.pop("max_tokens", 150), max_depth=7, **options
    )


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


@settings(max_examples=80, deadline=None)
@given(strategy=strategies(), world=worlds, order=st.integers(0, 2**32))
def test_a_loaded_search_goes_on_as_if_nothing_had_happened(
    strategy: Strategy, world: World, order: int
) -> None:
    def reload(search: TreeSearch) -> TreeSearch:
        loaded = TreeSearch.from_json(search.to_json())
        assert loaded == search
        assert loaded.ask() == search.ask()
        assert loaded.trajectories == search.trajectories
        assert loaded.kv == search.kv
        assert loaded.events == search.events
        assert loaded.nodes.seed == search.nodes.seed
        return loaded

    fresh = reload(begin(strategy, seed=7))
    saved = play(fresh, world, shuffle=random.Random(order), between=reload)
    assert saved == play(begin(strategy, seed=7), world)


def test_embeddings_of_an_unfinished_step_are_saved_exactly() -> None:
    search = begin(ETS(width=3))
    vector = np.array([np.float32(1) / 3, -1e-38, 3e38], dtype=np.float32)
    search.tell([Child(0, 1, 0.5, embedding=vector)])
    (told,) = json.loads(search.to_json())["told"]
    loaded = TreeSearch.from_json(search.to_json())
    (child,) = loaded._open_step.told.values()
    assert told["index"] == 0
    assert child.embedding is not None
    assert child.embedding.tobytes() == vector.tobytes()


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


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(format="tree"), "format must be 'ets.TreeSearch'"),
        (lambda d: d.update(version=1), "version of the saved TreeSearch must be 3, got 1"),
        (lambda d: d.update(colour=1), r"unknown fields \['colour'\]"),
        (lambda d: d.pop("kv"), r"lacks the fields \['kv'\]"),
        (lambda d: d["nodes"].pop("text"), r"nodes lacks the fields \['text'\]"),
        (lambda d: d["nodes"].update(mood=[]), r"nodes has unknown fields \['mood'\]"),
        (lambda d: d["nodes"]["tokens"].pop(), "damaged"),
        (lambda d: d["nodes"]["parent"].__setitem__(1, 9), "parent of node 1 must be an earlier"),
        (lambda d: d["nodes"]["fate"].pop(), "every column must have 5 entries"),
        (lambda d: d["levels"].append(3), "levels must sum to the 5 nodes"),
        (lambda d: d["events"][0].update(kind="burned"), "damaged"),
        (lambda d: d["kv"][0].update(unit="tokens"), "damaged"),
        (lambda d: d["kv"][0].pop("kv_budget"), "damaged"),
        (lambda d: d.update(seed="0"), "seed must be an integer, got '0'"),
        (lambda d: d.pop("kv_budget"), r"lacks the fields \['kv_budget'\]"),
        (lambda d: d.update(kv_budget=200), r"prunes to it \(ETS\), got REBASE\(width=4"),
        (lambda d: d.update(kv_budget=2.5), "kv_budget must be an integer, or None, got 2.5"),
        (lambda d: d["told"][0].update(mood=1), r"told has unknown fields \['mood'\]"),
        (lambda d: d["told"][0].update(index=99), "damaged"),
        (lambda d: d["told"][0].update(embedding="?"), "damaged"),
        (lambda d: d["strategy"].update(name="Luck"), "strategy must be one of"),
        (lambda d: d["strategy"]["fields"].update(luck=1), r"REBASE has no fields \['luck'\]"),
        (lambda d: d["strategy"]["fields"].update(width=0), "width must be an integer from 1"),
    ],
)
def test_what_was_not_saved_so_is_refused(change: Any, message: str) -> None:
    search = begin(REBASE(width=4))
    search.tell([Child(0, 5, 0.5)] * 4)
    search.tell([Child(search.ask()[0].node, 5, 0.5)])
    data = json.loads(search.to_json())
    TreeSearch.from_dict(data)
    change(data)
    with pytest.raises(InputError, match=message):
        TreeSearch.from_dict(data)


@pytest.mark.parametrize("text", ["", "[1]", "null", '"x"', "{", '{"format": "ets.TreeSearch"}'])
def test_text_that_is_no_search_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        TreeSearch.from_json(text)


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


# -- hostile tells ---------------------------------------------------------------------------------


def good(**change: Any) -> Child:
    return dataclasses.replace(Child(0, 5, 0.5, embedding=ONE, text="a"), **change)


HOSTILE: list[tuple[list[Any], str]] = [
    ([good(parent=1)], r"children\[0\].parent must be a node asked for, one of \[0\], got 1"),
    ([good(parent=-1)], r"parent .* got -1"),
    ([good(parent=0.0)], r"children\[0\].parent must be an integer, got 0.0"),
    ([good(parent=False)], r"parent must be an integer, got False"),
    ([good(), good(index=3)], r"children\[1\].index .* one of \[2\], got 3"),
    ([good(index=1)], r"index .* not told yet, one of \[0, 2\], got 1"),
    ([good(index=-1)], r"index must be at least 0, got -1"),
    ([good(index="0")], r"index must be an integer, got '0'"),
    ([good(), good(index=0)], r"children\[1\].index .* one of \[2\], got 0"),
    ([good()] * 3, r"children\[2\]: node 0 was asked for 3 continuations, of which 2"),
    ([good(tokens=-1)], r"children\[0\].tokens must be at least 0, got -1"),
    ([good(tokens=2.0)], r"tokens must be an integer, got 2.0"),
    ([good(tokens=2**32)], r"tokens must be below 2\*\*32"),
    ([good(), good(reward=float("nan"))], r"children\[1\].reward must lie in \[0, 1\], got nan"),
    ([good(reward=1.5)], r"reward must lie in \[0, 1\], got 1.5"),
    ([good(reward=-0.001)], r"reward must lie in \[0, 1\], got -0.001"),
    ([good(reward=float("inf"))], r"reward .* got inf"),
    ([good(reward=None)], r"reward must be a number in \[0, 1\], got None"),
    ([good(reward=True)], r"reward must be a number"),
    ([good(reward="0.5")], r"reward must be a number"),
    ([good(reward=np.complex64(0.5))], r"reward must lie"),
    ([good(finished=1)], r"finished must be True or False, got 1"),
    ([good(text=b"a")], r"text must be a text or None"),
    ([good(embedding=[1.0, 2.0])], r"embedding must be a float32 array, got list"),
    ([good(embedding=np.array([1.0, 2.0]))], r"embedding .* float32 array, got float64"),
    ([good(embedding=np.ones((1, 2), dtype=np.float32))], r"got float32 of shape \(1, 2\)"),
    ([good(embedding=np.zeros(2, dtype=np.float32))], r"embedding must not be zero"),
    ([good(embedding=np.zeros(0, dtype=np.float32))], r"embedding must not be zero"),
    ([good(embedding=np.array([1, np.nan], dtype=np.float32))], r"embedding\[1\] must be finite"),
    ([good(embedding=None, text=None)], r"children\[0\] needs an embedding"),
    ([good(), good(embedding=None, text="b")], r"continuation 2 of node 0 has no embedding"),
    ([good(), good(embedding=np.ones(3, dtype=np.float32))], r"one length, got 2 .* and 3"),
    ([(0, 5, 0.5)], r"children\[0\] must be a Child, got tuple"),
    ([None], r"children\[0\] must be a Child, got NoneType"),
]


@pytest.mark.parametrize(("children", "message"), HOSTILE)
def test_a_rejected_tell_changes_nothing(children: list[Any], message: str) -> None:
    search = begin(ETS(width=3))
    search.tell([good(index=1)])
    before, asks = search.to_json(), search.ask()
    with pytest.raises(InputError, match=message):
        search.tell(children)
    assert search.to_json() == before
    assert search.ask() == asks
    search.tell([good(), good()])
    assert len(search.nodes) == 4


def test_a_generator_that_fails_midway_changes_nothing() -> None:
    def children() -> Any:
        yield good()
        raise RuntimeError("engine died")

    search = begin(ETS(width=3))
    before = search.to_json()
    with pytest.raises(RuntimeError, match="engine died"):
        search.tell(children())
    assert search.to_json() == before


def test_nothing_can_be_told_when_the_search_is_over() -> None:
    search = begin(REBASE(width=1))
    search.tell([Child(0, 5, 0.5, finished=True)])
    assert search.end == "width_used_up"
    search.tell([])
    with pytest.raises(InputError, match="the search is over"):
        search.tell([Child(0, 5, 0.5)])


def test_a_reward_of_minus_zero_is_zero() -> None:
    searches = [begin(REBASE(width=2)) for _ in range(2)]
    for search, zero in zip(searches, (0.0, -0.0), strict=True):
        search.tell([Child(0, 5, zero)])
    assert searches[0].to_json() == searches[1].to_json()


def test_numpy_values_are_welcome() -> None:
    child = Child(np.int64(0), np.uint8(5), np.float32(0.5), np.bool_(True), index=np.int16(0))  # type: ignore[arg-type]
    search = begin(REBASE(width=1))
    search.tell([child])
    assert TreeSearch.from_json(search.to_json()) == search


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prompt_tokens": -1}, "prompt_tokens must be at least 0, got -1"),
        ({"prompt_tokens": 1.5}, "prompt_tokens must be an integer"),
        ({"prompt_tokens": 2**32}, "prompt_tokens"),
        ({"max_tokens": 0}, "max_tokens must be at least 1, got 0"),
        ({"max_depth": 0}, "max_depth must be at least 1, got 0"),
        ({"seed": "x"}, "seed must be an integer, got 'x'"),
        ({"strategy": "ets"}, "strategy must have width, needs_embeddings and decide"),
    ],
)
def test_wrong_settings_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        TreeSearch(**{"strategy": REBASE(width=2), "prompt_tokens": 5, **options})


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


def test_a_search_can_be_stopped() -> None:
    search = begin(REBASE(width=4))
    search.tell([Child(0, 5, 0.5, finished=True)] * 2 + [Child(0, 5, 0.5)] * 2)
    for bad in ("", None):
        with pytest.raises(InputError):
            search.stop(bad)  # type: ignore[arg-type]
    search.stop("seconds")
    search.stop("tokens")
    assert (search.end, search.ask(), len(search.trajectories)) == ("seconds", [], 2)
    assert search.events[-1] == Ended(1, "seconds")
    assert TreeSearch.from_json(search.to_json()) == search


def test_stopped_in_mid_step_what_was_told_counts() -> None:
    search = TreeSearch(REBASE(width=6), 50, max_tokens=20)
    search.tell([Child(0, 5, 0.5)] * 6)
    first = search.ask()[0]
    late = [
        Child(1, 5, 0.7, finished=True),
        Child(2, 15, 0.6, text="cut"),
        Child(3, 5, 0.9),
        Child(5, 5, 0.8, finished=True),
    ]
    search.tell(late[::-1])
    selections = len(search.kv)
    search.stop("seconds")
    assert (first.node, search.end, search.ask()) == (1, "seconds", [])
    assert [(t.path, t.cut) for t in search.trajectories] == [
        ((1, 7), None),
        ((2, 8), "max_tokens"),
        ((5, 10), None),
    ]
    assert search.nodes.fate[1:] == ["kept"] * 6 + ["done", "done", "left", "done"]
    assert (search.remaining, search.depth, len(search.kv)) == (3, 2, selections)
    assert search.nodes.levels[-1] == range(7, 11)
    assert search.events[-5:] == [
        Scored(2, (7, 8, 9, 10), (1, 2, 3, 5), (0.7, 0.6, 0.9, 0.8), (5, 15, 5, 5)),
        Finished(2, 7, None),
        Finished(2, 8, "max_tokens"),
        Finished(2, 10, None),
        Ended(2, "seconds"),
    ]
    assert TreeSearch.from_json(search.to_json()) == search
    with pytest.raises(InputError, match="the search is over"):
        search.tell([Child(4, 5, 0.5)])


@settings(max_examples=80, deadline=None)
@given(strategy=strategies(), world=worlds, data=st.data())
def test_a_stop_does_not_depend_on_the_order_of_arrival(
    strategy: Strategy, world: World, data: st.DataObject
) -> None:
    stopped = []
    steps = data.draw(st.integers(0, 3))
    share = data.draw(st.floats(0, 0.99))
    for order in (None, data.draw(st.randoms(use_true_random=False))):
        search = begin(strategy)
        for _ in range(steps):
            asks = search.ask()
            search.tell([world.child(search, ask.node, i) for ask in asks for i in ask.indices])
        over = search.end
        told = [world.child(search, ask.node, i) for ask in search.ask() for i in ask.indices]
        del told[int(share * len(told)) :]
        if order is not None:
            order.shuffle(told)
            for child in told:
                search.tell([child])
            search = TreeSearch.from_json(search.to_json())
        else:
            search.tell(told)
        before = len(search.nodes), len(search.trajectories), len(search.kv)
        search.stop("enough")
        done = [c for c in told if search._cut(c.parent, c.tokens, c.finished) or c.finished]
        assert search.end == (over or "enough")
        assert len(search.nodes) == before[0] + len(told)
        assert len(search.trajectories) == before[1] + len(done)
        assert len(search.kv) == before[2]
        assert search.nodes.fate.count("left") == len(told) - len(done) or over
        assert "open" not in search.nodes.fate
        stopped.append(search.to_json())
    assert stopped[0] == stopped[1]


def test_a_stop_is_the_reason_even_where_the_width_is_used_up() -> None:
    for told in (2, 3):  # BeamSearch asks for more than the width that remains
        search = begin(BeamSearch(width=3, beam=2))
        search.tell([Child(0, 5, 0.5)] * 3)
        assert sum(ask.n for ask in search.ask()) == 4
        search.tell([Child(1, 5, 0.5, finished=True), Child(2, 5, 0.5, finished=True)])
        if told == 3:
            search.tell([Child(1, 5, 0.5, finished=True)])
        search.stop("tokens")
        assert (search.end, search.remaining) == ("tokens", 3 - told)
        assert len(search.trajectories) == told


def test_a_stop_needs_no_embeddings_that_can_be_compared() -> None:
    search = begin(ETS(width=4))
    search.tell([good(), good(embedding=np.ones(3, dtype=np.float32), text="b")])
    search.tell([good(embedding=None, text="c")])
    search.stop("seconds")
    assert (search.end, search.nodes.fate[1:]) == ("seconds", ["left"] * 3)
    assert search.nodes.cluster[1:] == [-1] * 3


def test_a_stop_with_nothing_told_adds_nothing() -> None:
    search = begin(REBASE(width=2))
    before = search.events[:]
    search.stop("seconds")
    assert search.events == [*before, Ended(0, "seconds")]
    assert (len(search.nodes), search.depth, search.nodes.fate) == (1, 0, ["kept"])


def test_a_stop_after_a_failed_decision_leaves_the_candidates() -> None:
    search = begin(Fails())
    with pytest.raises(SolverError):
        search.tell([Child(0, 5, 0.5), Child(0, 5, 0.6)])
    search.stop("seconds")
    assert (search.end, search.depth, search.nodes.fate) == (
        "seconds",
        1,
        ["kept", "left", "left"],
    )


class Fails:
    """A strategy of one's own, whose pruner fails the first time at depth 1."""

    width = 2
    needs_embeddings = False

    def __init__(self) -> None:
        self.failed = False

    def decide(self, view: View) -> Decision:
        if view.depth == 1 and not self.failed:
            self.failed = True
            raise SolverError("no time")
        return REBASE(width=2).decide(view)


def test_a_failed_decision_is_tried_again() -> None:
    search = begin(Fails())
    with pytest.raises(SolverError):
        search.tell([Child(0, 5, 0.5), Child(0, 5, 0.6)])
    assert (len(search.nodes), search.end) == (3, None)
    with pytest.raises(InputError, match="nothing is asked for"):
        search.tell([Child(1, 5, 0.5)])
    text = search.to_json()
    with pytest.raises(InputError, match="strategy of your own"):
        TreeSearch.from_json(text)
    loaded = TreeSearch.from_json(text, strategy=REBASE(width=2))
    assert [ask.node for ask in search.ask()] == [2] or search.ask() == loaded.ask()
    assert loaded.ask() == search.ask()


def _decides(**fields: Any) -> Strategy:
    class Own:
        width = 2
        needs_embeddings = False

        def decide(self, view: View) -> Decision:
            arrays: dict[str, Any] = {name: np.array(value) for name, value in fields.items()}
            return Decision(**arrays)

    return Own()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"order": [1], "counts": [1]}, r"order\[0\] must lie in \[0, 1\), got 1"),
        ({"order": [-1], "counts": [1]}, r"order\[0\] must lie in \[0, 1\), got -1"),
        ({"order": [0], "counts": [-1]}, r"counts\[0\] must lie in \[0, .*, got -1"),
        ({"order": [0], "counts": [1, 1]}, "same length, got 1 and 2"),
        ({"order": [0.0], "counts": [1]}, "order must be a 1-dimensional array of integers"),
        ({"order": [[0]], "counts": [[1]]}, "order must be a 1-dimensional array of integers"),
        ({"order": [0], "counts": [1], "rebase": [1, 1]}, "rebase must have one entry for each"),
        ({"order": [0], "counts": [1], "clusters": [[1]]}, "clusters must have one entry"),
    ],
)
def test_a_senseless_decision_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        begin(_decides(**fields))


@pytest.mark.parametrize(
    ("decision", "message"),
    [
        (None, "decide must return a Decision, got None"),
        ((0, 1), r"decide must return a Decision, got \(0, 1\)"),
        ({"order": None}, "order must be a 1-dimensional array"),
        ({"order": [[0], [0, 0]]}, "order must be a 1-dimensional array"),
        ({"counts": "2"}, "counts must be a 1-dimensional array"),
        ({"clusters": [1]}, r"clusters must be an array of integers or None, got \[1\]"),
        ({"rebase": np.array([0.5])}, "rebase must be an array of integers or None"),
        ({"selection": "all"}, "selection must be an ets.Selection or None, got 'all'"),
    ],
)
def test_what_is_no_decision_is_refused(decision: Any, message: str) -> None:
    class Own:
        width = 2
        needs_embeddings = False

        def decide(self, view: View) -> Any:
            if not isinstance(decision, dict):
                return decision
            right: dict[str, Any] = {"order": np.array([0]), "counts": np.array([2])}
            return Decision(**{**right, **decision})

    with pytest.raises(InputError, match=message):
        begin(Own())


def test_a_strategy_may_keep_none() -> None:
    none = np.array([], dtype=np.int64)
    search = begin(_decides(order=none, counts=none))
    assert (search.end, search.ask(), search.nodes.fate) == ("none_kept", [], ["pruned"])


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


def test_searches_compare_by_what_they_did_and_not_by_how_long_it_took() -> None:
    world = World()
    a, b = play(begin(ETS(width=5)), world), play(begin(ETS(width=5)), world)
    assert a.timings[-1].decide_us >= a.timings[-1].cluster_us + a.timings[-1].select_us > 0
    assert a == b
    assert a != play(begin(ETS(width=5), seed=1), world)
    assert a != "a"
    assert repr(a).startswith("<TreeSearch ETS(width=5")
