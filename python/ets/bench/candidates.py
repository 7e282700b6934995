"""What may be run: every setting of one or several runs, over the problems that all have."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ets.answer import VoteMethod
from ets.bench.contents import finished_rows, grid_of
from ets.bench.grid import INDEPENDENT, Cell, Grid
from ets.bench.independent import narrower, narrower_widths
from ets.bench.run_folder import RunFolder
from ets.bench.searching import Row
from ets.bench.summary import votes_of_cell, whole_problems
from ets.errors import InputError
from ets.search.toml import NO_PRM

Floats = NDArray[np.float64]
_STOPS = ("until", "budget", "straggler", "kv_budget")
"""Arguments of a search by which how many samples there are depends on more than the width."""


@dataclass(frozen=True, slots=True)
class Spent:
    """What each search of a candidate took, float64[problems, seeds] each."""

    policy_tokens: Floats
    """Sampled."""
    prm_tokens: Floats
    """Read by the PRM and not taken from its cache, and written by it; 0 without a PRM."""
    kv: Floats
    """KV tokens before selection, summed over the steps."""
    policy_seconds: Floats | None
    """With a sample in flight; None where the rows do not say it, or are of more samples."""
    prm_seconds: Floats | None
    """With a scoring in flight; 0 without a PRM, None as above."""
    selection_seconds: Floats | None
    """Pruning and clustering; None as above."""

    @property
    def seconds(self) -> Floats | None:
        """All three."""
        parts = (self.policy_seconds, self.prm_seconds, self.selection_seconds)
        known = [part for part in parts if part is not None]
        return sum(known[1:], known[0]) if len(known) == len(parts) else None


@dataclass(frozen=True, slots=True)
class Candidate:
    """One way to search: a strategy with its settings, a width, and how its trajectories vote."""

    grid: Grid
    """Of the run that it was searched in."""
    run: str
    """That run's name, where there are several; else empty."""
    cell: Cell
    vote: VoteMethod
    scored: bool
    """Whether it needs the PRM: samples that vote by majority do not."""
    sampled: int | None
    """The width of the search that its samples are of; None: it was searched itself."""
    right: Floats = field(repr=False)
    """float64[problems, seeds]: 1 where the vote is right; of fewer samples the mean of groups."""
    spent: Spent = field(repr=False)

    @property
    def label(self) -> str:
        """`best-of-n width=4, majority`."""
        prefix = f"{self.run}: " if self.run else ""
        return f"{prefix}{self.cell.label}, {self.vote}"

    @property
    def votes_only(self) -> bool:
        """Whether it samples and votes, without a search."""
        return self.cell.name == INDEPENDENT


@dataclass(frozen=True, slots=True)
class Candidates:
    """All that may be run, in the order of their labels."""

    each: tuple[Candidate, ...]
    problems: int
    """Searched by every candidate with every seed."""
    seeds: int
    left_out: tuple[str, ...]
    """Labels of cells without a finished problem."""
    machines: tuple[str, ...]
    """Those that the runs began on: seconds compare on one machine alone."""
    banked: bool
    """Whether samples or scorings came from a bank, so that times say nothing of an engine."""


def candidates_of(runs: Sequence[RunFolder]) -> Candidates:
    """What the rows of one or several runs over the same problems tell of.

    Every cell votes as its run does, independent samples in each of the three ways; widths below
    a sampled one are there too, by groups of its samples (`ets.bench.independent`). Problems are
    known by key, and those that have not been searched by every cell with every seed that all runs
    have are left out.

    # Errors
    `InputError` for replays, for problems of one key that read differently, and where no problem,
    or no seed, is in all of the runs.
    """
    read = [_Read.of(run, name) for run, name in zip(runs, _names(runs), strict=True)]
    _check_alike(runs)
    seeds = sorted(set.intersection(*(set(one.grid.seeds) for one in read)))
    if not seeds:
        raise InputError("the runs have no seed in common")
    searched = [
        (one, cell, found) for one in read for cell in one.cells if (found := one.of_cell(cell))
    ]
    if not searched:
        raise InputError("the runs have no problem that was searched with every seed")
    common = set.intersection(*(set(found) for _, _, found in searched))
    if not common:
        raise InputError(
            "no problem was searched by every cell with every seed: finish the runs with ets bench"
        )
    keys = sorted(common, key=lambda key: (isinstance(key, str), key))
    widths = sorted({cell.width for _, cell, _ in searched})
    each = [
        candidate
        for one, cell, found in searched
        for candidate in _of_cell(one, cell, _Table(found, keys, seeds), widths)
    ]
    return Candidates(
        each=tuple(sorted(each, key=lambda candidate: candidate.label)),
        problems=len(keys),
        seeds=len(seeds),
        left_out=tuple(
            one.prefix + c.label for one in read for c in one.cells if not one.of_cell(c)
        ),
        machines=tuple(dict.fromkeys(_machine(run) for run in runs)),
        banked=any(one.banked for one in read),
    )


