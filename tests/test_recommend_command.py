"""`ets tune --by`: over runs made by hand, over scripted engines, and on the bundled pair."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import ets
from candidate_cases import candidate, candidates
from ets.bench.advice import advice, as_toml, headline
from ets.bench.cost import Cost
from ets.bench.grid import Grid
from ets.bench.recommendation import Limit, recommend
from ets.cli.bench.recommend import asked_limit
from ets.errors import InputError
from ets.search.toml import read_config, search_arguments
from run_cases import write_problems

SCRIPTED = [sys.executable, str(Path(__file__).parent / "bench_scripted.py")]
ETS = [sys.executable, "-m", "ets"]


def run(command: list[str], *arguments: object, ok: bool = True) -> str:
    words = [*command, *map(str, arguments)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode == 0) == ok, done.stderr
    return done.stdout if ok else done.stderr


def test_in_plain_words() -> None:
    right = [problem < 60 for problem in range(100)]
    each = [
        candidate("best-of-n", right, 100, vote="majority", width=16),
        candidate("rebase", [problem < 58 for problem in range(100)], 300),
    ]
    found = recommend(candidates(each), Limit(), draws=100)
    said = advice(found)
    assert said[0] == (
        "Sample and vote: 16 independent samples and a majority vote, without a PRM "
        "(best-of-n width=16, majority)."
    )
    assert said[1] == (
        "60.0% right (50.2 to 69.1) of 100 problems, 100 tokens a problem: the cheapest within 1 "
        "point of the best."
    )
    assert said[3].startswith("Confidence that it is within 1 point of the best: 100% to 100%, ")
    assert said[4].startswith(
        "Search against sampling, each at its best: rebase width=4, weighted is -2.0 points to "
        "best-of-n width=16, majority ("
    )
    assert said[4].endswith(
        "at 3.00 times the cost: these problems do not tell which is more accurate; sampling is no "
        "dearer."
    )
    paid = recommend(candidates(each), Limit(at_most=150, cost=Cost(by="kv")), draws=100)
    assert "100 KV tokens a problem: the best at no more than 150 KV tokens." in advice(paid)[1]
    assert "nothing that can be paid is more than" in advice(paid)[3]


def test_what_cannot_be_told_is_said() -> None:
    each = [
        candidate("best-of-n", [1, 0, 1, 0], 100, vote="majority", width=1),
        candidate("mpts", [1, 1, 1, 0], 300),
    ]
    found = recommend(candidates(each), Limit(), draws=100)
    said = advice(found)
    assert said[0] == "Search: mpts width=4, weighted."
    assert said[4].startswith(
        "These 4 problems cannot tell it from best-of-n width=1, majority (-25.0 points, "
    )
    assert "which costs 0.33 times as much: about " in said[4]
    assert said[4].endswith("Sample once, without a PRM (best-of-n width=1, majority).")
    alike = [each[0], candidate("mpts", [1, 0, 1, 0], 50)]
    same = recommend(candidates(alike), Limit(), draws=100)
    assert not same.undecided


def test_the_file_is_a_search(tmp_path: Path) -> None:
    grid = Grid(
        search={"prm": "demo-checker?auroc=0.6", "prm_options": {"seed": 3}, "max_depth": 9}
    )
    sampling = candidate("best-of-n", [1, 0], 1, vote="majority", width=8)
    search = candidate("mpts", [1, 0], 1, width=8, rho=0.25)
    for one, expected in (
        (sampling, {"prm": "none", "vote": "majority", "strategy": ets.BestOfN(width=8)}),
        (
            search,
            {
                **grid.search,
                "vote": "weighted",
                "strategy": ets.MPTS(width=8, rho=0.25),
            },
        ),
    ):
        object.__setattr__(one, "grid", grid)
        path = tmp_path / "file.toml"
        path.write_text(as_toml(one))
        assert path.read_text().startswith(f"# Recommended by `ets tune`: {headline(one)}\n")
        assert search_arguments(read_config(path)) == {"max_depth": 9, **expected}


def test_what_is_asked_for() -> None:
    assert asked_limit(None, None, None, None) is None
    limit = asked_limit(None, 500.0, None, None)
    assert limit == Limit(at_most=500)
    assert asked_limit("kv", None, 2.0, None) == Limit(cost=Cost(by="kv"), within=0.02)
    assert asked_limit(None, None, None, "0.5") == Limit(cost=Cost(prm_weight=0.5))
    assert asked_limit(None, None, None, "measured") == Limit(cost=Cost(prm_weight="measured"))
    for asked, why in (
        ((None, None, 101.0, None), r"--within must be a number of points in \[0, 100\], got 101"),
        ((None, None, None, "much"), "--prm-weight must be a number >= 0, or measured, got 'much'"),
        (("kv", None, None, "2"), "--prm-weight weighs tokens: it has no meaning with --by kv"),
    ):
        with pytest.raises(InputError, match=why):
            asked_limit(*asked)


def test_the_command_searches_or_reads(tmp_path: Path) -> None:
    problems = write_problems(tmp_path / "problems.jsonl", 12)
    folder = tmp_path / "run"
    given = ("--dataset", problems, "--widths", "4", "--strategies", "best-of-n,rebase")
    shown = run(SCRIPTED, "tune", folder, "--by", "tokens", *given)
    for text in ("best-of-n width=2, weighted", "rebase width=4, weighted", "(of ", "chosen"):
        assert text in shown
    rows = (folder / "rows.jsonl").read_bytes()
    (read,) = run(SCRIPTED, "tune", folder, "--at-most", "3000", "--json").splitlines()
    said = json.loads(read)
    assert (folder / "rows.jsonl").read_bytes() == rows
    assert (said["by"], said["at_most"], said["within"], said["problems"]) == (
        "tokens",
        3000,
        0,
        12,
    )
    assert {one["candidate"] for one in said["standings"]} >= {"best-of-n width=1, majority"}
    chosen = next(one for one in said["standings"] if one["candidate"] == said["chosen"])
    assert chosen["cost"]["value"] <= 3000
    assert sum(one["share"] for one in said["standings"]) == pytest.approx(1)
    strategy = search_arguments(read_config(said["files"]["recommended.toml"]))["strategy"]
    assert strategy.width == said["strategy"]["width"]
    assert (folder / "simplest.toml").exists() == said["undecided"]


def test_runs_that_stop_when_certain_are_read_too(tmp_path: Path) -> None:
    problems = write_problems(tmp_path / "problems.jsonl", 3)
    stops, whole = tmp_path / "stops", tmp_path / "whole"
    given = ("--dataset", problems, "--widths", "16", "--strategies", "best-of-n")
    run(SCRIPTED, "bench", stops, *given, "--until-error", "0.2")
    assert not (stops / "trees").exists()
    run(SCRIPTED, "bench", whole, *given)
    said = json.loads(run(ETS, "tune", stops, whole, "--by", "tokens", "--json"))
    names = [one["candidate"] for one in said["standings"]]
    assert [name for name in names if "stops" in name] == ["stops: best-of-n width=16, weighted"]
    assert "whole: best-of-n width=8, majority" in names
    alone = run(ETS, "tune", stops, "--by", "tokens")
    assert "up to 16 independent samples" in alone


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("--by", "tokens", "--loss", "1"), "--loss is that of ETS against REBASE: say --within"),
        (
            ("--strategies", "beam"),
            "--strategies needs --by: without it REBASE and ETS are searched",
        ),
        (("other",), "RUN must be one folder without --by, got 2"),
        (("other", "--by", "kv", "--widths", "4"), "RUN must be one folder where options say"),
        (("--by", "kv"), "run is no run folder: it has no run.json"),
        (("--at-most", "0"), "at_most must be above 0, got 0.0"),
    ],
)
def test_what_does_not_go_together(tmp_path: Path, arguments: tuple[str, ...], why: str) -> None:
    said = run(SCRIPTED, "tune", tmp_path / "run", *arguments, ok=False)
    assert why in said
    assert said.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_the_bundled_pair_from_samples_to_the_answer(tmp_path: Path) -> None:
    """Two runs, one choice, and the search that its file makes."""
    wide, searched = tmp_path / "wide", tmp_path / "searched"
    some = ("--split", "dev", "--problems", "4", "--no-trees")
    run(ETS, "bench", wide, *some, "--strategies", "best-of-n", "--widths", "8")
    run(ETS, "bench", searched, *some, "--strategies", "rebase", "--widths", "4")
    said: dict[str, Any] = json.loads(run(ETS, "tune", wide, searched, "--by", "kv", "--json"))
    labels = {one["candidate"] for one in said["standings"]}
    assert len(labels) == 3 * 4 - 2 + 1
    narrow, rebase = "wide: best-of-n width=4, majority", "searched: rebase width=4, weighted"
    assert {narrow, rebase} <= labels
    cost = {one["candidate"]: one["cost"]["value"] for one in said["standings"]}
    assert cost[narrow] < cost["wide: best-of-n width=8, majority"]
    file = said["files"]["recommended.toml"]
    solved = run(ETS, "solve", "--config", file, "--json", "What is 1 + 1?")
    assert json.loads(solved.splitlines()[-1])
