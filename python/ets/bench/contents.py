"""What a run folder holds, held against its configuration before anything is made of it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, get_args

from ets.answer import VoteMethod
from ets.bench.grid import Grid
from ets.bench.run_folder import RunFolder
from ets.dialogue import Posed
from ets.errors import InputError
from ets.problems.problem import Problem
from ets.tree.seeds import problem_seed
from ets.tree_search.search import TreeSearch

_KV = ("sum", "mean", "peak")
_USAGE = (
    *("policy_calls", "policy_tokens", "prm_calls", "policy_banked", "prm_banked"),
    *("prm_tokens", "prm_cached_tokens"),
)
_LOAD = ("max_num_seqs", "max_num_batched_tokens", "peak_running")


def grid_of(run: RunFolder, changes: Mapping[str, Any] | None = None) -> Grid:
    """The grid of a run, maybe with other settings.

    # Errors
    `InputError` for a configuration that is none, and for settings that are none.
    """
    where = f"{run.config_file}: "
    said = run.config["configuration"]
    try:
        grid = Grid.read(said, where=where)
    except InputError as error:
        raise InputError(f"{where}{str(error).removeprefix(where)}") from error
    except (TypeError, AttributeError) as error:
        raise InputError(f"{where}the configuration is damaged: {error}") from error
    return Grid.read({**said, **changes}) if changes else grid


def finished_rows(
    run: RunFolder, grid: Grid, problems: Sequence[Problem] = ()
) -> list[dict[str, Any]]:
    """The rows of a run, each whole, and of a search that its grid and `problems` have.

    # Errors
    `InputError` with file and line for any other.
    """
    labels = {cell.label for cell in grid.cells()}
    keys = {problem.key for problem in problems or run.problems()}
    replay = "replay_of" in run.config["dataset"]
    rows = run.rows()
    for number, row in enumerate(rows, start=1):
        where = f"{run.rows_file}:{number}"
        if row["cell"] not in labels or row["seed"] not in grid.seeds:
            raise InputError(
                f"{where} is of the cell {row['cell']!r} and seed {row['seed']}, which the "
                "configuration of the run does not have"
            )
        if keys and row["id"] not in keys:
            raise InputError(f"{where} is of the problem {row['id']!r}, which the run has not")
        _check_row(row, where, replay=replay)
    return rows


def tree_of(
    run: RunFolder, row: Mapping[str, Any], grid: Grid, given: Mapping[Any, Posed]
) -> TreeSearch | None:
    """The tree of a row, by its grid and what the problems are by id; None where it was not kept.

    # Errors
    `InputError` for a file that is no tree, or the tree of another search.
    """
    tree = run.tree(row)
    if tree is None:
        return None
    strategy = next(cell.strategy() for cell in grid.cells() if cell.label == row["cell"])
    posed = given.get(row["id"])
    seed = tree.seed if posed is None else problem_seed(row["seed"], posed)
    kept = [solution.tokens for solution in tree.trajectories]
    if (tree.strategy, tree.seed, kept) != (strategy, seed, row.get("tokens", kept)):
        raise InputError(
            f"{run.tree_file(row)} is the tree of another search than {row['cell']}, seed "
            f"{row['seed']}, problem {row['id']!r}"
        )
    return tree


def _check_row(row: Mapping[str, Any], where: str, *, replay: bool) -> None:
    """`InputError`, which begins with `where` and names the field, unless a row is whole.

    What rows of older versions or of a replay lack may be absent, and is checked where it is there.
    """
    _texts(row, where, "expected", "answer", "note", optional=("note",))
    if not isinstance(row.get("end"), str):
        raise _wrong(row, "end", "a text", where)
    _integers(row, where, "steps")
    _numbers(row, where, "seconds", "cluster_seconds", "select_seconds")
    for name in ("policy_seconds", "prm_seconds"):
        if name in row:
            _numbers(row, where, name)
    right = _object(row, "right", where)
    for how in get_args(VoteMethod):
        if not isinstance(right.get(how), bool):
            raise _wrong(right, how, "true or false", f"{where}: right")
    for name, kind in (("classes", int), ("hits", bool), ("scores", float)):
        _list(row, name, kind, where)
    if not len(row["classes"]) == len(row["hits"]) == len(row["scores"]):
        raise InputError(f"{where}: classes, hits and scores must be equally long")
    if "samples" in row:
        _check_samples(_object(row, "samples", where), len(row["classes"]), f"{where}: samples")
    kv = _object(row, "kv", where)
    for name in ("before", "after"):
        _numbers(_object(kv, name, f"{where}: kv"), f"{where}: kv.{name}", *_KV)
    _numbers(_object(row, "usage", where), f"{where}: usage", *_USAGE)
    for name, load in _object({"engines": {}, **row}, "engines", where).items():
        if not isinstance(load, dict) or set(load) != {*_LOAD}:
            raise InputError(f"{where}: engines.{name} must hold {', '.join(_LOAD)}")
        _integers(load, f"{where}: engines.{name}", *_LOAD)
    if replay:
        _integers(_object(row, "replay", where), f"{where}: replay", "asked", "recorded")


def _check_samples(samples: Mapping[str, Any], count: int, where: str) -> None:
    _integers(samples, where, "prompt_tokens")
    for name in ("number", "steps", "kv"):
        _list(samples, name, int, where)
        if len(samples[name]) != count or any(value < 0 for value in samples[name]):
            raise InputError(f"{where}.{name} must hold {count} numbers from 0 on")
    if len(set(samples["number"])) < count:
        raise InputError(f"{where}.number holds a sample twice")


def _texts(row: Mapping[str, Any], where: str, *names: str, optional: tuple[str, ...]) -> None:
    for name in names:
        absent = name not in row and name not in optional
        if absent or not isinstance(row.get(name), str | None):
            raise _wrong(row, name, "a text or null", where)


def _object(row: Mapping[str, Any], name: str, where: str) -> Mapping[str, Any]:
    found = row.get(name)
    if not isinstance(found, dict):
        raise _wrong(row, name, "an object", where)
    return found


def _list(row: Mapping[str, Any], name: str, kind: type, where: str) -> None:
    found = row.get(name)
    if not isinstance(found, list):
        raise _wrong(row, name, "a list", where)
    for at, value in enumerate(found):
        fits = _is_number(value) if kind is float else type(value) is kind
        if not fits:
            raise InputError(f"{where}: {name}[{at}] must be {kind.__name__}, got {value!r}")


def _numbers(row: Mapping[str, Any], where: str, *names: str) -> None:
    for name in names:
        if not _is_number(row.get(name)):
            raise _wrong(row, name, "a number", where)


def _integers(row: Mapping[str, Any], where: str, *names: str) -> None:
    for name in names:
        if type(row.get(name)) is not int:
            raise _wrong(row, name, "an integer", where)


def _is_number(value: Any) -> bool:
    """Whether sums and means of it are numbers too."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) < 2**63 and math.isfinite(value)


def _wrong(row: Mapping[str, Any], name: str, right: str, where: str) -> InputError:
    got = f"got {row[name]!r:.80}" if name in row else "and it is not there"
    return InputError(f"{where}: {name} must be {right}, {got}")
