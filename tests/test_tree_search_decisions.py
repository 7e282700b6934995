"""`TreeSearch` and strategies that fail or decide what makes no sense."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ets.errors import InputError, SolverError
from ets.strategy import (
    REBASE,
    Decision,
    Strategy,
    View,
)
from ets.tree_search.search import Child, TreeSearch
from tree_search_cases import Fails, begin


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
