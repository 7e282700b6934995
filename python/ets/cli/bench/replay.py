"""`ets replay`: recorded searches under other settings."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ets.answer import VoteMethod
from ets.bench.bank import SampleBank
from ets.bench.grid import Cell, Grid
from ets.bench.replay import Replay, replayed_grid
from ets.bench.run_folder import RunFolder, key_of
from ets.bench.searching import Row
from ets.bench.summary import summarise
from ets.cli.bench.run import print_lines, print_table
from ets.cli.output import Output


@dataclass(frozen=True, slots=True)
class Reached:
    """How far the recorded samples reached for one cell."""

    cell: Cell
    reach: float
    """The share of the samples asked for that were recorded."""
    whole: float
    """The share of the searches that found all of theirs: these are what a search would be."""
    right_of_whole: float | None
    """The share of those that are right; None where there are none."""


def run_replay(
    folder: Path,
    settings: dict[str, Any],
    embedder: str | None,
    out: Path | None,
    output: Output,
) -> None:
    """Replay a run, print a line for each strategy, and how far each got."""
    run = RunFolder(folder)
    grid = replayed_grid(run, settings, embedder)
    with ExitStack() as stack:
        bank = None
        if grid.bank is not None:
            bank = stack.enter_context(SampleBank(grid.bank, read_only=True))
        replay = Replay(run, grid, bank)
        rows = _rows(run, grid, replay, out, output)
    lines, reached = summarise(grid, rows), reach_of(grid, rows)
    if output.as_json:
        by_cell = {item.cell: item for item in reached}
        doubts = {"other_steps": replay.other_steps, "other_rewards": replay.other_rewards}
        for line in lines:
            here = asdict(by_cell[line.cell])
            output.json({**asdict(line), **here, **doubts, "cell": line.cell.label})
        return
    print_lines(lines, output)
    head = ("", "samples recorded", "searches in full", "right of those")
    output.console.print()
    print_table([head, *map(_cells, reached)], 1, output)
    output.console.print(f"\n{_totals(folder, rows, replay)}", soft_wrap=True, markup=False)


def reach_of(grid: Grid, rows: Sequence[Row]) -> list[Reached]:
    """How far the recorded samples reached, in the order of the grid."""
    how: VoteMethod = grid.search.get("vote", "weighted")
    found = []
    for cell in grid.cells():
        here = [row for row in rows if row["cell"] == cell.label]
        if not here:
            continue
        whole = [row for row in here if row["replay"]["asked"] == row["replay"]["recorded"]]
        asked = sum(row["replay"]["asked"] for row in here)
        recorded = sum(row["replay"]["recorded"] for row in here)
        found.append(
            Reached(
                cell,
                recorded / asked if asked else 1.0,
                len(whole) / len(here),
                fmean(row["right"][how] for row in whole) if whole else None,
            )
        )
    return found


def _rows(
    run: RunFolder, grid: Grid, replay: Replay, out: Path | None, output: Output
) -> list[Row]:
    searches = len({(row["seed"], row["id"]) for row in run.rows()}) * len(grid.cells())
    rows = []
    with ExitStack() as stack:
        progress = stack.enter_context(
            Progress(
                TextColumn("replaying"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                console=output.progress,
                transient=True,
                disable=not output.live,
            )
        )
        task = progress.add_task("", total=searches)
        copy, there = None, set()
        if out is not None:
            dataset = {**run.config["dataset"], "replay_of": str(run.path)}
            copy = stack.enter_context(RunFolder.open(out, grid.configuration(), dataset))
            copy.keep_problems(run.problems())
            there = {key_of(row) for row in copy.rows()}
        for row, tree in replay.found():
            rows.append(row)
            if copy is not None and key_of(row) not in there:
                copy.add(row, tree)
            progress.update(task, advance=1)
    return rows


def _cells(reached: Reached) -> tuple[str, ...]:
    right = reached.right_of_whole
    return (
        reached.cell.label,
        f"{reached.reach:.1%}",
        f"{reached.whole:.1%}",
        "" if right is None else f"{right:.1%}",
    )


def _totals(folder: Path, rows: Sequence[Row], replay: Replay) -> str:
    text = (
        f"{folder}: {len(rows)} searches replayed from {replay.samples:,} recorded samples. What "
        "was not recorded is given up, which leaves fewer solutions: where few searches were "
        "replayed in full, search anew. s: of the replay; PRM tokens: not known."
    )
    if replay.other_steps or replay.other_rewards:
        text += (
            f" Strategies recorded {replay.other_steps:,} samples with another step and "
            f"{replay.other_rewards:,} with another reward than the first to record them (an "
            "engine whose batches round differently): a strategy of the run is replayed from its "
            "own records, others from the first."
        )
    return text
