"""KV reduction at equal accuracy: cases made by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ets.bench.equal_accuracy import EqualAccuracy, at_equal_accuracy, describe
from ets.bench.grid import Grid
from ets.bench.summary import summarise
from ets.errors import InputError
from run_cases import row

Cells = dict[str, tuple[Callable[[int], bool], int]]
"""By label: which of the problems are right, and the KV tokens of a search."""


def claims(cells: Cells, problems: int = 1000, **options: Any) -> list[EqualAccuracy]:
    names = list(dict.fromkeys(label.split()[0] for label in cells))
    widths = sorted({int(label.split("width=")[1].split()[0]) for label in cells})
    prices = sorted({float(label.split("lambda_b=")[1]) for label in cells if "_b" in label})
    rows = [
        row(label, problem, 0, right=right(problem), kv=kv + problem % 7)
        for label, (right, kv) in cells.items()
        for problem in range(problems)
    ]
    grid = Grid(strategies=tuple(names), widths=tuple(widths), lambda_b=tuple(prices))
    return at_equal_accuracy(summarise(grid, rows), **options)


def test_the_least_kv_within_the_loss_at_each_width() -> None:
    four, eight = claims(
        {
            "rebase width=4": (lambda p: p < 600, 300),
            "rebase width=8": (lambda p: p < 700, 600),
            "ets width=4 lambda_b=0.5": (lambda p: p < 610, 250),
            "ets width=4 lambda_b=1.0": (lambda p: p < 598, 200),  # 0.2 points less
            "ets width=4 lambda_b=2.0": (lambda p: p < 597, 100),  # 0.3 points less
            "ets width=8 lambda_b=0.5": (lambda p: p < 690, 500),
            "ets width=8 lambda_b=1.0": (lambda p: p < 690, 400),
        }
    )
    assert four.line is not None
    assert four.reduction is not None
    assert four.line.cell.label == "ets width=4 lambda_b=1.0"
    assert four.reduction.value == pytest.approx(303 / 203, abs=0.001)
    assert (four.settings, four.accuracy_is_borne, four.reduction_is_borne) == (3, False, True)
    assert describe(four).startswith("ets, width 4: 1.49x (1.49 to 1.49) less KV at -0.2 points (")
    assert describe(four).endswith("the saving is borne, equal accuracy is not")
    assert (eight.line, eight.settings, eight.accuracy_is_borne) == (None, 2, False)
    assert describe(eight) == ("ets, width 8: none of 2 settings is within 0.2 points of REBASE")


def test_a_larger_loss_lets_more_in() -> None:
    cells: Cells = {
        "rebase width=4": (lambda p: p < 600, 300),
        "ets width=4 lambda_b=1.0": (lambda p: p < 599, 200),
        "ets width=4 lambda_b=2.0": (lambda p: p < 590, 100),
    }
    (bold,) = claims(cells, loss=0.02)
    assert bold.line is not None
    assert bold.line.cell.label == "ets width=4 lambda_b=2.0"
    assert (bold.accuracy_is_borne, bold.reduction_is_borne) == (True, True)
    assert describe(bold).endswith("the intervals bear both")


def test_of_equal_settings_the_smaller_price() -> None:
    (claim,) = claims(
        {
            "rebase width=4": (lambda p: True, 300),
            "ets width=4 lambda_b=2.0": (lambda p: True, 200),
            "ets width=4 lambda_b=1.0": (lambda p: True, 200),
        },
        problems=20,
    )
    assert claim.line is not None
    assert claim.line.cell.label == "ets width=4 lambda_b=1.0"


def test_more_kv_is_no_saving() -> None:
    (claim,) = claims(
        {"rebase width=4": (lambda p: True, 300), "beam width=4": (lambda p: True, 400)},
        problems=2000,
    )
    assert (claim.accuracy_is_borne, claim.reduction_is_borne) == (True, False)
    assert describe(claim).endswith("equal accuracy is borne, a saving is not")


def test_three_problems_alike_bear_nothing() -> None:
    """A bootstrap of three differences of 0 ends at 0, on both sides."""
    cells: Cells = {
        "rebase width=4": (lambda p: p < 1, 300),
        "ets width=4": (lambda p: p < 1, 200),
    }
    (claim,) = claims(cells, problems=3)
    assert (claim.accuracy_is_borne, claim.reduction_is_borne) == (False, True)
    assert describe(claim).endswith(
        "the saving is borne, equal accuracy is not (3 problems are too few to show a loss)"
    )
    (claim,) = claims(cells, problems=3, loss=0.7)  # up to 63% could be lost
    assert claim.accuracy_is_borne
    (claim,) = claims(
        {"rebase width=4": (lambda p: p < 5, 300), "ets width=4": (lambda p: p < 15, 200)},
        problems=20,
    )
    assert claim.accuracy_is_borne, "far better, whatever was drawn"


def test_without_rebase_there_is_no_claim() -> None:
    assert claims({"beam width=4": (lambda p: True, 300)}, problems=3) == []


def test_independent_samples_count_once_by_the_runs_own_vote() -> None:
    found = claims(
        {"rebase width=4": (lambda p: True, 300), "best-of-n width=4": (lambda p: True, 300)},
        problems=5,
    )
    assert [(claim.strategy, claim.settings) for claim in found] == [("best-of-n", 1)]
    assert found[0].line is not None
    assert found[0].line.vote == "weighted"


@pytest.mark.parametrize("loss", [-0.1, 20, float("nan")])
def test_a_loss_that_is_no_share(loss: float) -> None:
    with pytest.raises(InputError, match=r"loss must lie in \[0, 1\], .* got"):
        at_equal_accuracy([], loss=loss)