@dataclass(frozen=True, slots=True)
class _Read:
    """A run."""

    name: str
    grid: Grid
    whole: dict[str, dict[Any, dict[int, Row]]]
    banked: bool

    @classmethod
    def of(cls, run: RunFolder, name: str) -> _Read:
        if "replay_of" in run.config["dataset"]:
            raise InputError(
                f"{run.path} is a replay, whose searches lack what was not recorded: choose from "
                "runs of ets bench"
            )
        grid = grid_of(run)
        rows = finished_rows(run, grid)
        usages = [row["usage"] for row in rows]
        banked = any(usage["policy_banked"] or usage["prm_banked"] for usage in usages)
        return cls(name, grid, whole_problems(grid, rows), banked)

    @property
    def cells(self) -> list[Cell]:
        return self.grid.cells()

    @property
    def prefix(self) -> str:
        return f"{self.name}: " if self.name else ""

    def of_cell(self, cell: Cell) -> dict[Any, dict[int, Row]]:
        return self.whole.get(cell.label, {})


@dataclass(frozen=True, slots=True)
class _Table:
    """A cell's rows by problem and seed."""

    found: dict[Any, dict[int, Row]]
    keys: list[Any]
    seeds: list[int]

    def rows(self) -> list[Row]:
        return [self.found[key][seed] for key in self.keys for seed in self.seeds]

    def of(self, value: Callable[[Row], float]) -> Floats:
        """float64[problems, seeds]"""
        shape = len(self.keys), len(self.seeds)
        return np.array([value(row) for row in self.rows()], dtype=np.float64).reshape(shape)


def _of_cell(of: _Read, cell: Cell, table: _Table, widths: list[int]) -> Iterator[Candidate]:
    """A cell by each of its votes; the widest of samples stands for the widths below it, too."""
    fewer, votes = [], votes_of_cell(of.grid, cell)
    if any(of.grid.search.get(name) is not None for name in _STOPS):
        votes = votes[:1]  # what stops a search may look at the votes that the run counts
    elif cell.width == max(of.grid.widths):  # a width that was searched itself is there already
        below = narrower_widths(cell, table.rows(), widths)
        fewer = [width for width in below if width not in of.grid.widths]
    for how in votes:
        yield (whole := _searched(of, cell, how, table))
        for width in fewer:
            if width > 1 or how == "majority":  # one sample is its own majority, without a PRM
                yield _narrower(whole, width, table)


def _searched(of: _Read, cell: Cell, how: VoteMethod, table: _Table) -> Candidate:
    samples_alone = cell.name == INDEPENDENT and how == "majority"
    scored = not samples_alone and of.grid.search.get("prm") != NO_PRM
    right = table.of(lambda row: row["right"][how])
    return Candidate(of.grid, of.name, cell, how, scored, None, right, _spent(table, scored))


def _narrower(of: Candidate, width: int, table: _Table) -> Candidate:
    """Fewer of the samples of `of`."""
    made = [narrower(row, width, of.vote) for row in table.rows()]
    policy, kv, right = (
        np.array([getattr(one, name) for one in made], dtype=np.float64).reshape(of.right.shape)
        for name in ("policy_tokens", "kv", "right")
    )
    # Each sample is scored by itself: n of them read what one reads n times, but for the problem.
    prm = of.spent.prm_tokens * (width / of.cell.width)
    return replace(
        of,
        cell=Cell(of.cell.name, (("width", width),)),
        sampled=of.cell.width,
        right=right,
        spent=Spent(policy, prm, kv, None, None, None),
    )


def _spent(table: _Table, scored: bool) -> Spent:
    policy_tokens = table.of(lambda row: row["usage"]["policy_tokens"])
    nothing = np.zeros_like(policy_tokens)
    timed = all("policy_seconds" in row and "prm_seconds" in row for row in table.rows())
    return Spent(
        policy_tokens=policy_tokens,
        prm_tokens=table.of(_prm_tokens) if scored else nothing,
        kv=table.of(lambda row: row["kv"]["before"]["sum"]),
        policy_seconds=table.of(lambda row: row["policy_seconds"]) if timed else None,
        prm_seconds=(table.of(lambda row: row["prm_seconds"]) if scored else nothing)
        if timed
        else None,
        selection_seconds=table.of(lambda row: row["select_seconds"] + row["cluster_seconds"])
        if timed
        else None,
    )


def _prm_tokens(row: Row) -> float:
    usage = row["usage"]
    read = usage["prm_tokens"] - usage["prm_cached_tokens"]
    return float(read + usage.get("prm_written_tokens", 0))


def _check_alike(runs: Sequence[RunFolder]) -> None:
    known: dict[Any, Any] = {}
    for run in runs:
        for problem in run.problems():
            said = (problem.posed, problem.expected)
            if known.setdefault(problem.key, said) != said:
                raise InputError(
                    f"{run.path} has another problem, or another answer, under the key "
                    f"{problem.key!r:.80} than the runs before it"
                )


def _names(runs: Sequence[RunFolder]) -> list[str]:
    """As short as they can be told apart."""
    if len(runs) == 1:
        return [""]
    names = [run.path.name for run in runs]
    names = names if len(set(names)) == len(names) else [str(run.path) for run in runs]
    if len(set(names)) < len(names):
        raise InputError("a run is given twice")
    return names


def _machine(run: RunFolder) -> str:
    machine = run.config.get("machine", {})
    return ", ".join(str(machine.get(name, "?")) for name in ("cpu", "cpus", "system"))
