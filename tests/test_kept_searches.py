"""The searches kept in `benches/`: what was written is read, and the docs' tables are theirs."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import fresh
import frontier
import kept_searches

ROOT = Path(__file__).resolve().parents[1]
DOCS = (ROOT / "docs" / "results.md").read_text("utf-8")
CELL = "rebase"


def bench(run: Path, seed: int) -> None:
    grid = ["--split", "fresh", "--problems", "3", "--seeds", str(seed), "--widths", "4"]
    command = [sys.executable, "-m", "ets", "bench", str(run), *grid, *fresh.CELLS[CELL]]
    subprocess.run([*command, "--no-trees"], check=True, capture_output=True)


def kept_strategies(width: int) -> list[str]:
    kept = {line[1] for line in kept_searches.read() if line[0] == str(width)}
    return [name for name in fresh.CELLS if name in kept]


def table_lines(text: str) -> set[str]:
    """Rows of Markdown tables that begin with a strategy's name, cells without padding."""
    rows = (re.split(r"\s*\|\s*", line.strip("| ")) for line in text.splitlines() if "|" in line)
    return {"|".join(row) for row in rows if row[0] in fresh.CELLS}


def test_kept_searches_make_the_same_table_as_the_run_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_searches, "FILE", tmp_path / "kept.csv")
    for seed in (0, 1):
        bench(tmp_path / f"w4-{CELL}-{seed}", seed)
    searched = fresh.searched(tmp_path, 4, CELL)
    kept_searches.write({(4, CELL): searched})
    kept = kept_searches.kept(4, CELL)
    assert kept.keys() == searched.keys()
    assert len(kept) == 6
    keys = fresh.shared(kept, searched)
    for measure in (fresh.is_right, fresh.kv, lambda row: row["usage"]["policy_tokens"]):
        assert [measure(kept[key]) for key in keys] == [measure(searched[key]) for key in keys]
    votes = [[fresh.right_share(rows[key]) for key in keys] for rows in (kept, searched)]
    assert votes[0] == pytest.approx(votes[1], abs=1e-4)
    assert 0 < sum(votes[0]) < len(keys)
    assert kept_searches.kept(5, CELL) == {}


def test_a_search_made_again_takes_the_place_of_the_kept_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_searches, "FILE", tmp_path / "kept.csv")
    row = {
        "seed": 2,
        "id": "fresh-007",
        "right": {"weighted": True},
        "vote": 0.25,
        "kv": {"before": {"sum": 30, "peak": 20}, "after": {"sum": 10}},
        "usage": {"policy_tokens": 9},
    }
    key = (2, "fresh-007")
    kept_searches.write({(8, "ets"): {key: row}, (8, "mpts"): {key: row}})
    kept_searches.write({(8, "ets"): {key: row | {"vote": 0.5}}})
    assert kept_searches.kept(8, "ets") == {key: row | {"vote": 0.5}}
    assert kept_searches.kept(8, "mpts") == {key: row}


def test_a_file_of_other_columns_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_searches, "FILE", tmp_path / "kept.csv")
    kept_searches.FILE.write_text("width,strategy\n64,rebase\n")
    with pytest.raises(ValueError, match="has the columns"):
        kept_searches.kept(64, CELL)


def test_the_tables_of_the_docs_are_those_of_the_kept_searches(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """To the last digit: intervals are drawn with a seed of their own."""
    kept = {name: fresh.rows_of(tmp_path, 64, name) for name in kept_strategies(64)}
    found = {name: rows for name, rows in kept.items() if len(rows) == 900}
    assert {"rebase", "mpts", "dvts-4", "dvts-8"} <= set(found)
    fresh.print_tables(found, "rebase")
    head, _, rest = capsys.readouterr().out.partition("\n\n")
    by_depth, _, _ = rest.partition("\nPoints to rebase")
    printed = table_lines(head) | table_lines(by_depth)
    assert len(printed) == 2 * len(found) - 1
    assert printed <= table_lines(DOCS)


def test_the_frontier_of_the_docs_is_that_of_the_kept_searches(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = frontier.read(tmp_path)
    narrow = {key: rows for key, rows in kept.items() if key[1] <= frontier.WIDEST}
    points = frontier.over_common(narrow)
    assert {len(point.right) for point in points} == {300}
    frontier.print_grid(points)
    frontier.print_beside(points)
    frontier.print_across(points)
    printed = table_lines(capsys.readouterr().out)
    published = [key for key in narrow if key[0] not in frontier.OURS]
    rows = len({name for name, _ in narrow}) + len(published) + len(frontier.ACROSS)
    assert len(printed) == rows
    assert printed <= table_lines(DOCS)
