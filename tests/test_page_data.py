"""What a page draws comes whole or in pieces, and is the same."""

from __future__ import annotations

import json
from typing import Any

import pytest

import ets
from ets.answer.tally import Tally
from ets.tree_page.data import PageData
from ets.tree_search.search import TreeSearch
from scripted import World, play
from test_tree_page import told

NEW: dict[str, Any] = {"cluster": -1, "fate": "open", "asked": 0}
"""What a page takes a node's column to be before a piece says it; else null."""


def grown(*pieces: dict[str, Any]) -> dict[str, Any]:
    """What the page's script makes of pieces."""
    data: dict[str, Any] = {"kv": [], "formulas": [], "nodes": {}}
    for piece in pieces:
        piece = json.loads(json.dumps(piece))
        for name in ("kv", "formulas"):
            data[name] += piece.pop(name, [])
        nodes = piece.pop("nodes", {"first": 0})
        first = nodes.pop("first")
        for name, column in nodes.items():
            there = data["nodes"].setdefault(name, [])
            there += [NEW.get(name)] * (first + len(column) - len(there))
            there[first : first + len(column)] = column
        data.update(piece)
    count = len(data["nodes"]["parent"])
    for name, column in data["nodes"].items():
        column += [NEW.get(name)] * (count - len(column))
    return data


def resolved(data: dict[str, Any]) -> dict[str, Any]:
    """With formulas in the place of their numbers, which go by the order in which they came."""
    formulas = data.pop("formulas")
    spans = [data["problem_math"], *data["nodes"]["math"]]
    for one in spans:
        for at in range(2, len(one or ()), 3):
            one[at] = formulas[one[at]]
    for vote in data["votes"]:
        vote[3] = vote[3] if vote[3] is None else formulas[vote[3]]
    return data


def in_pieces(search: TreeSearch, problem: str) -> dict[str, Any]:
    """By a search that is over already: each event's piece must not tell more than the event."""
    data, tally = PageData(problem), Tally()
    pieces = [data.beginning(search)]
    pieces += [piece for event in search.events if (piece := data.take(search, event))]
    return grown(*pieces, data.outcome(search, tally.count(search.trajectories)))


STRATEGIES: list[Any] = [
    ets.ETS(width=8),
    ets.ETS(width=8, lambda_d=0.0, lambda_b=2.0),
    ets.MPTS(width=8),
    ets.REBASE(width=8),
    ets.DORA(width=8),
    ets.BeamSearch(width=8, beam=2),
    ets.BestOfN(width=8),
]


def test_a_page_names_the_settings_of_a_strategy_with_a_function() -> None:
    def by_length(texts: list[str | None]) -> list[int]:
        return [len(str(text)) for text in texts]

    search = play(TreeSearch(ets.MPTS(width=8, clusters=by_length), 20), World())
    page = PageData("How many?").whole(search, Tally().count(search.trajectories))
    assert page["strategy"] == "MPTS"
    assert page["settings"]["clusters"] == "by_length"
    assert page["settings"]["rho"] == 0.5
    json.dumps(page)


@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda strategy: type(strategy).__name__)
@pytest.mark.parametrize("depth", [3, 9])
def test_the_pieces_make_the_whole(strategy: Any, depth: int) -> None:
    for seed in range(4):
        search = play(TreeSearch(strategy, 20, max_depth=depth), World(seed, finish=0.2))
        whole = PageData("How many?").whole(search, Tally().count(search.trajectories))
        assert in_pieces(search, "How many?") == grown(whole)


def test_formulas_are_the_same_in_pieces() -> None:
    first = [(0.9, None, False, t) for t in ("so $x$", "and $y^2$", "and $x$", "none")]
    second = [(0.8, None, True, rf"it is \(\boxed{{\frac{{1}}{{{n}}}}}\)") for n in (2, 3, 2, 4)]
    search = told(ets.REBASE(width=4), first, second)
    outcome = Tally().count(search.trajectories)
    whole = PageData("Find $x$.").whole(search, outcome)
    assert len(whole["formulas"]) > 5
    assert resolved(in_pieces(search, "Find $x$.")) == resolved(grown(whole))
    assert [vote[3] for vote in whole["votes"]] != [None] * 3


@pytest.mark.parametrize("steps", [0, 1, 3])
def test_a_search_that_was_stopped_has_its_pieces(steps: int) -> None:
    search, world = TreeSearch(ets.ETS(width=6), 20), World(finish=0.0)
    for _ in range(steps):
        search.tell(world.child(search, a.node, i) for a in search.ask() for i in a.indices)
    asks = search.ask()
    search.tell([world.child(search, asks[0].node, asks[0].indices[0])])
    search.stop("time_budget")
    whole = PageData("?").whole(search, Tally().count(search.trajectories))
    assert in_pieces(search, "?") == grown(whole)
    assert "ended" in whole["nodes"]["why"]
