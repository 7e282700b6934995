"""Run folders that others have changed: links, lost and damaged rows, other problems, read-only."""

from __future__ import annotations

import errno
import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ets.bench.compare import compare
from ets.bench.contents import finished_rows, tree_of
from ets.bench.grid import Grid
from ets.bench.kept_file import write_whole
from ets.bench.packed_tree import pack_tree
from ets.bench.run_folder import RunFolder
from ets.bench.runner import run
from ets.errors import InputError
from ets.problems.problem import Problem
from ets.report.bench_page import bench_page
from ets.report.style import Drawing
from ets.report.trees import choose_trees
from ets.tree.seeds import problem_seed
from ets.tree_search.search import TreeSearch
from run_cases import CELLS, DATASET, GRID, dataset_of, problems_of, write_run

ROW = {"cell": "rebase width=4", "seed": 0, "id": 1}


# --- links and other things ---------------------------------------------------------------------


@pytest.mark.parametrize("name", ["run.json", "rows.jsonl", "problems.jsonl", ".lock"])
@pytest.mark.parametrize("text", ["precious", "precious\n"])
def test_a_link_is_refused_and_its_target_stays(tmp_path: Path, name: str, text: str) -> None:
    victim = tmp_path / "victim"
    victim.write_text(text)
    folder = tmp_path / "run"
    with RunFolder.open(folder, {}, DATASET):
        pass
    (folder / name).unlink(missing_ok=True)
    (folder / name).symlink_to(victim)
    with (
        pytest.raises(InputError, match=f"{name} is a link"),
        RunFolder.open(folder, {}, DATASET),
    ):
        pass
    assert victim.read_text() == text


