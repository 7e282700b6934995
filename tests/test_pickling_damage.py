"""What is no pickle of this version is refused in one line; never a panic, never a wrong tree."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import ets
from ets import _core
from ets.pickled import restored
from ets.tree.trajectory import Trajectory
from ets.tree_search.search import TreeSearch
from pickle_cases import grown, result, searched, selected

NONE = np.zeros(0, dtype=np.int64)
ZERO = np.zeros(1, dtype=np.int64)


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ((), "tuple index out of range"),
        ((2, 5, NONE, NONE), "version is 2: it must be 1"),
        (("1", 5, NONE, NONE), "version is '1'"),
        ((1, 5, NONE), "it has 2 fields: it must have 3"),
        ((1, -1, NONE, NONE), "prompt_tokens is -1"),
        ((1, 2**64, NONE, NONE), "prompt_tokens is 18446744073709551616"),
        ((1, 5, ZERO + 1, ZERO), r"parents\[0\] is 1: .*below 1"),
        ((1, 5, ZERO - 1, ZERO), r"parents\[0\] is -1"),
        ((1, 5, np.array([0, 2]), np.array([1, 1])), r"parents\[1\] is 2: .*below 2"),
        ((1, 5, ZERO, ZERO + 2**32), r"tokens\[0\] is 4294967296"),
        ((1, 5, ZERO, NONE), "tokens has length 0"),
        ((1, 5, [0], ZERO), "parents is of type list"),
        ((1, 5, ZERO, np.array([np.nan])), "tokens is a float64 array"),
        ((1, 5, ZERO.astype(">i8"), ZERO), "parents is a"),
    ],
)
def test_a_damaged_tree_is_refused(state: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ets.InputError, match=message) as caught:
        _core._restore_tree(*state)
    assert str(caught.value).startswith("not a pickled Tree of this version of ets: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ((2, grown(), ZERO), "version is 2"),
        ((1, None, ZERO), "its tree is no Tree"),
        ((1, grown(), ZERO + 5), r"leaves\[0\] is 5"),
        ((1, grown()), "it has 1 fields: it must have 2"),
    ],
)
def test_a_damaged_held_is_refused(state: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ets.InputError, match=f"not a pickled Held .*{message}"):
        _core._restore_held(*state)


@pytest.mark.parametrize(
    ("at", "value", "message"),
    [
        (0, 7, "version is 7"),
        (1, [True], "keep is no bool array"),
        (1, np.zeros(2, dtype=np.bool_), "keep has no leaf"),
        (1, np.zeros((1, 2), dtype=np.bool_), "keep is no bool array"),
        (2, float("nan"), "objective or bound is no number"),
        (3, float("nan"), "objective or bound is no number"),
        (2, "1", "objective is '1'"),
        (4, 1, "optimal is no bool"),
        (5, -1, "nodes_kept is -1"),
        (6, 2**64, "tokens_kept is 18446744073709551616"),
        (7, None, "stats is no dict"),
        (7, {}, "stats lacks"),
        (7, {**selected().stats, "solver": "luck"}, "solver is 'luck'"),
        (7, {**selected().stats, "joined": -1}, "joined is -1"),
    ],
)
def test_a_damaged_selection_is_refused(at: int, value: object, message: str) -> None:
    state = list(selected().__reduce__()[1])
    _core._restore_selection(*state)
    state[at] = value
    with pytest.raises(ets.InputError, match=message) as caught:
        _core._restore_selection(*state)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda s: s["saved"].update(version=9),
            "version of the saved TreeSearch must be 3, got 9",
        ),
        (lambda s: s.pop("timings"), r"lacks the fields \['timings'\]"),
        (lambda s: s.update(timings=[1]), "timings of the pickled TreeSearch must be a list"),
        (lambda s: s.update(strategy=None), "strategy must have width"),
        (lambda s: s["saved"]["nodes"]["parent"].__setitem__(1, 5), "parent of node 1 must be an"),
        (lambda s: s["saved"]["nodes"]["parent"].__setitem__(1, -1), "parent of node 1 must be an"),
        (
            lambda s: s["saved"]["nodes"]["parent"].__setitem__(1, True),
            r"parent\[1\] must be an int",
        ),
        (lambda s: s["saved"]["nodes"]["tokens"].__setitem__(2, 2**64), r"tokens\[2\] must be an"),
        (lambda s: s["saved"]["nodes"]["tokens"].__setitem__(2, 1.5), r"tokens\[2\] must be an"),
        (lambda s: s["saved"]["nodes"]["reward"].__setitem__(3, float("nan")), r"reward\[3\] must"),
        (
            lambda s: s["saved"]["nodes"]["reward"].__setitem__(3, 1.5),
            r"reward\[3\] must be a numb",
        ),
        (lambda s: s["saved"]["nodes"]["text"].__setitem__(3, 1), r"text\[3\] must be a text"),
        (lambda s: s["saved"]["nodes"]["fate"].__setitem__(3, "lost"), r"fate\[3\] must be one of"),
        (lambda s: s["saved"]["nodes"]["cut"].__setitem__(3, "width"), r"cut\[3\] must be one of"),
        (lambda s: s["saved"]["nodes"].update(finished=(False,)), "finished must be a list"),
        (lambda s: s["saved"]["told"][0].update(reward=float("inf")), r"told.reward\[0\] must be"),
        (lambda s: s["saved"]["told"][0].update(tokens=-1), r"told.tokens\[0\] must be"),
        (lambda s: s["saved"]["asks"][0].__setitem__(2, 10**12), "must be among its"),
        (
            lambda s: s["saved"]["levels"].__setitem__(slice(1, 3), [5, 7]),
            "levels must be the nodes",
        ),
        (lambda s: s["saved"]["completed"].append([-1, None]), r"completed\[.*must be an integer"),
    ],
)
def test_a_damaged_search_is_refused(change: Callable[[Any], object], message: str) -> None:
    search = searched(ets.ETS(width=6), steps=2)
    restore, (kind, state) = search.__reduce__()
    assert state["saved"]["levels"][:3] == [1, 6, 6]
    assert restore(kind, copy.deepcopy(state)) == search
    change(state)
    with pytest.raises(ets.InputError, match=message) as caught:
        restore(kind, state)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("state", [(), (dict, {}), (TreeSearch,), (TreeSearch, None)])
def test_what_is_no_pickled_search_is_refused(state: tuple[Any, ...]) -> None:
    restore, _ = searched().__reduce__()
    with pytest.raises(ets.InputError, match=r"(the|a) pickled TreeSearch"):
        restore(*state)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("score", float("nan"), "score must be float, got nan"),
        ("score", "1", "score must be float, got '1'"),
        ("votes", None, "votes must be list"),
        ("votes", [1], "votes must be list"),
        ("trajectories", (1,), "trajectories must be list"),
        ("tree", None, "tree must be TreeSearch, got None"),
        ("undecided", True, "undecided must be int"),
    ],
)
def test_a_damaged_result_is_refused(field: str, value: object, message: str) -> None:
    _, (kind, version, values) = result().__reduce__()
    with pytest.raises(ets.InputError, match=f"the pickled SearchResult is damaged: {message}"):
        restored(kind, version, {**values, field: value})


def test_foreign_states_are_refused() -> None:
    _, (kind, version, values) = result().__reduce__()
    foreign: list[tuple[tuple[Any, ...], str]] = [
        ((), "not a pickled object of ets"),
        ((dict, version, values), "not a pickled object of ets"),
        ((kind, 2, values), "version of the pickled SearchResult must be 1, got 2"),
        ((kind, version, None), "must have the fields"),
        ((kind, version, {**values, "colour": 1}), "must have the fields"),
        (
            (ets.Budget, version, {"tokens": -1, "seconds": None, "prm_calls": None}),
            "budget.tokens",
        ),
        ((Trajectory, version, {}), "the pickled Trajectory must have the fields"),
    ]
    for state, message in foreign:
        with pytest.raises(ets.InputError, match=message) as caught:
            restored(*state)
        assert "\n" not in str(caught.value)
