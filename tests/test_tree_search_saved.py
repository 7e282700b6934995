"""`TreeSearch`, saved and loaded: it goes on as if nothing had happened, or says what is wrong."""

from __future__ import annotations

import json
import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ets.errors import InputError
from ets.strategy import (
    ETS,
    REBASE,
    Strategy,
)
from ets.tree_search.search import Child, TreeSearch
from scripted import World, play
from tree_search_cases import begin, strategies, worlds


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
        (lambda d: d.update(kv_budget=200), r"prunes to it \(ETS, MPTS\), got REBASE\(width=4"),
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


def test_searches_compare_by_what_they_did_and_not_by_how_long_it_took() -> None:
    world = World()
    a, b = play(begin(ETS(width=5)), world), play(begin(ETS(width=5)), world)
    assert a.timings[-1].decide_us >= a.timings[-1].cluster_us + a.timings[-1].select_us > 0
    assert a == b
    assert a != play(begin(ETS(width=5), seed=1), world)
    assert a != "a"
    assert repr(a).startswith("<TreeSearch ETS(width=5")