def test_a_link_that_comes_amid_a_run_is_refused(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.touch()
    with RunFolder.open(tmp_path / "run", {}, DATASET) as out:
        out.rows_file.symlink_to(victim)
        with pytest.raises(InputError, match=r"rows\.jsonl is a link"):
            out.add(ROW)
    assert victim.read_text() == ""


def test_a_link_in_place_of_what_is_written_whole_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("precious")
    for name in ("page", ".page.new"):
        (tmp_path / name).symlink_to(tmp_path / "victim")
    write_whole(tmp_path / "page", b"mine")
    assert (tmp_path / "victim").read_text() == "precious"
    assert (tmp_path / "page").read_bytes() == b"mine"
    assert not (tmp_path / "page").is_symlink()


def test_a_pipe_or_a_folder_is_no_file_and_nobody_waits_for_it(tmp_path: Path) -> None:
    write_run(tmp_path / "run", {})
    os.mkfifo(tmp_path / "run" / "rows.jsonl")
    with pytest.raises(InputError, match=r"rows\.jsonl is no file"):
        RunFolder(tmp_path / "run").rows()
    (tmp_path / "run" / "run.json").unlink()
    (tmp_path / "run" / "run.json").mkdir()
    with pytest.raises(InputError, match=r"run\.json is no file"):
        RunFolder(tmp_path / "run")


# --- rows ---------------------------------------------------------------------------------------


def test_rows_that_are_lost_amid_a_run_are_told_at_the_next_one(tmp_path: Path) -> None:
    def emptied(file: Path) -> None:
        os.truncate(file, 0)

    losses: list[Callable[[Path], None]] = [Path.unlink, emptied]
    for number, lose in enumerate(losses):
        with RunFolder.open(tmp_path / str(number), {}, DATASET) as out:
            out.add(ROW)
            lose(out.rows_file)
            with pytest.raises(InputError, match=r"rows\.jsonl was deleted or changed while"):
                out.add({**ROW, "id": 2})
        with RunFolder.open(tmp_path / str(number), {}, DATASET) as out:
            out.add({**ROW, "id": 2})
            assert out.rows() == [{**ROW, "id": 2}]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"cell": "zz width=4"}, "of the cell 'zz width=4' and seed 0, which the configuration"),
        ({"seed": 9}, "and seed 9, which the configuration"),
        ({"id": "zzz"}, "is of the problem 'zzz', which the run has not"),
        ({"id": None}, "is no row of a run: id is None"),
        ({"id": [1]}, "is no row of a run: id is"),
        ({"seed": "0"}, "is no row of a run: seed is '0'"),
        ({"seed": True}, "is no row of a run: seed is True"),
        ({"usage": None}, "usage must be an object"),
        ({"usage": {}}, "usage: policy_calls must be a number, and it is not there"),
        ({"right": "yes"}, "right must be an object, got 'yes'"),
        ({"right": {"weighted": 1}}, "right: weighted must be true or false"),
        ({"hits": [True]}, "classes, hits and scores must be equally long"),
        ({"scores": [0.5, "1"]}, "scores.1. must be float, got '1'"),
        ({"kv": {"before": {"sum": 1}}}, "kv.before: mean must be a number"),
        ({"seconds": 10**400}, "seconds must be a number"),
        ({"answer": 3}, "answer must be a text or null, got 3"),
        ({"end": None}, "end must be a text"),
        ({"steps": 1.5}, "steps must be an integer"),
        ({"engines": {"policy": {}}}, "engines.policy must hold max_num_seqs"),
    ],
)
def test_a_damaged_row_is_told_with_file_and_line(
    tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    folder = write_run(tmp_path / "run")
    lines = folder.rows_file.read_text().splitlines()
    lines[2] = json.dumps({**json.loads(lines[2]), **change})
    folder.rows_file.write_text("\n".join(lines) + "\n")
    other = write_run(tmp_path / "other")
    for use in (bench_page, lambda run: compare(other, run), lambda run: choose_trees(run, "all")):
        with pytest.raises(InputError, match=rf"rows\.jsonl:3:? .*{words}"):
            use(folder)


@pytest.mark.parametrize(
    "line",
    [b"null", b"[1]", b"[" * 200_000, b'{"cell": ' * 200_000, b"\xff\xfe", b"\0" * 99, b"", b"NaN"],
)
def test_a_line_that_is_no_row_is_told(tmp_path: Path, line: bytes) -> None:
    folder = write_run(tmp_path / "run", {"rebase width=4": CELLS["rebase width=4"]})
    folder.rows_file.write_bytes(folder.rows_file.read_bytes() + line + b"\n")
    with pytest.raises(InputError, match=r"rows\.jsonl:21 is no row of a run: "):
        folder.rows()


def test_numbers_that_are_none_are_told(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", {"rebase width=4": CELLS["rebase width=4"]})
    text = folder.rows_file.read_text()
    for wrong, words in (("NaN", "NaN is no number"), ("1e999", "seconds must be a number")):
        folder.rows_file.write_text(text.replace('"seconds": 2.0', f'"seconds": {wrong}', 1))
        with pytest.raises(InputError, match=rf"rows\.jsonl:1.* {words}"):
            finished_rows(folder, GRID)


# --- the configuration --------------------------------------------------------------------------


def with_config(config: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {**config, "configuration": {**config["configuration"], **changes}}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: [], "it is no JSON object"),
        (lambda c: {}, "format must be 1"),
        (lambda c: {**c, "format": True}, "format must be 1"),
        (lambda c: {**c, "format": 2}, "is a run of format 2, not 1"),
        (lambda c: {"format": 1}, "configuration must be an object"),
        (lambda c: {**c, "configuration": []}, "configuration must be an object"),
        (lambda c: {**c, "dataset": {}}, "dataset must hold problems and sha256"),
        (lambda c: with_config(c, zz=1), r"run\.json: unknown key 'zz'"),
        (lambda c: with_config(c, seeds=3), r"run\.json: seeds must be a list"),
        (lambda c: with_config(c, search=[]), r"run\.json: search must be a dict"),
        (lambda c: with_config(c, fields=5), r"run\.json: fields must be a dict"),
    ],
)
def test_a_damaged_configuration_is_told_with_its_file(
    tmp_path: Path, change: Callable[[dict[str, Any]], Any], words: str
) -> None:
    file = write_run(tmp_path / "run").config_file
    file.write_text(json.dumps(change(json.loads(file.read_text()))))
    with pytest.raises(InputError, match=words):
        bench_page(RunFolder(tmp_path / "run"))


@pytest.mark.parametrize("depth", [150, 900, 100_000])
def test_a_deep_configuration_is_told(tmp_path: Path, depth: int) -> None:
    file = write_run(tmp_path / "run").config_file
    text = json.dumps({**json.loads(file.read_text()), "machine": "HERE"})
    file.write_text(text.replace('"HERE"', "[" * depth + "]" * depth))
    with pytest.raises(InputError, match=r"run\.json cannot be read as a run: .* too deeply"):
        RunFolder(tmp_path / "run")


# --- problems and trees -------------------------------------------------------------------------


