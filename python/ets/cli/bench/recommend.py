"""`ets tune --by`: what to run, of everything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ets.bench.advice import advice, as_toml, points
from ets.bench.candidates import Candidates, candidates_of
from ets.bench.cost import Cost, Currency
from ets.bench.grid import Grid
from ets.bench.kept_file import write_whole
from ets.bench.recommendation import Limit, Recommendation, recommend
from ets.bench.run_folder import RunFolder
from ets.bench.standing import Standing
from ets.bench.tune import toml_writer
from ets.cli.bench.run import print_table, run_grid
from ets.cli.output import Output
from ets.errors import InputError

RECOMMENDED, SIMPLEST = "recommended.toml", "simplest.toml"


def asked_limit(
    by: Currency | None, at_most: float | None, within: float | None, prm_weight: str | None
) -> Limit | None:
    """What the options of a command ask for, `within` in points; None where they are silent.

    # Errors
    `InputError` for a value out of range, and a weight that tokens alone have.
    """
    if by is None and at_most is None and within is None and prm_weight is None:
        return None
    if prm_weight is not None and by not in (None, "tokens"):
        raise InputError(f"--prm-weight weighs tokens: it has no meaning with --by {by}")
    share = None if within is None else within / 100
    if share is not None and not 0 <= share <= 1:
        raise InputError(f"--within must be a number of points in [0, 100], got {within:g}")
    cost = Cost(by=by or "tokens", prm_weight=_weight(prm_weight))
    return Limit(cost=cost, at_most=at_most, within=share)


def run_recommend(grid: Grid | None, folders: Sequence[Path], limit: Limit, output: Output) -> None:
    """Search what is missing, if there is a grid; choose, print, and write the choice as a file.

    # Errors
    `InputError` for a grid and several folders.
    """
    toml_writer()
    if grid is not None:
        if len(folders) > 1:
            raise InputError(
                f"RUN must be one folder where options say what is searched, got {len(folders)}: "
                "search each with ets bench, then give ets tune the folders alone"
            )
        run_grid(grid, folders[0], output)
    candidates = candidates_of([RunFolder(folder) for folder in folders])
    found = recommend(candidates, limit)
    files = {RECOMMENDED: found.chosen} | ({SIMPLEST: found.simplest} if found.undecided else {})
    for name, standing in files.items():
        write_whole(folders[0] / name, as_toml(standing.candidate).encode())
    if not found.undecided:  # one of an earlier choice
        (folders[0] / SIMPLEST).unlink(missing_ok=True)
    if output.as_json:
        output.json(_as_json(found, {name: str(folders[0] / name) for name in files}))
        return
    print_frontier(found, output)
    said = "\n".join((*advice(found), *(str(folders[0] / name) for name in files)))
    output.console.print(f"\n{said}", soft_wrap=True, markup=False)
    for note in notes(candidates, found):
        output.note(note)


def print_frontier(found: Recommendation, output: Output) -> None:
    """A line for each candidate, the cheapest first: what beats it, and how often it is chosen."""
    cost = found.limit.cost
    head = (
        *("to run", cost.unit, "95%", "right", "95%", "to the chosen"),
        *(f"(of {found.comparisons} pairs)", "in draws", ""),
    )
    rows = [head, *(_cells(standing, found) for standing in found.standings)]
    print_table(rows, 1, output)


def notes(candidates: Candidates, found: Recommendation) -> list[str]:
    """What to know of the runs before trusting the choice."""
    said = []
    if candidates.left_out:
        said.append(f"Not finished, and left out: {', '.join(candidates.left_out)}.")
    if found.unpriced:
        said.append(
            f"Left out, since nobody measured their seconds: {', '.join(found.unpriced)}, which "
            "are parts of wider samples."
        )
    if found.limit.cost.by == "seconds":
        said.append(
            f"Seconds of {candidates.machines[0]}, beside the other searches in flight: they hold "
            "for this machine and this load alone."
        )
    elif candidates.banked and found.limit.cost.by == "tokens":
        said.append(
            "Samples or scorings came from a bank: tokens that the PRM's cache would have saved "
            "are those of whoever asked first."
        )
    return said


def _cells(standing: Standing, found: Recommendation) -> tuple[str, ...]:
    cost, right = standing.cost, standing.accuracy
    mine = standing is found.chosen
    value, _, interval = ("", "", "") if mine else points(standing.against).partition(" points, ")
    return (
        standing.candidate.label,
        _number(cost.value),
        f"{_number(cost.low)} to {_number(cost.high)}",
        f"{right.value:.1%}",
        f"{100 * right.low:.1f} to {100 * right.high:.1f}",
        value,
        interval,
        f"{standing.share:.0%}" if standing.share else "",
        _mark(standing, found),
    )


def _mark(standing: Standing, found: Recommendation) -> str:
    if standing is found.chosen:
        return "chosen"
    if not standing.affordable:
        return "too dear"
    alike = "" if standing.told_apart else ", not told apart"
    return f"{'frontier' if standing.dominated_by is None else 'dominated'}{alike}"


def _number(cost: float) -> str:
    return f"{cost:,.3g}" if cost < 100 else f"{cost:,.0f}"


def _as_json(found: Recommendation, files: dict[str, str]) -> dict[str, Any]:
    rivals, limit = found.rivals, found.limit
    return {
        "by": limit.cost.by,
        "prm_weight": limit.cost.prm_weight,
        "at_most": limit.at_most,
        "within": limit.loss,
        "problems": found.problems,
        "seeds": found.seeds,
        "chosen": found.chosen.candidate.label,
        "strategy": {
            "name": found.chosen.candidate.cell.name,
            **dict(found.chosen.candidate.cell.options),
        },
        "vote": found.chosen.candidate.vote,
        "prm": found.chosen.candidate.scored,
        "sample_and_vote": found.chosen.candidate.votes_only,
        "confidence": found.confidence,
        "cautious": found.cautious,
        "shortfall": found.shortfall,
        "outcome": asdict(found.outcome),
        "outcome_cost": found.outcome_cost,
        "undecided": found.undecided,
        "simplest": found.simplest.candidate.label,
        "problems_needed": found.problems_needed,
        "rivals": None
        if rivals is None
        else {
            "sampling": rivals.sampling.candidate.label,
            "search": rivals.search.candidate.label,
            "gain": asdict(rivals.gain),
            "told_apart": rivals.told_apart,
        },
        "comparisons": found.comparisons,
        "standings": [_standing(standing) for standing in found.standings],
        "advice": advice(found),
        "files": files,
    }


def _standing(standing: Standing) -> dict[str, Any]:
    said = {name: asdict(getattr(standing, name)) for name in ("accuracy", "cost", "against")}
    plain = ("told_apart", "dominated_by", "affordable", "share")
    return {
        "candidate": standing.candidate.label,
        **said,
        **{name: getattr(standing, name) for name in plain},
    }


def _weight(text: str | None) -> Any:
    if text is None or text == "measured":
        return 1.0 if text is None else text
    try:
        return float(text)
    except ValueError as error:
        raise InputError(
            f"--prm-weight must be a number >= 0, or measured, got {text!r}"
        ) from error
