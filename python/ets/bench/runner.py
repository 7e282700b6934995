"""Running a grid: every cell and seed over the problems, into a run folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ets.bench.contents import finished_rows
from ets.bench.dataset import fingerprint, load_dataset
from ets.bench.grid import Grid
from ets.bench.run_folder import RunFolder, key_of
from ets.bench.searching import Row, Todo, searched
from ets.errors import InputError
from ets.problems.problem import Problem

Watch = Callable[[Row | None, int, int], None]
"""Told of each row as it is written, and how many there are and will be; once before the first."""


def run(grid: Grid, folder: Path, watch: Watch) -> list[Row]:
    """Search what the folder does not have yet; all of its rows, in the order of the grid.

    # Errors
    Those of `load_dataset`, `RunFolder.open`, the engines and the searches. What was finished by
    then is in the folder.
    """
    problems = chosen_problems(grid)
    dataset = {"problems": len(problems), "sha256": fingerprint(problems)}
    with RunFolder.open(folder, grid.configuration(), dataset) as out:
        out.keep_problems(problems)
        done = {key_of(row) for row in finished_rows(out, grid, problems)}
        total = len(problems) * len(grid.cells()) * len(grid.seeds)
        watch(None, len(done), total)
        todo: Todo = {
            (cell, seed): missing
            for seed in grid.seeds
            for cell in grid.cells()
            if (missing := [p for p in problems if (cell.label, seed, p.key) not in done])
        }
        if todo and not out.may_write:
            raise InputError(
                f"{folder} cannot be written into, and {total - len(done)} searches "
                "are missing in it"
            )
        if todo:
            for row, tree in searched(grid, todo):
                out.add(row, tree)
                done.add(key_of(row))
                watch(row, len(done), total)
        rows = finished_rows(out, grid, problems)
        if {key_of(row) for row in rows} != done:
            raise InputError(
                f"{out.rows_file} was changed while this run wrote it: {len(rows)} of "
                f"{len(done)} rows are there"
            )
        return _in_order(grid, problems, rows)


def chosen_problems(grid: Grid) -> list[Problem]:
    """The problems of the data set that the grid has chosen.

    # Errors
    Those of `load_dataset`; `InputError` where there are fewer than wanted.
    """
    every = load_dataset(grid.dataset, split=grid.split, fields=grid.dataset_fields)
    end = None if grid.problems is None else grid.skip + grid.problems
    chosen = every[grid.skip : end]
    wanted = grid.problems or 1
    if len(chosen) < wanted:
        raise InputError(
            f"problems must be at most {max(0, len(every) - grid.skip)}, which {grid.dataset} has "
            f"behind the first {grid.skip}, got {wanted}"
        )
    return chosen


def _in_order(grid: Grid, problems: list[Problem], rows: list[Row]) -> list[Row]:
    places = {
        (cell.label, seed, problem.key): place
        for place, (seed, cell, problem) in enumerate(
            (seed, cell, problem)
            for seed in grid.seeds
            for cell in grid.cells()
            for problem in problems
        )
    }
    return sorted(rows, key=lambda row: places[key_of(row)])
