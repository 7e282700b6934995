"""Results, trees, selections and settings pickle and copy; what was not pickled so is refused."""

from __future__ import annotations

import copy
import dataclasses
import multiprocessing
import pickle
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ets
from ets import _core
from ets.answer import Vote
from ets.search import SearchResult
from ets.strategy.base import Decision, View
from ets.tree_search.search import TreeSearch
from pickle_cases import grown, result, searched, selected
from scripted import World, play

PROTOCOLS = range(2, pickle.HIGHEST_PROTOCOL + 1)
WAYS: list[Callable[[Any], Any]] = [
    *(lambda value, p=p: pickle.loads(pickle.dumps(value, p)) for p in PROTOCOLS),
    copy.copy,
    copy.deepcopy,
]
NAMES = [*(f"protocol {p}" for p in PROTOCOLS), "copy", "deepcopy"]
ways = pytest.mark.parametrize("again", WAYS, ids=NAMES)


# -- what comes back is equal, and its own ---------------------------------------------------------


@ways
def test_a_tree_comes_back_equal_and_grows_apart(again: Callable[[Any], Any]) -> None:
    tree = grown()
    other = again(tree)
    assert type(other) is _core.Tree
    assert other == tree
    assert other.parents.tolist() == tree.parents.tolist()
    assert other.tokens.tolist() == tree.tokens.tolist()
    assert other.depths.tolist() == tree.depths.tolist()
    other.add(4, 1)
    assert (len(other), len(tree)) == (6, 5)
    assert other != tree


def test_a_tree_is_equal_by_parents_and_tokens() -> None:
    one, two = grown(), grown()
    assert one == two
    assert one != _core.Tree(2**32 - 1)
    one.add(1, 5)
    two.add(2, 5)
    assert one != two
    assert one != "tree"
    with pytest.raises(TypeError, match="unhashable"):
        hash(one)


@ways
def test_what_is_held_comes_back(again: Callable[[Any], Any]) -> None:
    tree = grown()
    held = tree.held(np.array([3]))
    other = again(held)
    assert other == held
    assert other.tokens == held.tokens == tree.kv_tokens(np.array([3]))
    assert other.add(np.array([4])) == 7  # what it holds came along, not only the sum
    assert other != held
    assert held.tokens == tree.kv_tokens(np.array([3]))


def test_a_tree_and_what_it_holds_stay_together() -> None:
    tree = grown()
    by_pickle: Callable[[Any], Any] = lambda pair: pickle.loads(pickle.dumps(pair))  # noqa: E731
    for again in (by_pickle, copy.deepcopy):
        other, held = again((tree, tree.held(np.array([1]))))
        node = other.add(1, 11)
        assert held.add(np.array([node])) == 11


@ways
@pytest.mark.parametrize("options", [{}, {"solver": "milp"}, {"kv_budget": 2**33}])
def test_a_selection_comes_back(again: Callable[[Any], Any], options: dict[str, Any]) -> None:
    selection = selected(**options)
    other = again(selection)
    assert other == selection
    assert other.keep.tolist() == selection.keep.tolist()
    assert not other.keep.flags.writeable
    assert other.stats == selection.stats
    assert repr(other) == repr(selection)


@ways
@pytest.mark.parametrize("steps", [0, 2, None])
def test_a_search_comes_back_and_goes_on(again: Callable[[Any], Any], steps: int | None) -> None:
    search = searched(steps=steps)
    other = again(search)
    assert other == search
    assert other.timings == search.timings
    assert other.trajectories == search.trajectories
    assert other.tree == search.tree
    before = search.to_json()
    play(other, World(seed=4, finish=0.1))
    assert search.to_json() == before
    assert other == play(search, World(seed=4, finish=0.1))


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), order=st.integers(0, 2**32))
def test_a_search_may_travel_after_every_tell(seed: int, order: int) -> None:
    world = World(seed=seed)
    for strategy in (ets.ETS(width=8), ets.DVTS(width=8), ets.DORA(width=8)):
        whole = play(TreeSearch(strategy, 50, max_depth=6), world)
        moved = play(
            TreeSearch(strategy, 50, max_depth=6),
            world,
            shuffle=random.Random(order),
            between=lambda search: pickle.loads(pickle.dumps(search)),
        )
        assert moved == whole


class Own:
    """A strategy of somebody's own, with a setting that can change."""

    width = 3
    needs_embeddings = False

    def __init__(self) -> None:
        self.notes: list[int] = []

    def decide(self, view: View) -> Decision:
        return ets.REBASE(width=3).decide(view)


def test_a_strategy_of_ones_own_travels_with_its_search() -> None:
    mine = Own()
    search = TreeSearch(mine, 5)
    other = pickle.loads(pickle.dumps(search))
    assert isinstance(other.strategy, Own)
    assert copy.copy(search).strategy is search.strategy
    deep = copy.deepcopy(search)
    assert isinstance(deep.strategy, Own)
    deep.strategy.notes.append(1)
    assert mine.notes == []


