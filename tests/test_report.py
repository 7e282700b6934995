"""`ets report`: what the page of a run says, and that nothing in it can do harm."""

from __future__ import annotations

import itertools
import json
import random
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from ets.answer import vote
from ets.bench.grid import Grid
from ets.bench.run_folder import RunFolder
from ets.bench.summary import summarise
from ets.errors import InputError
from ets.problems.problem import Problem
from ets.report.bench_page import bench_page
from ets.report.figures import by_the_runs_vote, front
from ets.report.labels import short_label, spread
from ets.report.problem_data import by_problem, outcome, pools, problem_data
from ets.report.trees import choose_trees
from run_cases import CELLS, GRID, SCRIPTED, problems_of, row_of, write_problems, write_run

HOSTILE = (
    "</script><script>window.hurt = 1</script><img src=x onerror='window.hurt = 1'> &lt; \u2028"
)
ETS = [sys.executable, "-m", "ets"]


def data_of(page: str) -> dict[str, Any]:
    found = re.search(
        r'<script type="application/json" id="problem-data">(.*?)</script>', page, re.S
    )
    assert found is not None
    said: dict[str, Any] = json.loads(found[1])
    return said


class Tables(HTMLParser):
    """The texts of all cells, row by row."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self._inside = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
            self._inside = True
        if tag == "small" and self._inside:
            self.rows[-1][-1] += " | "

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self._inside = False

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.rows[-1][-1] += data.strip()


# --- what it says -------------------------------------------------------------------------------


def test_every_cell_is_in_the_table_with_its_figures(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    page = bench_page(run)
    rows = {row[0]: row for row in Tables(page.html).rows if row}
    table = [row for row in Tables(page.html).rows if row and row[0] == "ets 4, λb 2"]
    accuracy, work = table
    line = next(
        line for line in summarise(GRID, run.rows()) if short_label(line.cell) == "ets 4, λb 2"
    )
    assert accuracy[1].startswith("45.0% | ")
    assert accuracy[2].startswith("−15.0 | −")
    assert accuracy[5] == "20"
    assert accuracy[6:9] == ["110", "55", "88"]  # mean over the problems: 100 + 9.5, half, 0.8
    assert line.kv_ratio is not None
    assert accuracy[9].startswith(f"{line.kv_ratio.value:.2f}×")
    assert work[1:6] == ["10", "30", "10", "10", "25%"]
    assert work[6:11] == ["2.00", "75%", "50%", "25.00%", "12.50%"]
    assert {"rebase 8", "best-of-n 4", "best-of-n 4by majority", "ets 8, λb 1"} <= rows.keys()


def test_the_claim_is_told_and_drawn(tmp_path: Path) -> None:
    page = bench_page(write_run(tmp_path / "run"))
    told = {(claim.strategy, claim.width): claim for claim in page.claims}
    four, eight = told["ets", 4], told["ets", 8]
    assert four.line is not None
    assert four.line.cell.label == "ets width=4 lambda_b=1.0"
    assert eight.line is None, "the closest one is 5 points off"
    rows = [row for row in Tables(page.html).rows if row[:2] == ["ets", "4"]]
    assert rows[0][2] == "λb 1"
    assert rows[0][3].startswith("1.48×")
    assert rows[0][5] == "the saving only", "no problem differs, but there are 20 of them"
    bolder = bench_page(write_run(tmp_path / "other"), loss=0.05)
    assert bolder.claims[-1].line is not None


def test_what_to_run_is_recommended(tmp_path: Path) -> None:
    page = bench_page(write_run(tmp_path / "run"))
    rows = {row[0]: row for row in Tables(page.html).rows if row and "weighted" in row[0]}
    chosen = [row for row in rows.values() if row[5] == "chosen"]
    assert [row[0] for row in chosen] == ["rebase width=8, weighted"], "14 of 20, at one price"
    assert chosen[0][1:4] == ["40 | 40 to 40", "70.0% | 48.1 to 85.5", ""]
    assert rows["ets width=4 lambda_b=2.0, weighted"][5] == "dominated, not told apart"
    assert "<b>Search: rebase width=8, weighted.</b>" in page.html
    assert "cannot tell it from" not in page.html, "nothing that is as good is cheaper"
    one = bench_page(write_run(tmp_path / "one", problems=problems_of(1)))
    assert "No recommendation: a choice needs at least 2 problems, got 1." in one.html


def test_files_and_nothing_from_elsewhere(tmp_path: Path) -> None:
    page = bench_page(write_run(tmp_path / "run"))
    path = page.write(tmp_path / "a" / "b")
    names = {file.name for file in path.parent.iterdir()}
    figures = {"accuracy-by-width", "accuracy-by-kv", "accuracy-by-tokens", "kv-at-equal-accuracy"}
    assert names == {"report.html", *(f"{name}.png" for name in figures)}
    for name in figures:
        assert (path.parent / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    text = path.read_text("utf-8")
    assert text.count("<svg") == 4
    assert not re.findall(r'(?:src|href)\s*=\s*"(?!#)', text)
    assert not re.findall(r"@import|url\((?!#)", text)
    ids = re.findall(r'\sid="([^"]*)"', text)
    assert len(ids) == len(set(ids)), "figures must not share ids"
    assert page.html == bench_page(RunFolder(tmp_path / "run")).html, "the same run, the same page"


@pytest.mark.parametrize(
    "grid",
    [
        Grid(strategies=("rebase",), widths=(4,)),
        Grid(strategies=("best-of-n",), widths=(4, 8)),
        Grid(strategies=("rebase", "ets"), widths=(4,), lambda_b=(1.0, 2.0), seeds=(0, 1, 2)),
    ],
    ids=["one cell", "no REBASE", "one width"],
)
def test_small_runs_have_a_page(tmp_path: Path, grid: Grid) -> None:
    cells = {cell.label: (lambda p: p != 1, 100) for cell in grid.cells()}
    page = bench_page(write_run(tmp_path / "run", cells, grid=grid, problems=problems_of(3)))
    assert len(data_of(page.html)["problems"]) == 3
    assert page.write(tmp_path).exists()


def test_extreme_values_have_a_page(tmp_path: Path) -> None:
    """Nobody right, no KV, no time, no rewards: nothing may be divided by it."""
    none = {"sum": 0, "mean": 0.0, "peak": 0}

    def empty(row: dict[str, Any]) -> dict[str, Any]:
        found = {**row, "kv": dict.fromkeys(("before", "after", "rebase"), none), "answer": None}
        found |= {"hits": [], "classes": [], "scores": [], "tokens": [], "seconds": 0.0}
        return found | {"usage": dict.fromkeys(row["usage"], 0)}

    grid = Grid(strategies=("rebase", "ets"), widths=(4,))
    cells = {cell.label: (lambda p: False, 1) for cell in grid.cells()}
    page = bench_page(write_run(tmp_path / "run", cells, grid=grid, change=empty))
    assert "no answer" in page.html


def test_an_unfinished_run_says_what_is_missing(tmp_path: Path) -> None:
    some = {label: found for label, found in CELLS.items() if "rebase" in label}
    page = bench_page(write_run(tmp_path / "run", some))
    assert "40 of 160 searches are there." in page.html
    assert "Not finished" not in bench_page(write_run(tmp_path / "whole")).html


def test_what_has_no_page(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no problem that was searched with every seed"):
        bench_page(write_run(tmp_path / "empty", {}))
    stranger = write_run(tmp_path / "odd", {"rebase width=5": (lambda p: True, 1)})
    with pytest.raises(InputError, match="is of the cell 'rebase width=5' and seed 0"):
        bench_page(stranger)
    with pytest.raises(InputError, match=r"loss must lie in \[0, 1\]"):
        bench_page(write_run(tmp_path / "run"), loss=2)


# --- problem by problem -------------------------------------------------------------------------


def test_what_became_of_each_problem(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    data = problem_data(GRID, run.rows(), run.problems(), {})
    told = {problem["id"]: problem["outcome"] for problem in data["problems"]}
    assert {key for key, found in told.items() if found == "right"} == {"0", "6"}
    assert {key for key, found in told.items() if found == "wrong"} == {"17", "19"}
    assert told["14"] == "disagree"
    assert [problem["id"] for problem in data["problems"]] == [str(i) for i in range(20)]
    first = data["problems"][1]
    assert (first["text"], first["expected"]) == ("What is 1?", "1")
    assert [data["cells"][row["cell"]]["label"] for row in first["rows"]][:2] == [
        "best-of-n 4",
        "best-of-n 8",
    ]
    assert first["rows"][0] | {"cell": 0} == {
        "cell": 0, "seed": 0, "right": False, "answer": "not 1", "votes": [[1, False], [1, False]],
        "none": 0, "kv": 401, "policy": 10, "prm": 30, "steps": 3, "end": "width_used_up",
        "tree": None,
    }  # fmt: skip


def test_seeds_that_disagree_are_no_strategies_that_do() -> None:
    problem = problems_of(1)[0]
    cells = ("rebase width=4", "ets width=4")
    rows = [row_of(c, problem, s, right=s == 0, kv=9) for c in cells for s in (0, 1)]
    assert outcome(rows, "weighted") == "mixed"
    assert outcome(rows[1:], "weighted") == "disagree"
    assert outcome(rows, "majority") == "wrong"


def test_the_first_pool_is_the_one_that_won() -> None:
    rng = random.Random(1)
    for _ in range(500):
        n = rng.randrange(1, 9)
        classes: list[int] = []
        for _ in range(n):
            classes.append(rng.randrange(-1, max(classes, default=-1) + 2))
        scores = [rng.randrange(5) / 4 for _ in range(n)]
        right = rng.randrange(3)
        row = {"classes": classes, "scores": scores, "hits": [k == right for k in classes]}
        answers = [None if k < 0 else str(k) for k in classes]
        for how in ("weighted", "majority", "best"):
            won = vote(answers, scores, how)
            expected = [(pool.count, pool.answer == str(right)) for pool in won]
            assert pools(row, how)[:1] == expected[:1]
            assert sorted(pools(row, how)) == sorted(expected)


def test_a_run_without_its_problems_shows_keys_in_order(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", keep_problems=False)
    rows = list(reversed(run.rows()))
    data = problem_data(GRID, rows, run.problems(), {})
    assert [problem["id"] for problem in data["problems"]] == [str(i) for i in range(20)]
    assert {problem["text"] for problem in data["problems"]} == {""}
    mixed = [{"id": key} for key in ("b", 2, "a", 1)]
    assert list(by_problem(mixed, [])) == [1, 2, "a", "b"]
    assert list(by_problem(mixed, ["a", "gone"])) == ["a", 1, 2, "b"]


# --- figures ------------------------------------------------------------------------------------


def test_the_pareto_front_by_brute_force() -> None:
    rng = random.Random(2)
    for _ in range(300):
        points = [(rng.randrange(6), rng.randrange(6)) for _ in range(rng.randrange(1, 12))]
        expected = {
            p for p in points if not any(q != p and q[0] <= p[0] and q[1] >= p[1] for q in points)
        }
        found = [points[at] for at in front(points)]
        assert set(found) == expected
        assert found == sorted(found)
        assert len(found) == sum(p in expected for p in points)


def test_labels_are_apart_and_in_order() -> None:
    rng = random.Random(3)
    for _ in range(300):
        values = [rng.uniform(0, 10) for _ in range(rng.randrange(1, 9))]
        placed = spread(values, 1.0)
        order = sorted(range(len(values)), key=lambda at: values[at])
        steps = [placed[b] - placed[a] for a, b in itertools.pairwise(order)]
        assert all(step >= 1.0 - 1e-9 for step in steps)
        assert sum(placed) == pytest.approx(sum(values))
    assert spread([1.0, 5.0], 1.0) == [1.0, 5.0]


def test_independent_samples_are_drawn_by_the_runs_own_vote(tmp_path: Path) -> None:
    lines = by_the_runs_vote(summarise(GRID, write_run(tmp_path / "run").rows()))
    assert [line.cell for line in lines] == GRID.cells()
    assert {line.vote for line in lines} == {"weighted"}


# --- trees --------------------------------------------------------------------------------------


def test_trees_of_the_problems_that_some_search_got_wrong(tmp_path: Path) -> None:
    problems = write_problems(tmp_path / "problems.jsonl", 8)
    folder = tmp_path / "run"
    command = [*SCRIPTED, str(folder), "--dataset", str(problems), "--widths", "4", "--trees"]
    subprocess.run([*command, "--strategies", "rebase,ets"], check=True, capture_output=True)
    run = RunFolder(folder)
    outcomes = {
        key: outcome(rows, "weighted")
        for key, rows in by_problem(run.rows(), [p.key for p in run.problems()]).items()
    }
    wrong = [key for key, found in outcomes.items() if found != "right"]
    assert 1 < len(wrong) < 8, "the case must have both"
    chosen = choose_trees(run, "wrong")
    assert [row["id"] for row in chosen.rows] == [key for key in wrong for _ in (0, 1)]
    assert f"Trees: {2 * len(wrong)}, of all {len(wrong)} problems" in chosen.note
    few = choose_trees(run, "wrong", most=3)
    assert {row["id"] for row in few.rows} == {wrong[0]}
    assert f"Trees: 2, of the first 1 of {len(wrong)} problems" in few.note
    assert len(choose_trees(run, "all").rows) == 16
    assert choose_trees(run, "none").links == {}
    done = subprocess.run(
        [*ETS, "report", str(folder), "--json"], capture_output=True, text=True, check=True
    )
    said = json.loads(done.stdout)
    assert said["trees"] == 2 * len(wrong)
    page = Path(said["report"])
    assert page == folder / "report" / "report.html"
    links = [
        row["tree"]
        for problem in data_of(page.read_text("utf-8"))["problems"]
        for row in problem["rows"]
        if row["tree"]
    ]
    assert {page.parent / link for link in links} == set((page.parent / "trees").iterdir())
    assert len(links) == 2 * len(wrong)
    assert "Problem" in (page.parent / links[0]).read_text("utf-8")


def test_a_run_without_trees_says_so(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    assert choose_trees(run, "wrong").note == "This run holds no trees."
    with pytest.raises(InputError, match=r"trees must be one of \['all', 'wrong', 'none'\]"):
        choose_trees(run, "some")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="most_trees must be"):
        choose_trees(run, "all", most=0)


# --- hostile text --------------------------------------------------------------------------------


def hostile_run(folder: Path) -> RunFolder:
    """Problems, answers, a data set and a policy that are scripts."""
    problems = [Problem(f"{HOSTILE} {i}", HOSTILE, i) for i in range(20)]
    search = {"policy": f"demo?x={HOSTILE}", "prm": "none"}
    grid = Grid(
        dataset=HOSTILE,
        strategies=GRID.strategies,
        widths=GRID.widths,
        lambda_b=GRID.lambda_b,
        search=search,
    )
    return write_run(
        folder, grid=grid, problems=problems, change=lambda row: {**row, "answer": HOSTILE}
    )


def test_nothing_that_was_written_by_others_is_markup(tmp_path: Path) -> None:
    page = bench_page(hostile_run(tmp_path / "run")).html
    assert "<img" not in page
    assert page.count("<script") == page.count("</script>") == 3
    data = data_of(page)
    assert data["problems"][3]["text"] == f"{HOSTILE} 3"
    assert data["problems"][3]["rows"][0]["answer"] == HOSTILE
    surrogate = [Problem("half a pair: \ud800", "\ud800", i) for i in range(3)]
    odd = bench_page(write_run(tmp_path / "odd", problems=surrogate))
    assert odd.write(tmp_path / "out").read_text("utf-8")
