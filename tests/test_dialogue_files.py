"""Files whose problems are messages: read, searched by the commands, kept, replayed, reported."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ets.bench.dataset import fingerprint, load_dataset
from ets.bench.grid import Grid
from ets.bench.replay import Replay, replayed_grid
from ets.bench.run_folder import RunFolder, key_of
from ets.bench.runner import run
from ets.cli.problems import read_problems
from ets.dialogue import Dialogue
from ets.errors import InputError
from ets.problems.problem import Fields, Problem
from ets.report.trees import choose_trees

ASKED = "Ben has 9 coins. Ben finds 6 coins. How many coins does Ben have?"
SYSTEM = {"role": "system", "content": "Ben has coins."}
TURNS = [{"role": "user", "content": "Ben has 9 coins."}, {"role": "assistant", "content": "9."}]
LAST = {"role": "user", "content": ASKED}
ROWS: list[dict[str, Any]] = [
    {"id": "text", "problem": ASKED, "answer": "15"},
    {"id": "alone", "problem": [LAST], "answer": "15"},
    {"id": "told", "problem": [SYSTEM, LAST], "answer": "15"},
    {"id": "turns", "messages": [SYSTEM, *TURNS, LAST], "answer": "15"},
]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "problems.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS), "utf-8")
    return path


def test_rows_hold_texts_or_messages(file: Path, tmp_path: Path) -> None:
    problems = load_dataset(str(file))
    assert [problem.text for problem in problems] == [ASKED] * 4
    assert problems[0].given == problems[1].given == ASKED
    assert problems[2].posed == Dialogue.of("m", [SYSTEM, LAST])
    assert problems[3].given == [SYSTEM, *TURNS, LAST]
    assert read_problems(str(file))[0] == problems
    assert len({fingerprint([problem]) for problem in problems}) == 4
    as_list = tmp_path / "list.json"
    as_list.write_text(json.dumps(ROWS), "utf-8")
    assert load_dataset(str(as_list)) == problems


def test_parquet_holds_messages_too(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    rows = [{"q": row.get("messages") or [LAST], "answer": "15"} for row in ROWS]
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "p.parquet")
    found = load_dataset(str(tmp_path / "p.parquet"), fields=Fields(problem="q"))
    assert [problem.given for problem in found] == [ASKED] * 3 + [[SYSTEM, *TURNS, LAST]]


def test_a_bad_message_is_told_by_row(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text(json.dumps({"messages": [LAST, *TURNS[1:]], "answer": 1}), "utf-8")
    with pytest.raises(InputError, match=r"p.jsonl:1: messages\[1\].role must be 'user'"):
        load_dataset(str(path))


def test_a_text_keeps_its_fingerprint() -> None:
    """As runs that were written before messages could be given have it."""
    known = "a1e53059c7620aa0eb3a716f77c57d22"
    assert fingerprint([Problem("What is 1?", "1", 0)]).startswith(known)


def test_a_run_keeps_messages_and_is_replayed(file: Path, tmp_path: Path) -> None:
    grid = Grid(dataset=str(file), strategies=("rebase",), widths=(4,), concurrency=4)
    rows = run(grid, tmp_path / "run", lambda row, done, total: None)
    folder = RunFolder(tmp_path / "run")
    assert folder.problems() == load_dataset(str(file))
    assert load_dataset(str(tmp_path / "run" / "problems.jsonl")) == folder.problems()
    trees = {row["id"]: folder.tree(row) for row in rows}
    assert trees["text"] == trees["alone"]  # which of the two has it makes no difference
    assert len({tree.seed for tree in trees.values() if tree is not None}) == 3
    again = {key_of(row): row for row, _ in Replay(folder, replayed_grid(folder, {})).found()}
    for row in rows:
        found = again[key_of(row)]
        assert found["replay"]["asked"] == found["replay"]["recorded"]
        assert (found["answer"], found["kv"]) == (row["answer"], row["kv"])
    assert run(grid, tmp_path / "run", lambda row, done, total: None) == rows
    choose_trees(folder, "all").write(tmp_path / "report")
    pages = [page.read_text("utf-8") for page in (tmp_path / "report").rglob("*.html")]
    assert sum(SYSTEM["content"] in page for page in pages) == 2


def test_the_command_solves_them(file: Path) -> None:
    command = [sys.executable, "-m", "ets", "solve", str(file), "--width", "4", "--json"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert [record["id"] for record in records] == [row["id"] for row in ROWS]
    assert [record["problem"] for record in records] == [
        ASKED,
        ASKED,
        [SYSTEM, LAST],
        [SYSTEM, *TURNS, LAST],
    ]
    assert records[0]["votes"] == records[1]["votes"]
