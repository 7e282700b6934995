"""Recorded searches decided anew under other settings, without a model."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ets.answer.tally import Tally
from ets.bench.bank import SampleBank
from ets.bench.banked import banked_vector, embedder_identity
from ets.bench.contents import finished_rows, grid_of, tree_of
from ets.bench.grid import Grid
from ets.bench.measure import measure
from ets.bench.packed_tree import pack_tree
from ets.bench.recording import Recording, Vector
from ets.bench.run_folder import RunFolder
from ets.bench.searching import Found, Row
from ets.embed import load_embedder
from ets.engines.protocols import InstantEmbedder
from ets.errors import InputError
from ets.prm import load_prm
from ets.prm.policy import PolicyPRM, asks_policy
from ets.problems.problem import Problem
from ets.rollout.result import SearchResult
from ets.rollout.usage import Usage
from ets.tree_search.search import TreeSearch

_OF_ENGINES = ("policy_seconds", "prm_seconds")
"""What a row says of engines' time: there are none."""
_COMPUTED = ("lexical", "demo")
"""Embedders that need no model."""
_UNLIKE_A_REPLAY = ("budget", "straggler", "until")
"""Arguments by which a search depends on more than its samples."""


def replayed_grid(run: RunFolder, settings: Mapping[str, Any], embedder: str | None = None) -> Grid:
    """The run's own grid with other strategies, widths and lambdas, and maybe another embedder.

    # Errors
    `InputError` for a run whose searches followed from more than their samples (a budget,
    stragglers, a shared KV cache), and for settings that are none.
    """
    search = dict(grid_of(run).search)
    for name in _UNLIKE_A_REPLAY:
        if search.get(name):
            raise InputError(
                f"{run.path} cannot be replayed: its searches had {name}={search[name]!r}, so that "
                "they do not follow from their samples alone"
            )
    if search.get("kv_budget") == "auto":
        raise InputError(
            f"{run.path} cannot be replayed: its searches shared a KV cache (kv_budget='auto')"
        )
    if embedder is not None:
        search = {key: value for key, value in search.items() if key != "embedder_options"}
        search["embedder"] = embedder
    return grid_of(run, {"search": search, **settings})


class Replay:
    """The searches of a run under the cells of another grid.

    Embeddings, where a strategy needs them, are computed if the embedder is `lexical`; those of a
    model come from `bank`, the sample bank of the run.

    Raises `InputError` for an embedder that is a model, where there is no bank.
    """

    def __init__(self, run: RunFolder, grid: Grid, bank: SampleBank | None = None) -> None:
        self._run, self._grid = run, grid
        self._tally = Tally.of(grid.search)
        self._vector = _vector(grid, bank)
        self.samples = 0
        """Recorded in the run, each counted once; of the searches replayed so far."""
        self.other_steps = 0
        """Records of a step that another strategy's search has otherwise."""
        self.other_rewards = 0
        """Records of the same step with another reward."""

    def found(self) -> Iterator[Found]:
        """A row for each search as those of a run, with `replay`: the samples `asked` for, and how
        many of them were `recorded`; and its tree, packed.

        # Errors
        `InputError` for a search that the run has no tree of, and for a bank without vectors of
        the run's embedder.
        """
        for seed, problem, recording, trees in _recordings(self._run):
            self.samples += len(recording)
            self.other_steps += recording.other_steps
            self.other_rewards += recording.other_rewards
            for cell in self._grid.cells():
                begin = time.perf_counter()
                own = trees.get(cell.label)
                tree, reach = recording.replay(cell.strategy(), self._vector, own)
                result = SearchResult.of(
                    tree, self._tally, problem=problem.text, usage=_usage(tree)
                )
                result.usage.seconds = time.perf_counter() - begin
                row = measure(cell, seed, problem, result)
                for name in _OF_ENGINES:
                    del row[name]
                yield {**row, "replay": asdict(reach)}, pack_tree(tree)


def _recordings(
    run: RunFolder,
) -> Iterator[tuple[int, Problem, Recording, dict[str, TreeSearch]]]:
    """The searches of each problem and seed, pooled and by cell, in the order of the rows."""
    together: dict[tuple[int, str | int], list[Row]] = {}
    grid = grid_of(run)
    judge = _judge(grid)
    given = {problem.key: problem.posed for problem in run.problems()}
    for row in finished_rows(run, grid):
        together.setdefault((row["seed"], row["id"]), []).append(row)
    for (seed, key), rows in together.items():
        recording = None
        trees = {}
        for row in rows:
            tree = tree_of(run, row, grid, given)
            if tree is None:
                raise InputError(
                    f"{run.path} has no tree of {row['cell']}, seed {seed}, problem {key!r}; the "
                    "run was made with --no-trees"
                )
            trees[row["cell"]] = tree
            if recording is None:
                recording = Recording(tree, judge)
            else:
                recording.add(tree)
        if recording is not None:
            yield seed, Problem("", rows[0]["expected"], key), recording, trees


def _judge(grid: Grid) -> PolicyPRM | None:
    """The PRM of a run whose policy was its own."""
    name = grid.search.get("prm", "demo")
    if not asks_policy(name):
        return None
    prm = load_prm(name, **grid.search.get("prm_options", {}))
    return prm if isinstance(prm, PolicyPRM) else None


def _vector(grid: Grid, bank: SampleBank | None) -> Vector | None:
    if not any(cell.strategy().needs_embeddings for cell in grid.cells()):
        return None
    name = grid.search.get("embedder", "lexical")
    if name.partition("?")[0] in _COMPUTED:
        embedder = load_embedder(name, policy=None, **grid.search.get("embedder_options", {}))
        if isinstance(embedder, InstantEmbedder):
            return embedder.vector
    if bank is not None:
        return _BankedVectors(bank, grid)
    raise InputError(
        f"the run's embedder {name!r} is a model, which a replay has not: give --bank, the file in "
        "which the run kept its vectors, --embedder lexical, or strategies that need none (ets-kv)"
    )


class _BankedVectors:
    """The vectors that a run's embedder gave."""

    def __init__(self, bank: SampleBank, grid: Grid) -> None:
        self._bank, self._model = bank, embedder_identity(grid.search)
        self._name = grid.search["embedder"]
        self._any = False

    def __call__(self, text: str) -> NDArray[np.float32] | None:
        found = banked_vector(self._bank, self._model, text)
        # The first sample of a search is embedded by every strategy that embeds.
        if found is None and not self._any:
            raise InputError(
                f"{self._bank.path} has no vector by {self._name!r} of the first step of the run: "
                "give the bank of this run, made by a strategy that embeds (ets)"
            )
        self._any = True
        return found


def _usage(tree: TreeSearch) -> Usage:
    """What the search would have asked of engines; what it would have read is not known."""
    usage = Usage()
    for depth, level in enumerate(tree.nodes.levels[1:], start=1):
        step = usage.at(depth)
        step.policy_calls = step.prm_calls = len(level)
        step.policy_tokens = sum(tree.nodes.tokens[node] for node in level)
    return usage
