"""The part of a benchmark's page that says what to run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ets.bench.advice import advice
from ets.bench.candidates import candidates_of
from ets.bench.recommendation import Limit, Recommendation, recommend
from ets.bench.run_folder import RunFolder
from ets.bench.standing import Standing
from ets.errors import InputError
from ets.report.columns import points, points_interval


@dataclass(frozen=True, slots=True)
class WhatToRun:
    """The recommendation by tokens, or why there is none."""

    why_not: str
    """Empty where there is one."""
    advice: tuple[str, ...] = ()
    comparisons: int = 0
    rows: tuple[dict[str, Any], ...] = ()
    """A row for each candidate, the cheapest first."""


def what_to_run(run: RunFolder) -> WhatToRun:
    """Of a run's cells the cheapest within a point of the best, by tokens."""
    try:
        found = recommend(candidates_of([run]), Limit())
    except InputError as error:  # a replay, one problem, cells with no problem in common
        return WhatToRun(str(error))
    rows = tuple(_row(standing, found) for standing in found.standings)
    return WhatToRun("", tuple(advice(found)), found.comparisons, rows)


def _row(standing: Standing, found: Recommendation) -> dict[str, Any]:
    chosen = standing is found.chosen
    cost, right = standing.cost, standing.accuracy
    alike = not chosen and not standing.told_apart
    front = "chosen" if chosen else "dominated" if standing.dominated_by else "frontier"
    return {
        "label": standing.candidate.label,
        "cost": f"{cost.value:,.0f}",
        "cost_value": cost.value,
        "cost_interval": f"{cost.low:,.0f} to {cost.high:,.0f}",
        "right": f"{right.value:.1%}",
        "right_value": right.value,
        "right_interval": f"{100 * right.low:.1f} to {100 * right.high:.1f}",
        "difference": "" if chosen else points(standing.against),
        "difference_value": standing.against.value,
        "difference_interval": "" if chosen else points_interval(standing.against),
        "share": f"{standing.share:.0%}",
        "share_value": standing.share,
        "mark": f"{front}, not told apart" if alike else front,
        "faint": front == "dominated",
    }
