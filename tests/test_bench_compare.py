"""Two runs compared: pairs made by hand, what is not comparable, the page of it."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ets.bench.compare import compare
from ets.bench.statistics import mcnemar, paired_bootstrap, paired_ratio
from ets.errors import InputError
from ets.problems.problem import Problem
from ets.report.compare_page import compare_page, run_names
from run_cases import CELLS, GRID, problems_of, write_run
from test_report import HOSTILE, Tables

BETTER = {
    **CELLS,
    "rebase width=4": (lambda p: p in (0, 1, 2, 15, 16) or 5 <= p < 12, 150),
    "rebase width=8": (lambda p: p < 14, 600),
}
"""REBASE of width 4 loses the problems 3 and 4, gains 15 and 16."""


def test_pairs_are_what_they_are_over_common_problems(tmp_path: Path) -> None:
    first = write_run(tmp_path / "a")
    second = write_run(tmp_path / "b", BETTER, problems=problems_of(18))
    found = compare(first, second)
    assert [pair.cell for pair in found.pairs] == GRID.cells()
    assert {pair.problems for pair in found.pairs} == {18}
    four = next(pair for pair in found.pairs if pair.cell.label == "rebase width=4")
    a = np.array([[p < 12] for p in range(18)], float)
    b = np.array([[BETTER["rebase width=4"][0](p)] for p in range(18)], float)
    kv = np.array([[300.0 + p] for p in range(18)]), np.array([[150.0 + p] for p in range(18)])
    assert (four.first.value, four.second.value) == (12 / 18, 12 / 18)
    assert four.difference == paired_bootstrap(b, a)
    assert four.p_value == mcnemar(a[:, 0], b[:, 0]) == 1.0
    assert four.kv_ratio == paired_ratio(*kv)
    assert {(flip.problem, flip.gained) for flip in four.flips} == {
        (3, False),
        (4, False),
        (15, True),
        (16, True),
    }
    lost = next(flip for flip in four.flips if flip.problem == 3)
    assert (lost.first, lost.second) == ("3", "not 3")
    assert (four.first_tokens, four.first_seconds) == (40, 2.0)
    same = next(pair for pair in found.pairs if pair.cell.label == "rebase width=8")
    assert same.flips == ()
    assert (same.difference.low, same.difference.high) == (0.0, 0.0)


def test_what_one_run_alone_has_is_named(tmp_path: Path) -> None:
    first = write_run(tmp_path / "a", {k: v for k, v in CELLS.items() if "rebase" in k})
    second = write_run(tmp_path / "b", {k: v for k, v in CELLS.items() if "width=4" in k})
    found = compare(first, second)
    assert [pair.cell.label for pair in found.pairs] == ["rebase width=4"]
    assert found.only_first == ("rebase width=8",)
    assert set(found.only_second) == {k for k in CELLS if "width=4" in k and "rebase" not in k}


def test_problems_of_one_key_that_differ_are_left_out(tmp_path: Path) -> None:
    others = problems_of()
    others[2] = Problem("What is two?", "2", 2)
    others[5] = Problem("What is 5?", "five", 5)
    found = compare(write_run(tmp_path / "a"), write_run(tmp_path / "b", problems=others))
    assert found.unlike == 2
    assert {pair.problems for pair in found.pairs} == {18}


def test_only_common_seeds_count_and_only_problems_that_have_all_of_them(tmp_path: Path) -> None:
    a, b = replace(GRID, seeds=(0, 1, 2)), replace(GRID, seeds=(1, 2, 3))
    first, second = write_run(tmp_path / "a", grid=a), write_run(tmp_path / "b", grid=b)
    pair = compare(first, second).pairs[0]
    assert (pair.seeds, pair.problems) == (2, 20)
    file = tmp_path / "b" / "rows.jsonl"
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    kept = [row for row in rows if (row["id"], row["seed"]) != (7, 2)]
    file.write_text("".join(json.dumps(row) + "\n" for row in kept))
    assert compare(first, second).pairs[0].problems == 19


def test_the_difference_of_configurations_is_told(tmp_path: Path) -> None:
    grid = replace(GRID, search={"max_depth": 9})
    first, second = write_run(tmp_path / "a"), write_run(tmp_path / "b", grid=grid)
    assert compare(first, second).differences == (("search.max_depth", "null", "9"),)
    assert compare(first, first).differences == ()


def test_runs_with_nothing_in_common(tmp_path: Path) -> None:
    first = write_run(tmp_path / "a", {"rebase width=4": CELLS["rebase width=4"]})
    second = write_run(tmp_path / "b", {"rebase width=8": CELLS["rebase width=8"]})
    with pytest.raises(InputError, match="have no search in common"):
        compare(first, second)


def test_no_kv_is_no_ratio(tmp_path: Path) -> None:
    none = {"sum": 0, "mean": 0.0, "peak": 0}

    def empty(row: dict[str, Any]) -> dict[str, Any]:
        return {**row, "kv": dict.fromkeys(("before", "after", "rebase"), none)}

    page = compare_page(write_run(tmp_path / "a"), write_run(tmp_path / "b", change=empty))
    assert {pair.kv_ratio for pair in page.comparison.pairs} == {None}


# --- the page -----------------------------------------------------------------------------------


def test_the_page_tells_it(tmp_path: Path) -> None:
    page = compare_page(write_run(tmp_path / "a"), write_run(tmp_path / "b", BETTER))
    rows = Tables(page.html).rows
    four = next(row for row in rows if row and row[0] == "rebase 4")
    assert four[1] == "20"
    assert four[4].startswith("0.0 | −")
    assert four[6] == "+2 −2"
    assert four[7].startswith("1.94×")
    flips = [row for row in rows if row and row[1:2] == ["rebase 4"]]
    assert [(row[0], row[3]) for row in flips] == [
        ("3What is 3?", "a"),
        ("4What is 4?", "a"),
        ("15What is 15?", "b"),
        ("16What is 16?", "b"),
    ]
    assert page.write(tmp_path / "out").read_text("utf-8") == page.html
    assert {file.name for file in (tmp_path / "out").iterdir()} == {"report.html", "comparison.png"}


def test_nothing_that_was_written_by_others_is_markup(tmp_path: Path) -> None:
    problems = [Problem(f"{HOSTILE} {i}", HOSTILE, i) for i in range(20)]
    first = write_run(tmp_path / "a<b>", problems=problems)
    second = write_run(tmp_path / "b", BETTER, problems=problems)
    page = compare_page(first, second).html
    assert "<img" not in page
    assert page.count("<script") == page.count("</script>") == 1
    assert "a&lt;b&gt;" in page


def test_runs_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / name) for name in ("x/run", "y/run", "z")]
    assert run_names(runs[0], runs[2]) == ("run", "z")
    assert run_names(runs[0], runs[1]) == ("x/run", "y/run")
    assert run_names(runs[0], runs[0]) == ("run (first)", "run (second)")


def test_ets_report_of_two_runs_compares_them(tmp_path: Path) -> None:
    write_run(tmp_path / "a")
    write_run(tmp_path / "b", BETTER)
    command = [sys.executable, "-m", "ets", "report"]

    def report(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False
        )

    done = report("a", "b", "--json")
    assert done.returncode == 0, done.stderr
    said = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["cell"] for line in said] == list(CELLS)
    assert said[2]["flips"] == 4
    assert (tmp_path / "b" / "report-against-a" / "report.html").exists()
    done = report("a", "b", "--out", "both")
    assert "rebase width=4: 0.0 points (" in done.stdout
    assert done.stdout.splitlines()[-1] == "both/report.html"
    for arguments, words in (
        (("a", "b", "a"), "RUN must be one run or two to compare, got 3"),
        (("c",), "c is no run folder: it has no run.json"),
        (("a", "--out", "a/run.json"), "--out must name a folder, a/run.json is a file"),
        (("a", "--loss", "200"), "loss must lie in [0, 1]"),
        (("a", "--trees", "some"), "'some' is not one of 'all', 'wrong', 'none'"),
    ):
        done = report(*arguments)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
        assert words in done.stderr
