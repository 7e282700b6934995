"""`TreeSearch`, stopped: what was told counts, whatever the order of arrival."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ets.errors import InputError, SolverError
from ets.strategy import (
    ETS,
    REBASE,
    BeamSearch,
    Strategy,
)
from ets.tree.events import Ended, Finished, Scored
from ets.tree_search.search import Child, TreeSearch
from scripted import World
from tree_search_cases import Fails, begin, good, strategies, worlds


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
