"""Running a grid: every cell and seed over the problems, into a run folder."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from ets.bench.bank import SampleBank, digest, identity
from ets.bench.banked import BankedEmbedder, BankedPolicy, BankedPRM
from ets.bench.dataset import fingerprint, load_dataset
from ets.bench.grid import Cell, Grid
from ets.bench.measure import measure
from ets.bench.run_folder import RunFolder, key_of
from ets.config import search_arguments
from ets.embed import Embedder, InstantEmbedder, load_embedder
from ets.errors import InputError
from ets.policy import Policy, load_policy
from ets.prm import PRM, load_prm
from ets.problems import Problem
from ets.search import Search

Row = dict[str, Any]
Watch = Callable[[Row | None, int, int], None]
"""Told of each row as it is written, and how many there are and will be; once before the first."""


def run(grid: Grid, folder: Path, watch: Watch) -> list[Row]:
    """Search what the folder does not have yet; all of its rows, in the order of the grid.

    # Errors
    Those of `load_dataset`, `RunFolder.open`, the engines and the searches. What was finished by
    then is in the folder.
    """
    problems = _chosen(grid)
    dataset = {"problems": len(problems), "sha256": fingerprint(problems)}
    with RunFolder.open(folder, grid.configuration(), dataset) as out:
        done = {key_of(row) for row in out.rows()}
        total = len(problems) * len(grid.cells()) * len(grid.seeds)
        watch(None, len(done), total)
        todo = {
            (cell, seed): missing
            for seed in grid.seeds
            for cell in grid.cells()
            if (missing := [p for p in problems if (cell.label, seed, p.key) not in done])
        }
        if todo:
            with _Engines(grid, [cell for cell, _ in todo]) as engines:
                for (cell, seed), missing in todo.items():
                    for row in engines.search(cell, seed, missing, grid.concurrency):
                        out.add(row)
                        done.add(key_of(row))
                        watch(row, len(done), total)
        return _in_order(grid, problems, out.rows())


def _chosen(grid: Grid) -> list[Problem]:
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


class _Engines:
    """Policy, PRM and embedder, loaded once for all searches."""

    def __init__(self, grid: Grid, cells: list[Cell]) -> None:
        self._grid = grid
        self._arguments = search_arguments(grid.search)
        self._wants_vectors = any(cell.strategy().needs_embeddings for cell in cells)
        self._end = ExitStack()

    def __enter__(self) -> _Engines:
        with ExitStack() as stack:  # which, if one cannot be loaded, closes those before it
            self._load(stack)
            self._end = stack.pop_all()
        return self

    def _load(self, stack: ExitStack) -> None:
        given, grid = self._arguments, self._grid
        bank = None
        if grid.bank is not None:
            size = int(grid.bank_gib * (1 << 30))
            bank = SampleBank(grid.bank, read_only=grid.bank_read_only, max_bytes=size)
            stack.enter_context(bank)
        name, options = given.pop("policy", "demo"), given.pop("policy_options", {})
        policy = load_policy(name, **options)
        stack.callback(_close, policy)
        model = identity(name, options)
        given["policy"] = policy if bank is None else BankedPolicy(policy, bank, model)
        name, options = given.pop("prm", "demo"), given.pop("prm_options", {})
        prm = load_prm(name, **options)
        stack.callback(_close, prm)
        given["prm"] = prm if bank is None else BankedPRM(prm, bank, identity(name, options))
        name, options = given.pop("embedder", "lexical"), given.pop("embedder_options", {})
        if self._wants_vectors:
            embedder = load_embedder(name, policy=policy, **options)
            stack.callback(_close, embedder)
            # One that answers at once is faster than a bank.
            if bank is not None and not isinstance(embedder, InstantEmbedder):
                whose = model if name == "policy" else b""
                embedder = BankedEmbedder(embedder, bank, digest(whose, identity(name, options)))
            given["embedder"] = embedder

    def __exit__(self, *exc: object) -> None:
        self._end.close()

    def search(
        self, cell: Cell, seed: int, problems: list[Problem], concurrency: int
    ) -> Iterator[Row]:
        """The rows of these problems, as they are finished."""
        waiting: dict[str, list[Problem]] = {}
        for problem in problems:
            waiting.setdefault(problem.text, []).append(problem)
        with Search(strategy=cell.strategy(), seed=seed, **self._arguments) as search:
            texts = [problem.text for problem in problems]
            for result in search.map(texts, concurrency=concurrency, ordered=False):
                # Two problems of one text have one search twice, so either may have either.
                problem = waiting[result.problem].pop()
                yield measure(cell, seed, problem, result)


def _close(engine: Policy | PRM | Embedder) -> None:
    asyncio.run(engine.aclose())
