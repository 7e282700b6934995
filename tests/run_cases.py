"""Run folders, made by hand or by `ets bench` over scripted engines, and what is read from them."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ets.bench.dataset import fingerprint
from ets.bench.grid import Grid
from ets.bench.run_folder import RunFolder
from ets.problems.problem import Problem

SCRIPTED = [sys.executable, str(Path(__file__).parent / "bench_scripted.py"), "bench"]
TIMES = ("seconds", "policy_seconds", "prm_seconds", "cluster_seconds", "select_seconds")
DATASET = {"problems": 2, "sha256": "x"}
Right = Callable[[int], bool]
WIDTHS, PRICES = (4, 8), (1.0, 2.0)
CELLS: dict[str, tuple[Right, int]] = {
    "best-of-n width=4": (lambda p: p % 3 == 0, 400),
    "best-of-n width=8": (lambda p: p % 2 == 0, 800),
    "rebase width=4": (lambda p: p < 12, 300),
    "rebase width=8": (lambda p: p < 14, 600),
    "ets width=4 lambda_b=1.0": (lambda p: p < 12, 200),
    "ets width=4 lambda_b=2.0": (lambda p: p < 9, 100),
    "ets width=8 lambda_b=1.0": (lambda p: p < 13, 450),
    "ets width=8 lambda_b=2.0": (lambda p: p < 11, 250),
}
"""By label: which of 20 problems are right, and the KV tokens of a search. 14, 16 and 18 are right
for best-of-n of width 8 alone; 17 and 19 for nobody; 0 and 6 for everybody."""
GRID = Grid(strategies=("best-of-n", "rebase", "ets"), widths=WIDTHS, lambda_b=PRICES)


def problems_of(count: int = 20) -> list[Problem]:
    return [Problem(f"What is {i}?", str(i), i) for i in range(count)]


def row_of(cell: str, problem: Problem, seed: int, *, right: bool, kv: int) -> dict[str, Any]:
    """A whole row of a search of two solutions."""
    key = problem.key
    assert isinstance(key, int)
    return {
        **row(cell, key, seed, right=right, kv=kv),
        "right": {"weighted": right, "majority": False, "best": right},
        "hits": [False, right],  # the second one has the larger score
        "expected": problem.expected,
        "answer": problem.expected if right else f"not {key}",
        "tokens": [20, 30],
        "steps": 3,
        "end": "width_used_up",
    }


def write_run(
    folder: Path,
    cells: dict[str, tuple[Right, int]] | None = None,
    *,
    grid: Grid = GRID,
    problems: Sequence[Problem] | None = None,
    keep_problems: bool = True,
    change: Callable[[dict[str, Any]], dict[str, Any]] = lambda row: row,
) -> RunFolder:
    """A run with a row for each cell, problem and seed; `change` is applied to every row."""
    problems = problems_of() if problems is None else problems
    dataset = {"problems": len(problems), "sha256": fingerprint(problems)}
    with RunFolder.open(folder, grid.configuration(), dataset) as run:
        if keep_problems:
            run.keep_problems(problems)
        for cell, (right, kv) in (CELLS if cells is None else cells).items():
            for seed in grid.seeds:
                for number, problem in enumerate(problems):
                    run.add(
                        change(row_of(cell, problem, seed, right=right(number), kv=kv + number))
                    )
    return RunFolder(folder)


def dataset_of(problems: list[Problem]) -> dict[str, Any]:
    return {"problems": len(problems), "sha256": fingerprint(problems)}


def write_problems(path: Path, count: int) -> Path:
    rows = ({"problem": f"Problem {i}?", "answer": i % 3, "id": f"p{i}"} for i in range(count))
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def rows_of(folder: Path) -> list[dict[str, Any]]:
    """Without what differs from run to run, in an order of their own."""
    rows = [{k: v for k, v in row.items() if k not in TIMES} for row in RunFolder(folder).rows()]
    return sorted(rows, key=lambda row: (row["cell"], row["seed"], row["id"]))


def trees_of(folder: Path) -> dict[str, bytes]:
    """Every file of the folder's trees; each row must have its own."""
    run = RunFolder(folder)
    files = {file.name: file.read_bytes() for file in (folder / "trees").iterdir()}
    trees = [run.tree(row) for row in run.rows()]
    assert None not in trees
    assert len(trees) == len(files)
    return files


def row(cell: str, problem: int, seed: int, *, right: bool, kv: int) -> dict[str, Any]:
    before = {"sum": kv, "mean": kv / 2, "peak": 0.8 * kv}
    after = {name: value / 3 for name, value in before.items()}
    return {
        "cell": cell,
        "seed": seed,
        "id": problem,
        "right": {"weighted": right, "majority": False, "best": right},
        "hits": [right, False],
        "classes": [0, 1],
        "scores": [0.25, 0.75],
        "kv": {"before": before, "after": after, "rebase": after},
        "usage": {
            **dict.fromkeys(("policy_calls", "prm_calls", "policy_tokens"), 10),
            "policy_banked": 4,
            "prm_banked": 1,
            "prm_tokens": 50,
            "prm_cached_tokens": 20,
        },
        "seconds": 2.0,
        "policy_seconds": 1.5,
        "prm_seconds": 1.0,
        "select_seconds": 0.5,
        "cluster_seconds": 0.25,
    }
