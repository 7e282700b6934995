"""A recommendation in plain words, and as a file that a search is made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ets.bench.candidates import Candidate
from ets.bench.cost import Cost
from ets.bench.recommendation import Limit, Recommendation, Rivals
from ets.bench.standing import Standing
from ets.bench.statistics import Interval
from ets.bench.tune import toml_writer
from ets.search.toml import NO_PRM
from ets.shown.redaction import without_secrets

_VOTES: Mapping[str, str] = {
    "majority": "Sample and vote: {n} independent samples and a majority vote, without a PRM",
    "weighted": "Sample, score and vote: {n} independent samples, whose votes the PRM weighs",
    "best": "Sample and score: of {n} independent samples the one that the PRM scores highest",
}


def as_toml(candidate: Candidate) -> str:
    """A candidate as a file that `ets.Search.from_toml` and `ets solve --config` read.

    Without the keys and passwords that the engines were given; without a PRM where it needs none.

    # Errors
    `MissingExtraError` without `tomli-w`.
    """
    dumps = toml_writer()
    cell = candidate.cell
    options = {key: value for key, value in cell.options if value is not None}  # TOML has no null
    said = dict(without_secrets(candidate.grid.search))
    if not candidate.scored:
        said.pop("prm_options", None)
        said["prm"] = NO_PRM
    arguments: Mapping[str, Any] = {
        **said,
        "vote": candidate.vote,
        "strategy": {"name": cell.name, **options},
    }
    return f"# Recommended by `ets tune`: {headline(candidate)}\n{dumps(arguments)}"


def headline(candidate: Candidate) -> str:
    """What to do, in one line."""
    if not candidate.votes_only:
        return f"Search: {candidate.label}"
    if candidate.cell.width == 1:
        return f"Sample once, without a PRM ({candidate.label})"
    stops = candidate.grid.search.get("until") is not None
    number = f"up to {candidate.cell.width}" if stops else str(candidate.cell.width)
    return f"{_VOTES[candidate.vote].format(n=number)} ({candidate.label})"


def advice(found: Recommendation) -> list[str]:
    """The recommendation in a handful of lines, with what the problems do and do not bear."""
    chosen, limit = found.chosen, found.limit
    payable = "" if limit.at_most is None else " that can be paid"
    seeds = "" if found.seeds == 1 else f", {found.seeds} seeds each"
    lines = [
        f"{headline(chosen.candidate)}.",
        f"{chosen.accuracy.value:.1%} right ({_percent(chosen.accuracy)}) of {found.problems} "
        f"problems{seeds}, {amount(chosen.cost.value, limit.cost)} a problem: {wanted(limit)}.",
        f"On problems that it did not see, choosing so comes to {found.outcome.value:.1%} "
        f"({_percent(found.outcome)}) at {amount(found.outcome_cost, limit.cost)}.",
        f"Confidence that it is {_near(limit)}{payable}: {found.cautious:.0%} to "
        f"{found.confidence:.0%}, without and with the luck of having been chosen by these "
        f"problems. With 95% confidence nothing{payable} is more than "
        f"{100 * found.shortfall:.1f} points better.",
    ]
    if found.undecided:
        lines.append(_undecided(found))
    if found.rivals is not None:
        lines.append(_rivalry(found.rivals))
    return lines


def amount(cost: float, unit: Cost) -> str:
    """`1,234 tokens`"""
    return f"{cost:,.3g} {unit.unit}" if cost < 100 else f"{cost:,.0f} {unit.unit}"


def wanted(limit: Limit) -> str:
    """What was asked for."""
    most = "" if limit.at_most is None else f" at no more than {amount(limit.at_most, limit.cost)}"
    return f"the cheapest {_near(limit)}{most}" if limit.loss else f"the best{most}"


def points(difference: Interval) -> str:
    """`+1.0 points, -2.0 to +4.0`"""
    value, low, high = (100 * x for x in (difference.value, difference.low, difference.high))
    return f"{value:+.1f} points, {low:+.1f} to {high:+.1f}"


def _near(limit: Limit) -> str:
    if not limit.loss:
        return "the best"
    return f"within {100 * limit.loss:g} {'point' if limit.loss == 0.01 else 'points'} of the best"


def _undecided(found: Recommendation) -> str:
    other, needed = found.simplest, found.problems_needed
    more = (
        "here it is as right"
        if needed is None
        else f"about {max(1, needed - found.problems):,} more would, if they differ as these do"
    )
    return (
        f"These {found.problems} problems cannot tell it from {other.candidate.label} "
        f"({points(other.against)}), which costs {_times(other, found.chosen)} as much: {more}. "
        f"Who pays only for what is shown takes that. {headline(other.candidate)}."
    )


def _rivalry(rivals: Rivals) -> str:
    gain = rivals.gain
    said = (
        f"Search against sampling, each at its best: {rivals.search.candidate.label} is "
        f"{100 * gain.value:+.1f} points to {rivals.sampling.candidate.label} "
        f"({100 * gain.low:+.1f} to {100 * gain.high:+.1f}), at "
        f"{_times(rivals.search, rivals.sampling)} the cost"
    )
    if rivals.told_apart:
        return f"{said}: {'search' if gain.value > 0 else 'sampling'} is more accurate."
    dear = rivals.search.cost.value > rivals.sampling.cost.value
    cheaper = "sampling is no dearer" if dear else "search is no dearer"
    return f"{said}: these problems do not tell which is more accurate; {cheaper}."


def _times(one: Standing, other: Standing) -> str:
    ratio = one.cost.value / other.cost.value if other.cost.value else 1.0
    return f"{ratio:.2f} times"


def _percent(share: Interval) -> str:
    return f"{100 * share.low:.1f} to {100 * share.high:.1f}"
