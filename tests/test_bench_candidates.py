"""What runs tell that may be run: run folders made by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ets.bench.candidates import candidates_of
from ets.bench.grid import Grid
from ets.bench.recommendation import Limit, recommend
from ets.bench.run_folder import RunFolder
from ets.errors import InputError
from run_cases import CELLS, GRID, problems_of, write_run


def sampled(row: dict[str, Any]) -> dict[str, Any]:
    """The row with four samples in place of two: what a search of width 4 has."""
    if not row["cell"].startswith("best-of-n"):
        return row
    right = row["right"]["weighted"]
    return {
        **row,
        "right": {"weighted": right, "majority": right, "best": right},
        "classes": [0, 1, 1, 1],
        "hits": [False, right, right, right],
        "scores": [0.5, 0.1, 0.2, 0.3],
        "tokens": [10, 20, 30, 40],
        "samples": {
            "prompt_tokens": 7,
            "number": [3, 0, 1, 2],
            "steps": [1, 2, 2, 2],
            "kv": [0, 5, 6, 7],
        },
    }


WIDE = Grid(strategies=("best-of-n",), widths=(4,), seeds=(0, 1, 2))
SEARCHED = Grid(strategies=("rebase",), widths=(2, 3), seeds=(0, 1))


def test_every_cell_by_its_votes(tmp_path: Path) -> None:
    found = candidates_of([write_run(tmp_path / "run")])
    labels = [one.label for one in found.each]
    assert labels == sorted(labels)
    assert len(labels) == len(CELLS) + 2 * 2, "samples vote in three ways, searches in one"
    assert (found.problems, found.seeds, found.left_out, found.banked) == (20, 1, (), True)
    by_label = {one.label: one for one in found.each}
    best = by_label["best-of-n width=8, weighted"]
    assert best.right.mean() == 0.5
    assert best.spent.kv[3, 0] == 803
    assert best.spent.prm_tokens[0, 0] == 30, "50 were read, 20 of them from the cache"
    assert best.spent.seconds is not None
    assert best.spent.seconds[0, 0] == 1.5 + 1.0 + 0.5 + 0.25
    majority = by_label["best-of-n width=8, majority"]
    assert not majority.scored
    assert majority.spent.prm_tokens[0, 0] == 0
    assert majority.spent.seconds is not None
    assert majority.spent.seconds[0, 0] == 1.5 + 0.5 + 0.25
    assert by_label["rebase width=4, weighted"].right[:, 0].tolist() == [1.0] * 12 + [0.0] * 8


def test_without_a_prm_there_is_the_majority_alone(tmp_path: Path) -> None:
    grid = Grid(strategies=("best-of-n",), widths=(4,), search={"prm": "none"})
    cells = {label: CELLS[label] for label in ("best-of-n width=4",)}
    (only,) = candidates_of([write_run(tmp_path / "run", cells, grid=grid)]).each
    assert (only.label, only.scored) == ("best-of-n width=4, majority", False)


def test_several_runs_over_the_problems_and_seeds_that_all_have(tmp_path: Path) -> None:
    half = (lambda p: p % 2 == 0, 100)
    wide = write_run(tmp_path / "wide", {"best-of-n width=4": half}, grid=WIDE, change=sampled)
    cells = {"rebase width=2": half, "rebase width=3": half}
    one = problems_of(20)
    searched = write_run(tmp_path / "searched", cells, grid=SEARCHED, problems=one[4:])
    found = candidates_of([wide, searched])
    assert (found.problems, found.seeds) == (16, 2)
    by_label = {one.label: one for one in found.each}
    # Widths of the other run, too, and a single sample has one way to vote.
    widths = sorted(one.cell.width for one in found.each if one.vote == "majority")
    assert widths == [1, 2, 3, 4]
    assert sorted(one.cell.width for one in found.each if one.vote == "best") == [2, 3, 4]
    two = by_label["wide: best-of-n width=2, majority"]
    assert (two.sampled, two.scored) == (4, False)
    # Of four samples, groups 0 and 1, 2 and 3: at the places 1, 2 and 0, 3.
    assert two.spent.policy_tokens[0, 0] == (20 + 30 + 10 + 40) / 2
    assert two.spent.kv[0, 0] == ((5 + 6 + 7 * 2) + (0 + 7 + 7 * 2)) / 2
    assert two.spent.seconds is None
    assert sorted(set(two.right.ravel().tolist())) == [0.0, 0.5], "a tie goes to the first"
    assert by_label["wide: best-of-n width=2, weighted"].spent.prm_tokens[0, 0] == 15
    assert by_label["searched: rebase width=3, weighted"].right.shape == (16, 2)


def test_a_width_that_was_searched_itself_is_there_once(tmp_path: Path) -> None:
    grid = Grid(strategies=("best-of-n",), widths=(2, 4))
    cells = {f"best-of-n width={w}": (lambda p: True, 100) for w in (2, 4)}

    def change(row: dict[str, Any]) -> dict[str, Any]:
        return sampled(row) if "width=4" in row["cell"] else row

    found = candidates_of([write_run(tmp_path / "run", cells, grid=grid, change=change)])
    sampled_of = {one.cell.width: one.sampled for one in found.each}
    assert sampled_of == {1: 4, 2: None, 4: None}
    assert len(found.each) == 1 + 3 + 3


def test_what_may_stop_early_has_one_vote_and_no_narrower_widths(tmp_path: Path) -> None:
    grid = Grid(strategies=("best-of-n",), widths=(4,), search={"budget": {"tokens": 9000}})
    cells = {"best-of-n width=4": (lambda p: True, 100)}
    run = write_run(tmp_path / "run", cells, grid=grid, change=sampled)
    assert [one.label for one in candidates_of([run]).each] == ["best-of-n width=4, weighted"]


def test_the_order_of_rows_and_runs_is_nothing(tmp_path: Path) -> None:
    half = (lambda p: p % 2 == 0, 100)
    runs = [
        write_run(tmp_path / "wide", {"best-of-n width=4": half}, grid=WIDE, change=sampled),
        write_run(tmp_path / "searched", {"rebase width=2": half}, grid=SEARCHED),
    ]
    for run in runs:
        copy = tmp_path / "other" / run.path.name
        copy.mkdir(parents=True)
        lines = run.rows_file.read_text().splitlines(keepends=True)
        np.random.default_rng(3).shuffle(lines)
        (copy / run.rows_file.name).write_text("".join(lines))
        for name in ("run.json", "problems.jsonl"):
            (copy / name).write_bytes((run.path / name).read_bytes())
    others = [RunFolder(tmp_path / "other" / name) for name in ("searched", "wide")]
    one, two = (recommend(candidates_of(each), Limit(), draws=50) for each in (runs, others))
    assert [s.candidate.label for s in one.standings] == [s.candidate.label for s in two.standings]
    assert [s.share for s in one.standings] == [s.share for s in two.standings]
    assert (one.confidence, one.outcome) == (two.confidence, two.outcome)


def test_what_is_not_finished_is_left_out(tmp_path: Path) -> None:
    cells = {label: how for label, how in CELLS.items() if label != "rebase width=8"}
    found = candidates_of([write_run(tmp_path / "run", cells)])
    assert found.left_out == ("rebase width=8",)


def test_runs_that_are_not_of_the_same(tmp_path: Path) -> None:
    def made(name: str, **more: Any) -> RunFolder:
        return write_run(tmp_path / name, {"rebase width=2": (lambda p: True, 1)}, **more)

    first = made("first", grid=SEARCHED)
    other = made("other", grid=SEARCHED, problems=[*problems_of(3)[:2], *problems_of(9)[8:]])
    assert candidates_of([first, other]).problems == 3
    wrong = [type(p)(p.text + "?", p.expected, p.key) for p in problems_of(3)]
    with pytest.raises(InputError, match="has another problem, or another answer, under the key 0"):
        candidates_of([first, made("wrong", grid=SEARCHED, problems=wrong)])
    seeds = Grid(strategies=("rebase",), widths=(2,), seeds=(7,))
    with pytest.raises(InputError, match="the runs have no seed in common"):
        candidates_of([first, made("seeds", grid=seeds)])
    late = problems_of(30)[25:]
    with pytest.raises(InputError, match="no problem was searched by every cell"):
        candidates_of([first, made("late", grid=SEARCHED, problems=late)])
    with pytest.raises(InputError, match="a run is given twice"):
        candidates_of([first, first])
    with pytest.raises(InputError, match="no problem that was searched with every seed"):
        candidates_of([write_run(tmp_path / "empty", {}, grid=GRID)])


def test_a_replay_is_nothing_to_choose_from(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    file = run.config_file
    file.write_text(file.read_text().replace('"dataset": {', '"dataset": {"replay_of": "x",', 1))
    assert "replay_of" in file.read_text()
    with pytest.raises(InputError, match="is a replay, whose searches lack what was not recorded"):
        candidates_of([RunFolder(tmp_path / "run")])


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        ({"number": [0, 0, 1, 2]}, "samples.number holds a sample twice"),
        ({"steps": [1, 2]}, "samples.steps must hold 4 numbers from 0 on"),
        ({"kv": [1, 2, 3, -4]}, "samples.kv must hold 4 numbers from 0 on"),
        ({"prompt_tokens": 0.5}, "samples: prompt_tokens must be an integer, got 0.5"),
    ],
)
def test_samples_that_are_damaged_are_told(
    tmp_path: Path, damage: dict[str, Any], why: str
) -> None:
    def change(row: dict[str, Any]) -> dict[str, Any]:
        whole = sampled(row)
        return {**whole, "samples": {**whole["samples"], **damage}}

    cells = {"best-of-n width=4": (lambda p: True, 1)}
    run = write_run(tmp_path / "run", cells, grid=WIDE, change=change)
    with pytest.raises(InputError, match=f"rows.jsonl:1: {why}"):
        candidates_of([run])
