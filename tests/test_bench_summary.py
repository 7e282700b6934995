"""The table of a run: what it says of rows made by hand."""

from __future__ import annotations

import pytest

from ets.bench.grid import Grid
from ets.bench.statistics import Interval
from ets.bench.summary import summarise
from run_cases import row


def test_a_summary_made_by_hand() -> None:
    grid = Grid(strategies=("rebase", "ets"), widths=(4,), seeds=(0, 1))
    rows = [
        *(row("rebase width=4", p, s, right=p < 6, kv=300) for p in range(10) for s in (0, 1)),
        *(row("ets width=4", p, s, right=p < 5, kv=150) for p in range(10) for s in (0, 1)),
        row("ets width=4", 10, 0, right=True, kv=10),  # its second seed is not there yet
    ]
    rebase, pruned = summarise(grid, rows)
    assert (rebase.problems, pruned.problems) == (10, 10)
    assert (rebase.accuracy.value, pruned.accuracy.value) == (0.6, 0.5)
    assert rebase.against is None
    assert pruned.against is not None
    assert pruned.against.value == pytest.approx(-0.1)
    assert pruned.against.low < -0.1 < pruned.against.high <= 0.0
    assert pruned.p_value == 1.0
    assert rebase.kv_ratio == Interval(1.0, 1.0, 1.0)
    assert pruned.kv_ratio == Interval(2.0, 2.0, 2.0), "twice in every problem"
    assert (pruned.kv_before, pruned.kv_before_mean, pruned.kv_before_peak) == (150, 75, 120)
    assert (pruned.kv_after, pruned.kv_mean, pruned.kv_peak) == (50, 25, 40)
    assert (pruned.policy_calls, pruned.prm_calls, pruned.policy_tokens) == (10, 10, 10)
    assert (pruned.policy_share, pruned.prm_share) == (0.75, 0.5)
    assert (pruned.prm_tokens, pruned.seconds) == (30, 2.0)
    assert (pruned.select_share, pruned.cluster_share) == (0.25, 0.125)
    assert pruned.solvable == 0.5
    assert pruned.banked == 0.25
    assert pruned.at_k == ()


def test_a_row_without_the_time_of_an_engine_says_nothing_of_it() -> None:
    """Rows that were written before it was measured stay readable."""
    rows = [row("rebase width=4", p, 0, right=True, kv=300) for p in range(3)]
    del rows[1]["policy_seconds"]
    (line,) = summarise(Grid(strategies=("rebase",), widths=(4,)), rows)
    assert (line.policy_share, line.prm_share) == (None, 0.5)


def test_independent_samples_are_shown_by_every_vote() -> None:
    grid = Grid(strategies=("best-of-n",), widths=(4,))
    rows = [row("best-of-n width=4", p, 0, right=True, kv=100) for p in range(4)]
    lines = summarise(grid, rows)
    assert [(line.vote, line.accuracy.value) for line in lines] == [
        ("weighted", 1.0),
        ("majority", 0.0),
        ("best", 1.0),
    ]
    assert {line.kv_ratio for line in lines} == {None}
    unscored = Grid(strategies=("best-of-n",), widths=(4,), search={"prm": "none"})
    assert [line.vote for line in summarise(unscored, rows)] == ["majority"]
    one, two = lines[0].at_k
    assert (one.k, one.passed, one.majority, one.weighted) == (1, 0.5, one.weighted, one.majority)
    assert one.majority == pytest.approx(0.5, abs=0.1)
    assert (two.k, two.passed, two.majority, two.weighted) == (2, 1.0, 1.0, 0.0)
