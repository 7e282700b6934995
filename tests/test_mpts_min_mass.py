"""The part of the mass that mass-preserving search must keep. `test_mpts.py` has the oracle."""

from __future__ import annotations

import pytest

import ets
from ets.tree_search.search import Child, TreeSearch
from test_mpts import told

UNLIKE = list(zip("abcdefgh", [0.9] * 2 + [0.7] * 3 + [0.2] * 3, strict=True))


@pytest.mark.parametrize(
    ("min_mass", "kept"),
    [
        # REBASE continues the first two thrice, two of the others once; a line costs 2 / 9.
        (0.0, 1),
        (0.375, 1),
        (0.5, 2),
        (0.75, 2),
        (0.76, 4),
        (1.0, 4),
    ],
)
def test_unlike_steps_are_not_put_on_one_line(min_mass: float, kept: int) -> None:
    search = told(ets.MPTS(width=8, clusters="text", min_mass=min_mass), UNLIKE)
    assert search.kv.steps[-1].kept == kept
    assert sum(ask.n for ask in search.ask()) == 8


def test_equal_promises_are_all_kept_or_one() -> None:
    """No price tells them apart."""
    for min_mass, kept in ((0.125, 1), (0.126, 8)):
        strategy = ets.MPTS(width=8, clusters="text", min_mass=min_mass)
        search = told(strategy, [(letter, 0.5) for letter in "abcdefgh"])
        assert search.kv.steps[-1].kept == kept


def test_twins_are_enough_of_a_mass() -> None:
    strategy = ets.MPTS(width=16, clusters="text", rho=0.0, min_mass=1.0)
    assert told(strategy, [("a", 0.5)] * 16).kv.steps[-1].kept == 1


def test_a_price_beyond_measure_comes_down_to_nothing() -> None:
    strategy = ets.MPTS(width=8, clusters="text", lambda_b=1e300, min_mass=0.5)
    assert told(strategy, UNLIKE).kv.steps[-1].kept == 4  # as under REBASE


def test_a_budget_that_has_no_room_for_the_mass_is_kept() -> None:
    strategy = ets.MPTS(width=8, clusters="text", min_mass=1.0)
    search = TreeSearch(strategy, 10, kv_budget=27)
    search.tell(
        Child(parent=0, index=i, tokens=5, reward=reward, finished=False, text=text)
        for i, (text, reward) in enumerate(UNLIKE)
    )
    # Three of the four that the price found without it would keep.
    assert search.kv.steps[-1].kept == 3
    assert sum(ask.n for ask in search.ask()) == 8
