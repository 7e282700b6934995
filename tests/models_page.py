"""The rows of docs/models.md, and what holds a test's own figure against the one printed there."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

PAGE = (Path(__file__).parents[1] / "docs" / "models.md").read_text("utf-8")
_ROW = re.compile(
    r"^\| (.*?) \| (.*?)?(?: \| )?`(test_\w+\.py)(?:::(test_\w+))?` \| (.*) \|$", re.M
)
_NOISE = 1e-6
"""Differences below it are rounding, another on every processor."""


class Row(NamedTuple):
    """A model on a backend; embedders name theirs in their names."""

    name: str
    backend: str
    file: str
    test: str
    figure: str
    """The largest difference from a plain computation, or how many greedy steps equal its."""


def rows() -> list[Row]:
    found = [Row(*match.groups(default="")) for match in _ROW.finditer(PAGE)]
    assert len(found) == PAGE.count("| `test_"), "a row of another form"
    return [row._replace(figure=row.figure.partition(" | ")[0]) for row in found]


def figure_of(name: str, backend: str = "") -> str:
    [row] = [row for row in rows() if (row.name, row.backend) == (name, backend)]
    return row.figure


def hold_difference(
    found: Sequence[float], expected: Sequence[float], name: str, backend: str = ""
) -> None:
    """The largest difference is of the order that the page prints."""
    printed = float(figure_of(name, backend))
    largest = max(abs(a - b) for a, b in zip(found, expected, strict=True))
    low, high = sorted(max(difference, _NOISE) for difference in (printed, largest))
    assert high <= 10 * low, f"{name} {backend}: measured {largest:.0e}, printed {printed:.0e}"


def hold_equal_steps(equal: Sequence[bool], name: str, backend: str) -> None:
    """As many of as many steps equal those of a plain computation as the page prints."""
    printed = figure_of(name, backend)
    measured = f"{sum(equal)} of {len(equal)} steps equal"
    assert measured == printed, f"{name} {backend}: {measured}, printed: {printed}"
