"""The tables of `benches/deeper.py`, and the searches that are kept of it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")  # the pair is made by training

import deeper
from kept_searches import Row


def row(problem: int, kv: int, hits: list[bool]) -> Row:
    """As `measure` writes it."""
    return {
        "seed": 0,
        "id": f"deep-{problem:03}",
        "right": {"weighted": hits[0], "majority": hits[1], "best": hits[0]},
        "hits": hits,
        "scores": [0.75, 0.25],
        "kv": {
            "before": {"sum": kv, "peak": kv // 2, "steps": [kv]},
            "after": {"sum": kv // 3},
        },
        "usage": {"policy_tokens": 10 * kv, "prm_tokens": 3},
        "seconds": 1.5,
    }


def write(work: Path, name: str, rows: list[Row]) -> None:
    folder = work / f"w64-{name}-0"
    folder.mkdir(parents=True)
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_what_is_kept_makes_the_same_tables(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def tables(work: Path, *more: str) -> str:
        asked = ["deeper.py", str(work), "--problems", "9", "--table", *more]
        monkeypatch.setattr(sys, "argv", asked)
        deeper.main()
        return capsys.readouterr().out

    kept = tmp_path / "kept"
    monkeypatch.setattr(deeper, "KEPT", kept)
    hits = [[True, False], [False, True], [False, False]] * 3
    write(tmp_path, "rebase", [row(i, 90 + i, hit) for i, hit in enumerate(hits)])
    write(tmp_path, "beam", [row(i, 40 + i, hit) for i, hit in enumerate(hits[:4])])
    before = tables(tmp_path, "--keep")
    assert tables(kept) == before
    assert "| rebase | 9 | 33.3% (12.1% to 64.6%) | | | 1.00x | 1.00x | 1.00x |" in before
    assert "| beam | 4 | 50.0% (15.0% to 85.0%) | +0.0 (+0.0 to +0.0) |" in before
    assert "| rebase | 33.3% (6.1% to 79.2%); 67% |" in before
    assert "seconds" not in (kept / "w64-beam-0" / "rows.jsonl").read_text()
    assert sorted(path.name for path in kept.iterdir()) == ["w64-beam-0", "w64-rebase-0"]


def test_what_the_docs_say_of_kept_searches(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    docs = (Path(__file__).resolve().parents[1] / "docs" / "results.md").read_text("utf-8")
    asked = ["deeper.py", str(deeper.KEPT), "--problems", "90", "--table"]
    monkeypatch.setattr(sys, "argv", asked)
    deeper.main()
    rows = (line.split("|") for line in capsys.readouterr().out.splitlines())
    found = {row[1].strip(): row for row in rows if len(row) > 8}
    less_kv = found["mpts-text"][6].strip().replace("x (", "x less KV than REBASE (")
    assert less_kv in docs
    assert f"{found['mpts-text'][4].strip().replace(' ', ' points ', 1)}: six lost" in docs