def test_other_problems_are_refused(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    file = tmp_path / "run" / "problems.jsonl"
    text = file.read_text()
    for changed in (text.replace("What", "Where", 1), "".join(text.splitlines(True)[:5]), ""):
        file.write_text(changed)
        with pytest.raises(InputError, match=r"problems\.jsonl does not hold the problems that"):
            bench_page(folder)
        with (
            RunFolder.open(folder.path, GRID.configuration(), dataset_of(problems_of())) as out,
            pytest.raises(InputError, match="delete it, and ets bench writes it anew"),
        ):
            out.keep_problems(problems_of())
    file.unlink()
    with RunFolder.open(folder.path, GRID.configuration(), dataset_of(problems_of())) as out:
        out.keep_problems(problems_of())
    assert file.read_text() == text


def test_a_tree_of_another_search_is_refused(tmp_path: Path) -> None:
    problems = [Problem("1 + 1?", "2", "a"), Problem("1 + 2?", "3", "b")]
    grid = Grid(strategies=("rebase", "best-of-n"), widths=(4,), seeds=(0, 1))
    texts = {problem.key: problem.text for problem in problems}
    trees = {
        (cell.label, seed, p.key): pack_tree(
            TreeSearch(cell.strategy(), 3, seed=problem_seed(seed, p.text))
        )
        for cell in grid.cells()
        for seed in grid.seeds
        for p in problems
    }
    with RunFolder.open(tmp_path / "run", grid.configuration(), dataset_of(problems)) as out:
        for cell, seed, key in trees:
            out.add({"cell": cell, "seed": seed, "id": key, "tokens": []}, trees[cell, seed, key])
        rows = out.rows()
        for row in rows:
            assert tree_of(out, row, grid, texts) is not None
            for other in rows:
                out.tree_file(row).write_bytes(trees[other["cell"], other["seed"], other["id"]])
                if other is not row:
                    with pytest.raises(InputError, match="is the tree of another search than"):
                        tree_of(out, row, grid, texts)
        with pytest.raises(InputError, match="is the tree of another search than"):
            tree_of(out, {**rows[-1], "tokens": [3]}, grid, texts)


def test_a_deep_or_broken_tree_is_told(tmp_path: Path) -> None:
    whole = gzip.compress(b"{}" * 1000)
    for damage in (gzip.compress(b"[" * 300_000), whole[:20] + b"\xff" * 9 + whole[29:]):
        with RunFolder.open(tmp_path, {}, DATASET) as out:
            write_whole_tree(out, damage)
            with pytest.raises(InputError, match="is no packed tree: "):
                out.tree(ROW)


def write_whole_tree(out: RunFolder, data: bytes) -> None:
    out.tree_file(ROW).parent.mkdir(exist_ok=True)
    write_whole(out.tree_file(ROW), data)


# --- a disk that cannot be written, and a report that is killed ---------------------------------


def test_a_finished_run_is_read_on_a_disk_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    problems = tmp_path / "problems.jsonl"
    kept = [{"problem": p.text, "answer": p.expected, "id": p.key} for p in problems_of()]
    problems.write_text("".join(json.dumps(row) + "\n" for row in kept))
    grid = Grid(
        dataset=str(problems), strategies=GRID.strategies, widths=GRID.widths, lambda_b=(1.0, 2.0)
    )
    write_run(tmp_path / "run", grid=grid)
    (tmp_path / "run" / ".lock").unlink(missing_ok=True)
    real = os.open

    def read_only(path: Any, flags: int, *more: Any, **named: Any) -> int:
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            raise OSError(errno.EROFS, "Read-only file system", str(path))
        return real(path, flags, *more, **named)

    monkeypatch.setattr(os, "open", read_only)
    before = (tmp_path / "run" / "rows.jsonl").read_bytes()
    assert len(run(grid, tmp_path / "run", lambda *told: None)) == 8 * 20
    lines = before.splitlines(True)
    (tmp_path / "run" / "rows.jsonl").write_bytes(b"".join(lines[:-3]))
    with pytest.raises(InputError, match="cannot be written into, and 3 searches are missing"):
        run(grid, tmp_path / "run", lambda *told: None)


def test_the_page_of_a_report_is_written_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        """No `except` of the code under test catches it."""

    def killed(self: Drawing, folder: Path) -> Path:
        raise Killed

    page = bench_page(write_run(tmp_path / "run"))
    monkeypatch.setattr(Drawing, "write", killed)
    with pytest.raises(Killed):
        page.write(tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []
