"""Two runs, problem by problem: what they have in common, and how far they differ there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ets.answer import VoteMethod
from ets.bench.contents import finished_rows, grid_of
from ets.bench.grid import Cell, Grid
from ets.bench.run_folder import RunFolder, differences
from ets.bench.statistics import Interval, mcnemar, paired_bootstrap, paired_ratio, wilson
from ets.bench.summary import Row
from ets.errors import InputError
from ets.shown.redaction import without_secrets

Searches = dict[tuple[Any, int], tuple[Row, Row]]
"""[problem, seed]: the row of either run."""


@dataclass(frozen=True, slots=True)
class Flip:
    """A search that is right in one run and wrong in the other."""

    cell: Cell
    seed: int
    problem: Any
    """Its key."""
    gained: bool
    """Right in the second run; else in the first."""
    first: str | None
    """The answers of the two."""
    second: str | None


@dataclass(frozen=True, slots=True)
class Pair:
    """One cell in both runs, over the problems and seeds that both have."""

    cell: Cell
    problems: int
    seeds: int
    first: Interval
    """Accuracy of the first run, Wilson's interval over the problems."""
    second: Interval
    difference: Interval
    """Accuracy of the second less that of the first; a paired bootstrap's interval."""
    p_value: float
    """McNemar's, of the first seed in common."""
    kv_ratio: Interval | None
    """KV before selection of the first divided by the second's: above 1 the second needs less.
    None where a search has none."""
    first_tokens: float
    """Sampled by the policy and read by the PRM, mean of the searches."""
    second_tokens: float
    first_seconds: float
    second_seconds: float
    flips: tuple[Flip, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """What two runs have in common."""

    pairs: tuple[Pair, ...]
    """In the order of the first run's grid."""
    only_first: tuple[str, ...]
    """Cells, by label, that the second run has no finished problem of."""
    only_second: tuple[str, ...]
    unlike: int
    """Problems of one key whose text or answer differs: they are not compared."""
    differences: tuple[tuple[str, str, str], ...]
    """Configuration, data set, versions and machine: key, first, second, as JSON."""


def compare(first: RunFolder, second: RunFolder) -> Comparison:
    """Pair the searches of two runs by cell, problem and seed; each counts by its run's own vote.

    # Errors
    `InputError` where they have no search in common.
    """
    grids = grid_of(first), grid_of(second)
    found = finished_rows(first, grids[0]), finished_rows(second, grids[1])
    unlike = _unlike((first, second), found)
    rows = _by_cell(found[0], unlike), _by_cell(found[1], unlike)
    pairs = []
    for cell in grids[0].cells():
        mine, theirs = rows[0].get(cell.label, {}), rows[1].get(cell.label, {})
        if common := _whole({key: (mine[key], theirs[key]) for key in mine if key in theirs}):
            pairs.append(_pair(cell, common, (_vote(grids[0]), _vote(grids[1]))))
    if not pairs:
        raise InputError(
            f"{first.path} and {second.path} have no search in common: no cell, seed and problem "
            "that both of them finished"
        )
    paired = {pair.cell.label for pair in pairs}
    return Comparison(
        tuple(pairs),
        tuple(label for label in rows[0] if label not in paired),
        tuple(label for label in rows[1] if label not in paired),
        len(unlike),
        tuple(differences(_said(first), _said(second))),
    )


def _said(run: RunFolder) -> dict[str, Any]:
    names = ("configuration", "dataset", "versions", "machine")
    return {name: without_secrets(run.config.get(name, {})) for name in names}


def _vote(grid: Grid) -> VoteMethod:
    vote: VoteMethod = grid.search.get("vote", "weighted")
    return vote


def _unlike(runs: tuple[RunFolder, RunFolder], rows: tuple[list[Row], list[Row]]) -> set[Any]:
    """Keys that mean different problems in the two runs."""
    texts = [{p.key: p.posed for p in run.problems()} for run in runs]
    answers = [{row["id"]: row["expected"] for row in found} for found in rows]
    return {
        key
        for known in (texts, answers)
        for key in known[0]
        if key in known[1] and known[0][key] != known[1][key]
    }


def _by_cell(rows: Sequence[Row], without: set[Any]) -> dict[str, dict[tuple[Any, int], Row]]:
    found: dict[str, dict[tuple[Any, int], Row]] = {}
    for row in rows:
        if row["id"] not in without:
            found.setdefault(row["cell"], {})[row["id"], row["seed"]] = row
    return found


def _whole(common: Searches) -> Searches:
    """Those of the problems that have every seed that any of them has."""
    seeds = {seed for _, seed in common}
    return {
        (key, seed): rows
        for (key, seed), rows in common.items()
        if all((key, other) in common for other in seeds)
    }


def _pair(cell: Cell, common: Searches, votes: tuple[VoteMethod, VoteMethod]) -> Pair:
    keys = list(dict.fromkeys(key for key, _ in common))
    seeds = sorted({seed for _, seed in common})

    def table(which: int, of: Any) -> NDArray[np.float64]:
        """[problems, seeds]"""
        return np.array([[of(common[key, seed][which]) for seed in seeds] for key in keys], float)

    right = [table(at, lambda row, how=how: row["right"][how]) for at, how in enumerate(votes)]
    kv = [table(at, lambda row: row["kv"]["before"]["sum"]) for at in (0, 1)]
    accuracy = [wilson(float(r.mean(axis=1).sum()), len(keys)) for r in right]
    return Pair(
        cell,
        len(keys),
        len(seeds),
        accuracy[0],
        accuracy[1],
        paired_bootstrap(right[1], right[0]),
        mcnemar(right[1][:, 0], right[0][:, 0]),
        paired_ratio(kv[0], kv[1]) if kv[1].all() else None,
        float(table(0, _tokens).mean()),
        float(table(1, _tokens).mean()),
        float(table(0, lambda row: row["seconds"]).mean()),
        float(table(1, lambda row: row["seconds"]).mean()),
        _flips(cell, common, votes),
    )


def _flips(cell: Cell, common: Searches, votes: tuple[VoteMethod, VoteMethod]) -> tuple[Flip, ...]:
    found = []
    for (key, seed), (mine, theirs) in common.items():
        was, now = mine["right"][votes[0]], theirs["right"][votes[1]]
        if was != now:
            found.append(Flip(cell, seed, key, now, mine["answer"], theirs["answer"]))
    return tuple(found)


def _tokens(row: Mapping[str, Any]) -> float:
    usage = row["usage"]
    return float(usage["policy_tokens"] + usage["prm_tokens"] - usage["prm_cached_tokens"])
