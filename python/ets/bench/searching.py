"""The searches of a benchmark, one cell and seed after the other, on engines that stay loaded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from ets.bench.engines import GridEngines, LocalEngines
from ets.bench.fleet import FleetEngines, fleet_of
from ets.bench.grid import Cell, Grid
from ets.bench.measure import measure
from ets.bench.packed_tree import pack_tree
from ets.dialogue import Posed, posed
from ets.errors import EngineLostError
from ets.problems.problem import Problem
from ets.rollout.shared_budget import SharedBudget
from ets.search.search import Search
from ets.search.toml import search_arguments

Row = dict[str, Any]
Todo = dict[tuple[Cell, int], list[Problem]]
"""[cell, seed]: the problems that are still to be searched."""
Found = tuple[Row, bytes | None]
"""The row of a search, and its tree, packed, where trees are kept."""
_ENGINES = {f"{kind}{end}" for kind in ("policy", "prm", "embedder") for end in ("", "_options")}
"""Arguments of a search that its engines are made of."""


def searched(grid: Grid, todo: Todo) -> Iterator[Found]:
    """What comes of each search, as it is finished.

    # Errors
    Those of the engines and searches.
    """
    embeds = any(cell.strategy().needs_embeddings for cell, _ in todo)
    of_grid = GridEngines(grid, embeds)
    in_workers = grid.workers > 1 or grid.ray is not None
    engines = (
        FleetEngines(fleet_of(grid.workers, grid.ray, grid.worker_options), of_grid)
        if in_workers
        else LocalEngines(of_grid)
    )
    with engines:
        for number, ((cell, seed), problems) in enumerate(todo.items()):
            if number:
                # The cell before has left the same problems' prefixes there, and which cell reads
                # them first must not show in anyone's tokens and times. A server's cannot be
                # emptied from here.
                engines.forget_prefixes()
            yield from _of_cell(grid, cell, seed, problems, engines)


def _of_cell(
    grid: Grid, cell: Cell, seed: int, problems: list[Problem], engines: LocalEngines | FleetEngines
) -> Iterator[Found]:
    given = {k: v for k, v in search_arguments(grid.search).items() if k not in _ENGINES}
    waiting: dict[Posed, list[Problem]] = {}
    for problem in problems:
        waiting.setdefault(problem.posed, []).append(problem)
    tokens = grid.shared_tokens
    shared = None if tokens is None else SharedBudget(tokens=tokens)
    with Search(strategy=cell.strategy(), seed=seed, **given, **engines.arguments) as search:
        asked = [problem.posed for problem in problems]
        at_once = grid.concurrency * grid.workers
        stream = search.map(asked, concurrency=at_once, ordered=False, budget=shared)
        # Who has how much of a shared budget follows from all of them, so they are kept together.
        for result in stream if shared is None else list(stream):
            if result.lost is not None:  # a run that goes on later searches it again
                raise EngineLostError(result.lost)
            # Two problems that read alike have one search twice, so either may have either.
            problem = waiting[posed("problem", result.problem)].pop()
            tree = pack_tree(result.tree) if grid.keeps_trees else None
            row = measure(cell, seed, problem, result)
            if loads := engines.loads():
                row["engines"] = {name: asdict(load) for name, load in loads.items()}
            yield row, tree
