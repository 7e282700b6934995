"""Choosing how strongly to prune: cases made by hand, and the command over scripted engines."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import ets
from ets.bench.grid import Grid
from ets.bench.statistics import Interval
from ets.bench.tune import as_toml, choose, describe
from ets.cli.bench.tune import run_tune
from ets.cli.output import open_output
from ets.errors import InputError, MissingExtraError
from ets.presets import find
from ets.search.toml import read_config, search_arguments
from run_cases import row, write_problems

SCRIPTED = [sys.executable, str(Path(__file__).parent / "bench_scripted.py"), "tune"]


def grid_of(*lambdas: float, **search: Any) -> Grid:
    return Grid(strategies=("rebase", "ets"), widths=(4,), lambda_b=lambdas, search=search)


def rows_of(cells: dict[str, tuple[Callable[[int], bool], int]]) -> list[dict[str, Any]]:
    """100 problems for each cell: which are right, and the KV tokens of a search."""
    return [
        row(cell, problem, 0, right=right(problem), kv=kv)
        for cell, (right, kv) in cells.items()
        for problem in range(100)
    ]


def test_the_strongest_pruning_within_the_loss() -> None:
    rows = rows_of(
        {
            "rebase width=4": (lambda p: p < 60, 300),
            "ets width=4 lambda_b=0.5": (lambda p: p < 61, 250),
            "ets width=4 lambda_b=1.0": (lambda p: p < 60, 150),
            "ets width=4 lambda_b=2.0": (lambda p: p < 55, 100),
        }
    )
    grid = grid_of(0.5, 1.0, 2.0, max_depth=9, policy_options={"temperature": 0.8})
    (choice,) = choose(grid, rows)
    assert choice.chosen.cell.label == "ets width=4 lambda_b=1.0"
    assert choice.chosen.kv_ratio == Interval(2.0, 2.0, 2.0)
    assert choice.confidence == 1.0
    assert len(choice.tried) == 3
    # Five points lost are within six.
    (bolder,) = choose(grid, rows, loss=0.06)
    assert bolder.chosen.cell.label == "ets width=4 lambda_b=2.0"
    assert 0.5 < bolder.confidence < 0.9, "100 problems cannot be sure of a point"
    assert "KV 3.00x less" in describe(bolder)


def test_a_loss_by_a_hair_is_a_loss_and_then_it_is_rebase() -> None:
    rows = rows_of(
        {
            "rebase width=4": (lambda p: p < 60, 300),
            "ets width=4 lambda_b=1.0": (lambda p: p < 59, 150),
        }
    )
    (choice,) = choose(grid_of(1.0), rows)
    assert choice.chosen is choice.baseline
    assert "no pruning that saves KV stayed within the loss" in describe(choice)
    assert choose(grid_of(1.0), rows, loss=0.01)[0].chosen.cell.name == "ets"


def test_what_saves_nothing_is_not_chosen() -> None:
    rows = rows_of(
        {
            "rebase width=4": (lambda p: p < 60, 300),
            "ets width=4 lambda_b=1.0": (lambda p: p < 70, 300),
        }
    )
    assert choose(grid_of(1.0), rows)[0].chosen.cell.name == "rebase"


def test_the_file_is_a_configuration_of_a_search(tmp_path: Path) -> None:
    rows = rows_of(
        {
            "rebase width=4": (lambda p: p < 60, 300),
            "ets width=4 lambda_b=1.5": (lambda p: p < 60, 200),
        }
    )
    grid = grid_of(1.5, max_depth=9, policy_options={"system_prompt": 'Say "yes".\n'})
    path = tmp_path / "chosen.toml"
    path.write_text(as_toml(grid, choose(grid, rows)[0]))
    arguments = search_arguments(read_config(path))
    assert arguments["strategy"] == ets.ETS(width=4, lambda_b=1.5)
    assert arguments["max_depth"] == 9
    assert arguments["policy_options"] == {"system_prompt": 'Say "yes".\n'}


def test_an_option_that_was_swept_is_in_the_file_unless_it_is_none(tmp_path: Path) -> None:
    cell = "ets width=4 lambda_b=1.5 cluster_threshold=0.01 time_limit=None"
    rows = rows_of({"rebase width=4": (lambda p: p < 60, 300), cell: (lambda p: p < 60, 200)})
    sweep = {"cluster_threshold": (0.01,), "time_limit": (None,)}
    grid = Grid(strategies=("rebase", "ets"), widths=(4,), lambda_b=(1.5,), sweep=sweep)
    path = tmp_path / "chosen.toml"
    path.write_text(as_toml(grid, choose(grid, rows)[0]))
    strategy = search_arguments(read_config(path))["strategy"]
    assert strategy == ets.ETS(width=4, lambda_b=1.5, cluster_threshold=0.01)


def test_what_there_is_nothing_to_choose_from() -> None:
    rows = rows_of({"rebase width=4": (lambda p: True, 300)})
    with pytest.raises(InputError, match="width 4 needs searches by rebase and by ets"):
        choose(grid_of(1.0), rows)
    with pytest.raises(InputError, match=r"loss must lie in \[0, 1\], .* got 20"):
        choose(grid_of(1.0), rows, loss=20)


def test_a_missing_writer_is_missed_before_the_searches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tomli_w", None)
    with open_output(as_json=True, debug=False) as output, pytest.raises(MissingExtraError):
        run_tune(grid_of(1.0), tmp_path / "run", 0.002, output)
    assert not (tmp_path / "run").exists()


def test_the_command_writes_a_file_for_each_width(tmp_path: Path) -> None:
    problems = write_problems(tmp_path / "problems.jsonl", 12)
    command = [*SCRIPTED, str(tmp_path / "run"), "--dataset", str(problems), "--widths", "3,6"]
    command += ["--lambda-b", "0.5,2", "--sweep", "cluster_threshold=0.01,0.2", "--loss", "100"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "ets width=6 lambda_b=2.0 cluster_threshold=0.01" in shown
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, check=True)
    choices = [json.loads(line) for line in done.stdout.splitlines()]
    assert [choice["width"] for choice in choices] == [3, 6]
    for choice in choices:
        strategy = search_arguments(read_config(choice["file"]))["strategy"]
        options = dict(choice["strategy"])
        assert type(strategy).__name__.lower() == options.pop("name")
        assert options.items() <= {k: getattr(strategy, k) for k in options}.items()
        assert choice["confidence"] == 1.0


def test_a_preset_counts_for_the_searches_and_for_the_file(tmp_path: Path) -> None:
    problems = write_problems(tmp_path / "problems.jsonl", 3)
    command = [*SCRIPTED, str(tmp_path / "run"), "--dataset", str(problems), "--widths", "3"]
    command += ["--lambda-b", "1", "--preset", "search-and-learn", "--policy-option", "top_p=0.9"]
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, check=True)
    preset = find("search-and-learn").arguments
    options = {**preset["policy_options"], "top_p": 0.9}
    searched = json.loads((tmp_path / "run" / "run.json").read_text())["configuration"]["search"]
    chosen = read_config(json.loads(done.stdout)["file"])
    for found in (searched, chosen):
        assert found["policy_options"] == options
        assert {**preset, "policy_options": options}.items() <= found.items()


def test_a_preset_that_there_is_not(tmp_path: Path) -> None:
    command = [*SCRIPTED, str(tmp_path / "run"), "--preset", "nonsense"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("ets: there is no preset 'nonsense'")
    assert not (tmp_path / "run").exists()
