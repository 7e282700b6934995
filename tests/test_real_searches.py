"""Searches of a real model as they are kept, and the table that is printed of them."""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from itertools import product
from pathlib import Path

import pytest

import ets
import real_model
import real_prm
import real_searches
from ets.bench.dataset import load_dataset
from ets.policy import load_policy
from ets.prm import load_prm
from ets.problems.problem import Problem
from ets.strategy import Strategy
from kept_searches import Row
from real_searches import Searched, print_table

ROOT = Path(__file__).resolve().parents[1]
DOCS = (ROOT / "docs" / "results.md").read_text("utf-8")
KEPT = sorted(path for path in real_searches.KEPT.iterdir() if path.is_dir())


def search(problem: str, kv: int, hits: list[bool]) -> Row:
    """As `real_model.py` writes it."""
    return {
        "cell": "rebase, width 2",
        "seed": 0,
        "id": problem,
        "answer": "7",
        "right": {"weighted": hits[0], "majority": hits[0], "max": hits[0]},
        "hits": hits,
        "scores": [0.75, 0.25],
        "tokens": [4, 6],
        "rewards": [[0.5, 0.75], [0.25]],
        "kv": {
            "before": {"sum": kv, "peak": kv // 2, "steps": [kv]},
            "after": {"sum": kv // 3},
            "rebase": {"sum": kv},
        },
        "usage": {"policy_tokens": 10 * kv, "prm_tokens": 3},
        "steps": 2,
        "continued": [2, 1],
        "seconds": 1.5,
    }


def write(work: Path, name: str, rows: list[Row]) -> None:
    work.mkdir(exist_ok=True)
    text = "".join(json.dumps(row) + "\n" for row in rows)
    Searched(work, 2, None).file(name).write_text(text)


def table_of(work: Path, capsys: pytest.CaptureFixture[str], *names: str) -> str:
    print_table(Searched(work, 2, None), names, "rebase")
    return capsys.readouterr().out


def test_what_is_kept_makes_the_same_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    work, kept = tmp_path / "work", tmp_path / "kept"
    write(work, "rebase", [search("a", 90, [True, False]), search("b", 60, [False, True])])
    write(work, "best-of-n", [search("a", 120, [True, True]), search("b", 75, [True, False])])
    (work / "auroc.json").write_text("0.625\n")
    Searched(work, 2, None).keep(kept, Searched(work, 2, None).names())
    tables = [table_of(folder, capsys, "rebase", "best-of-n") for folder in (work, kept)]
    assert tables[0] == tables[1]
    assert "2 problems; of independent samples 75% right" in tables[0]
    assert "held out of training 0.625" in tables[0]
    assert "| 0.77x (0.75 to 0.80) |" in tables[0]
    assert tables[0].rstrip().endswith("| 2.0, 1.0 |")
    assert "seconds" not in (kept / "w2-rebase.jsonl").read_text()


def test_only_problems_that_every_setting_has_are_in_the_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, "rebase", [search("a", 90, [True, False]), search("b", 60, [False, True])])
    write(tmp_path, "mpts", [search("b", 30, [False, True])])
    assert "2.00x (2.00 to 2.00)" in table_of(tmp_path, capsys, "mpts")
    write(tmp_path, "mpts", [search("c", 30, [False, True])])
    assert "no problem has been searched" in table_of(tmp_path, capsys, "mpts")


@pytest.mark.parametrize("work", KEPT, ids=lambda work: work.name)
def test_the_tables_of_the_docs_are_those_of_the_kept_searches(
    work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    widths = {int(path.name[1:].partition("-")[0]) for path in work.glob("w*.jsonl")}
    for width in widths:
        searched = Searched(work, width, None)
        names = searched.names()
        print_table(searched, names, "rebase")
        rows = cells(capsys.readouterr().out)
        assert len(rows) == len(names) + 1
        assert rows <= cells(DOCS)


def test_searches_in_flight_together_are_those_of_each_setting_alone(tmp_path: Path) -> None:
    """And what is there is not searched again."""
    problems = load_dataset("demo", split="dev")[:5]
    compared: dict[str, Strategy] = {"rebase": ets.REBASE(width=4), "mpts": ets.MPTS(width=4)}
    rows = Searched(tmp_path, 4, None)
    policy, prm = load_policy("demo"), load_prm("demo")
    for tested in (problems[:2], problems):
        asyncio.run(real_model.search(rows, policy, prm, tested, compared))
    for name, strategy in compared.items():
        found = {row["id"]: row for row in rows.of(name)}
        assert len(rows.of(name)) == len(found) == len(problems)
        with ets.Search(
            policy="demo", prm="demo", strategy=strategy, seed=real_prm.SEED, **real_prm.LIMITS
        ) as alone:
            for problem, result in zip(
                problems, alone.map([p.text for p in problems]), strict=True
            ):
                assert found[problem.key]["kv"]["before"]["sum"] == result.kv.before.sum
                assert found[problem.key]["answer"] == result.answer
                nodes = result.tree.nodes
                counts = Counter(nodes.depth[parent] for parent in set(nodes.parent) if parent > 0)
                assert found[problem.key]["continued"] == [counts[d] for d in sorted(counts)]


def test_settings_take_turns_block_after_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(real_model, "AT_ONCE", 2)
    problems = [Problem(text) for text in "abc"]
    order = [(name, problem.text) for name, problem in real_model.turns(problems, ["x", "y"])]
    assert order == [*product("xy", "ab"), *product("xy", "c")]


def cells(text: str) -> set[str]:
    """The rows of Markdown tables, without padding and rules."""
    rows = (re.split(r"\s*\|\s*", line.strip("| ")) for line in text.splitlines() if "|" in line)
    return {"|".join(row) for row in rows if not set(row[0]) <= {"-"}}