@ways
def test_a_result_comes_back(again: Callable[[Any], Any]) -> None:
    first = result()
    other = again(first)
    assert other == first
    assert other.to_dict() == first.to_dict()
    assert other.tree.to_json() == first.tree.to_json()
    assert (other.note, other.kv_saved, other.end) == (first.note, first.kv_saved, first.end)


@ways
@pytest.mark.parametrize(
    "value",
    [
        ets.Budget(tokens=5, seconds=1.5),
        ets.Certain(error=0.1, most=9),
        ets.SharedBudget(tokens=100),
        ets.answer.standing(["1", "1", "2"]),
        ets.ETS(width=4, time_limit=2.0),
        ets.REBASE(width=3),
        ets.BeamSearch(width=3),
        ets.DVTS(width=3),
        ets.BestOfN(width=3),
        ets.ParticleFilter(width=3),
        ets.DORA(width=3),
        Vote("2", 1.5, 2),
        ets.engines.Step("a\n\n", (1, 2), "step"),
        ets.engines.Prefix("p", 1, (0,), (ets.engines.Step("a", (1,), "end"),)),
        ets.engines.Prefix("p", 1, (0,), before=(ets.engines.Turn("system", "s"),)),
        ets.engines.Dialogue((ets.engines.Turn("user", "a"),), "p"),
        ets.engines.Score(0.5, 7),
        searched().trajectories[0],
        searched().ask(),
        searched(steps=1).ask(),
        searched().events,
        searched().kv,
        searched().timings,
        result().usage,
        result().trajectories,
    ],
    ids=lambda value: type(value).__name__,
)
def test_settings_steps_and_records_come_back(again: Callable[[Any], Any], value: object) -> None:
    other = again(value)
    assert type(other) is type(value)
    assert other == value


@ways
def test_children_and_decisions_come_back(again: Callable[[Any], Any]) -> None:
    vector = np.array([0.5, -1.0], dtype=np.float32)
    child = again(ets.Child(3, 4, 0.5, embedding=vector, text="x", index=1))
    assert (child.parent, child.text, child.embedding.tolist()) == (3, "x", [0.5, -1.0])
    decision = again(
        Decision(order=np.array([1, 0]), counts=np.array([2, 3]), selection=selected())
    )
    assert (decision.order.tolist(), decision.counts.tolist()) == ([1, 0], [2, 3])
    assert decision.selection == selected()


@ways
@pytest.mark.parametrize("kind", [ets.InputError, ets.errors.SolverError, ets.EngineError])
def test_errors_come_back(again: Callable[[Any], Any], kind: type[Exception]) -> None:
    other = again(kind("width must be an integer"))
    assert type(other) is kind
    assert str(other) == "width must be an integer"


# -- other processes -------------------------------------------------------------------------------


def solve_elsewhere(seed: int) -> ets.SearchResult:
    """Runs in a process of its own."""
    search = TreeSearch(ets.ETS(width=6), 50, seed=seed, max_tokens=150, max_depth=7)
    return SearchResult.of(play(search, World(seed=4)), problem="q")


def test_results_travel_from_processes_and_back() -> None:
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        results = pool.map(solve_elsewhere, range(4))
        sizes = pool.map(nodes_of, results)
    assert results == [solve_elsewhere(seed) for seed in range(4)]
    assert sizes == [len(found.tree.tree) for found in results]


def nodes_of(found: ets.SearchResult) -> int:
    return len(found.tree.tree)


# -- what must not be pickled ----------------------------------------------------------------------


def test_what_must_not_be_pickled_says_what_to_pickle_instead() -> None:
    with ets.Search("demo", lambda problem, steps: 0.5, ets.REBASE(width=1)) as search:
        for again in WAYS:
            with pytest.raises(
                TypeError, match="a Search can be neither pickled nor copied: its re"
            ):
                again(search)


@pytest.mark.parametrize(
    "name",
    [
        "policy.transformers.TransformersPolicy",
        "policy.vllm.VLLMPolicy",
        "policy.openai.OpenAIPolicy",
        "policy.chat.ChatPolicy",
        "prm.transformers.TransformersPRM",
        "prm.vllm.VLLMPRM",
        "prm.pooling.PoolingPRM",
        "embed.vllm.VLLMEmbedder",
        "embed.hidden_state.HiddenStateEmbedder",
        "embed.sentence_transformers.SentenceTransformersEmbedder",
    ],
)
def test_engines_are_not_pickled(name: str) -> None:
    module, _, kind = name.rpartition(".")
    engine_kind = getattr(pytest.importorskip(f"ets.{module}"), kind)
    engine = engine_kind.__new__(engine_kind)
    with pytest.raises(TypeError, match=f"a {kind} can be neither .* name and options"):
        pickle.dumps(engine)


def test_every_record_says_what_its_fields_are() -> None:
    """Else a pickle of it could be written and not be read."""
    from ets.pickled import Record, _hints, fits

    kinds = [Record]
    for kind in kinds:
        kinds += kind.__subclasses__()
    for kind in kinds[1:]:
        assert dataclasses.is_dataclass(kind)
        for field in dataclasses.fields(kind):
            fits(None, _hints(kind)[field.name])
            fits([None], _hints(kind)[field.name])
            fits((None,), _hints(kind)[field.name])
