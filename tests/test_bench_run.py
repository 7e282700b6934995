"""Runs of a benchmark: the grid, the folder, what a kill leaves, what the table says."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import ets.bench.engines
from ets.bench.dataset import fingerprint, load_dataset
from ets.bench.grid import Grid
from ets.bench.run_folder import RunFolder, differences
from ets.bench.statistics import Interval
from ets.bench.summary import summarise
from ets.errors import EngineError, InputError
from ets.problems.problem import Problem
from scripted_engines import ScriptedPolicy

SCRIPTED = [sys.executable, str(Path(__file__).parent / "bench_scripted.py"), "bench"]
TIMES = ("seconds", "policy_seconds", "prm_seconds", "cluster_seconds", "select_seconds")
DATASET = {"problems": 2, "sha256": "x"}


def dataset_of(problems: list[Problem]) -> dict[str, Any]:
    return {"problems": len(problems), "sha256": fingerprint(problems)}


def write_problems(path: Path, count: int) -> Path:
    rows = ({"problem": f"Problem {i}?", "answer": i % 3, "id": f"p{i}"} for i in range(count))
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def rows_of(folder: Path) -> list[dict[str, Any]]:
    """Without what differs from run to run, in an order of their own."""
    rows = [{k: v for k, v in row.items() if k not in TIMES} for row in RunFolder(folder).rows()]
    return sorted(rows, key=lambda row: (row["cell"], row["seed"], row["id"]))


def trees_of(folder: Path) -> dict[str, bytes]:
    """Every file of the folder's trees; each row must have its own."""
    run = RunFolder(folder)
    files = {file.name: file.read_bytes() for file in (folder / "trees").iterdir()}
    trees = [run.tree(row) for row in run.rows()]
    assert None not in trees
    assert len(trees) == len(files)
    return files


# --- the folder ---------------------------------------------------------------------------------


def test_a_folder_of_another_configuration_is_refused_with_the_difference(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with RunFolder.open(folder, {"widths": [4], "search": {"policy": "a"}}, DATASET):
        pass
    with (
        pytest.raises(InputError) as error,
        RunFolder.open(folder, {"widths": [8], "search": {"policy": "b", "prm": "c"}}, DATASET),
    ):
        pass
    for words in (
        "run of another configuration",
        "widths is [4] there, [8] here",
        'search.policy is "a" there, "b" here',
        'search.prm is null there, "c" here',
    ):
        assert words in str(error.value)
    with (
        pytest.raises(InputError, match=r'dataset\.sha256 is "x" there, "y" here'),
        RunFolder.open(
            folder, {"widths": [4], "search": {"policy": "a"}}, {**DATASET, "sha256": "y"}
        ),
    ):
        pass


def test_only_one_process_writes(tmp_path: Path) -> None:
    with RunFolder.open(tmp_path / "run", {}, DATASET):
        done = subprocess.run(
            [
                sys.executable,
                "-c",
                "import sys\nfrom ets.bench.run_folder import RunFolder\n"
                f"with RunFolder.open(sys.argv[1], {{}}, {DATASET}): pass",
                str(tmp_path / "run"),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode != 0
    assert "InputError: another process writes into" in done.stderr
    with RunFolder.open(tmp_path / "run", {}, DATASET):
        pass


@pytest.mark.parametrize("cut", range(1, 30, 4))
def test_half_a_line_is_no_row(tmp_path: Path, cut: int) -> None:
    folder = tmp_path / "run"
    rows = [{"cell": "ets width=4", "seed": 0, "id": f"Zoë {i}"} for i in range(3)]
    with RunFolder.open(folder, {}, DATASET) as run:
        for row in rows:
            run.add(row)
    file = folder / "rows.jsonl"
    file.write_bytes(file.read_bytes()[:-cut])
    assert RunFolder(folder).rows() == rows[:2]
    with RunFolder.open(folder, {}, DATASET) as run:
        run.add(rows[2])
        assert run.rows() == rows


def test_a_line_that_is_no_row_or_there_twice_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    row = {"cell": "ets width=4", "seed": 0, "id": 1}
    with RunFolder.open(folder, {}, DATASET) as run:
        run.add(row)
        run.add(row)
        with pytest.raises(InputError, match=r"rows\.jsonl:2 is there twice: ets width=4 0 1"):
            run.rows()
    (folder / "rows.jsonl").write_text('{"cell": 1}\n')
    with pytest.raises(InputError, match=r"rows\.jsonl:1 is no row of a run"):
        RunFolder(folder).rows()


def test_what_is_no_run_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"is no run folder: it has no run\.json"):
        RunFolder(tmp_path)
    (tmp_path / "thesis.tex").write_text("years of work")
    with (
        pytest.raises(InputError, match=r"is no run folder: it holds thesis\.tex"),
        RunFolder.open(tmp_path, {}, DATASET),
    ):
        pass
    for text, words in (("{", "cannot be read as a run"), ('{"format": 9}', "of format 9, not 1")):
        (tmp_path / "run.json").write_text(text)
        with pytest.raises(InputError, match=words):
            RunFolder(tmp_path)


# --- the trees ----------------------------------------------------------------------------------


def test_the_command_sweeps(tmp_path: Path) -> None:
    problems = write_problems(tmp_path / "problems.jsonl", 2)
    command = [*SCRIPTED, str(tmp_path / "run"), "--dataset", str(problems), "--widths", "4"]
    command += ["--strategies", "rebase,ets", "--sweep", "cluster_threshold=0.01,1"]
    subprocess.run(command, check=True, capture_output=True)
    run = RunFolder(tmp_path / "run")
    cells = ["rebase width=4", *(f"ets width=4 cluster_threshold={x}" for x in ("0.01", "1"))]
    assert sorted({row["cell"] for row in run.rows()}) == sorted(cells)
    assert run.config["configuration"]["sweep"] == {"cluster_threshold": [0.01, 1]}


class Forgetful(ScriptedPolicy):
    """Has a prefix cache to empty, which is in use at the first try."""

    def __init__(self) -> None:
        super().__init__(slow=False)
        self.tries: list[int] = []
        """How many searches had begun at each."""

    async def forget_prefixes(self) -> None:
        self.tries.append(len(self.started))
        if len(self.tries) == 1:
            raise EngineError("in use")


def test_each_strategy_finds_the_prefix_caches_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the last of them is spared what the first one read."""
    policy = Forgetful()
    monkeypatch.setattr(ets.bench.engines, "load_policy", lambda name, **options: policy)
    grid = Grid(problems=2, widths=(4,), strategies=("beam", "dvts", "rebase"), trees=False)
    problems = [Problem("a?", "1", "a"), Problem("b?", "2", "b")]
    todo = {(cell, 0): problems for cell in grid.cells()}
    with ets.bench.engines.Engines(grid, todo) as engines:
        assert len(list(engines.found())) == 6
    assert policy.tries == [2, 2, 4]


def test_a_row_has_its_tree_if_trees_are_kept(tmp_path: Path) -> None:
    problems = write_problems(tmp_path / "problems.jsonl", 2)
    for name, option in (("with", "--trees"), ("without", "--no-trees")):
        command = [*SCRIPTED, str(tmp_path / name), "--dataset", str(problems), option]
        subprocess.run([*command, "--widths", "4"], check=True, capture_output=True)
    run = RunFolder(tmp_path / "with")
    for row in run.rows():
        tree = run.tree(row)
        assert tree is not None
        assert tree.end == row["end"]
        assert [done.tokens for done in tree.trajectories] == row["tokens"]
    other = RunFolder(tmp_path / "without")
    assert [other.tree(row) for row in other.rows()] == [None] * len(run.rows())


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"no gzip", id="no gzip"),
        pytest.param(gzip.compress(b"{}"), id="no tree"),
        pytest.param(gzip.compress(b"["), id="half a JSON"),
    ],
)
def test_a_damaged_tree_is_named(tmp_path: Path, damage: bytes) -> None:
    row = {"cell": "rebase width=4", "seed": 0, "id": "a/../b"}
    with RunFolder.open(tmp_path, {}, DATASET) as run:
        run.add(row, damage)
        [file] = (tmp_path / "trees").iterdir()
        with pytest.raises(InputError, match=f"{file.name} is no packed tree"):
            run.tree(row)


def test_the_problems_are_kept_and_are_a_data_set_again(tmp_path: Path) -> None:
    problems = [
        Problem("1 < 2 </script> & \u2028?", "1/2", "p-1"),
        Problem("odd \x00\x85 text", "\\frac{1}{2}", "p-2"),
        Problem("Zoë's", "3", 7),
    ]
    folder = tmp_path / "run"
    with RunFolder.open(folder, {}, dataset_of(problems)) as run:
        assert run.problems() == [], "a run of an older version has none"
        run.keep_problems(problems)
        run.keep_problems([])
        assert RunFolder(folder).problems() == problems
    assert load_dataset(str(folder / "problems.jsonl")) == problems
    for bad in ("nothing\n", "3\n"):
        (folder / "problems.jsonl").write_text(bad)
        with pytest.raises(InputError, match=r"problems\.jsonl:1 is no problem of a run"):
            RunFolder(folder).problems()


def test_differences_of_two_configurations() -> None:
    a = {"configuration": {"seeds": [0], "search": {"prm": "x"}}, "dataset": {"problems": 3}}
    b = {"configuration": {"seeds": [0, 1], "search": {}}, "dataset": {"problems": 3}}
    assert list(differences(a, b)) == [("seeds", "[0]", "[0, 1]"), ("search.prm", '"x"', "null")]
    assert list(differences(a, a)) == []
    # An older version did not write a key that is empty now.
    assert list(differences({"seeds": [0]}, {"seeds": [0], "sweep": {}})) == []
    assert list(differences({}, {"sweep": {"solver": ["milp"]}})) == [
        ("sweep.solver", "null", '["milp"]')
    ]


# --- a run, killed and not ----------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 2])
def test_a_run_that_was_killed_many_times_ends_as_one_that_was_not(
    tmp_path: Path, workers: int
) -> None:
    problems = write_problems(tmp_path / "problems.jsonl", 30)
    options = ["--dataset", str(problems), "--strategies", "best-of-n,rebase,ets", "--widths"]
    options += ["3,6", "--seeds", "0,1", "--json"]
    whole = subprocess.run(
        [*SCRIPTED, str(tmp_path / "whole"), *options], capture_output=True, text=True, check=True
    )
    rng = random.Random(4)
    killed = tmp_path / "killed"
    kills = 0
    for _ in range(60):
        with subprocess.Popen(
            [*SCRIPTED, str(killed), *options, "--workers", str(workers)],
            stdout=subprocess.PIPE,
            text=True,
        ) as run:
            before = len(RunFolder(killed).rows()) if (killed / "run.json").exists() else 0
            while run.poll() is None and before == _written(killed):
                time.sleep(0.005)
            time.sleep(rng.random() * 0.3)
            if run.poll() is None and kills < 8:  # or a slow machine would never come to the end
                run.send_signal(signal.SIGKILL)
                kills += 1
                continue
            assert run.stdout is not None
            last = run.stdout.read()
            assert run.wait() == 0
            break
    assert kills >= 5, "too fast to be killed"
    assert rows_of(killed) == rows_of(tmp_path / "whole")
    assert len(rows_of(killed)) == 30 * 3 * 2 * 2
    assert trees_of(killed) == trees_of(tmp_path / "whole")

    def report(text: str) -> list[dict[str, Any]]:
        timed = ("seconds", "policy_share", "prm_share", "select_share", "cluster_share")
        return [
            {k: v for k, v in json.loads(line).items() if k not in timed}
            for line in text.splitlines()
        ]

    assert report(last) == report(whole.stdout)


def test_a_process_of_several_that_dies_is_told_and_its_work_is_done_again(tmp_path: Path) -> None:
    problems = write_problems(tmp_path / "problems.jsonl", 60)
    command = [*SCRIPTED, str(tmp_path / "run"), "--dataset", str(problems), "--workers", "2"]
    command += ["--strategies", "rebase,ets", "--widths", "8"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as run:
        while not _written(tmp_path / "run"):
            assert run.poll() is None
            time.sleep(0.005)
        workers = _children(run.pid)
        assert len(workers) == 2
        os.kill(workers[0], signal.SIGKILL)
        assert run.stderr is not None
        said = run.stderr.read()
    assert run.returncode == 2
    assert "a process of the benchmark died (exit status -9); what was finished is kept" in said
    assert not [pid for pid in workers if _runs(pid)]
    kept = _written(tmp_path / "run")
    assert 0 < kept < 120
    subprocess.run(command, check=True, capture_output=True)
    assert len(rows_of(tmp_path / "run")) == 120


def test_a_search_that_lost_its_engine_has_no_row_and_is_searched_again(tmp_path: Path) -> None:
    """What was found by then is no measurement of the strategy."""
    problems = write_problems(tmp_path / "problems.jsonl", 5)
    options = ["--dataset", str(problems), "--strategies", "rebase", "--concurrency", "1"]
    command = [*SCRIPTED, str(tmp_path / "run"), *options]
    loss = {**os.environ, "SCRIPTED_LOSS": "Problem 3?"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=loss)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == "ets: the server has gone"
    assert [row["id"] for row in rows_of(tmp_path / "run")] == ["p0", "p1", "p2"]
    subprocess.run(command, check=True, capture_output=True)
    whole = [*SCRIPTED, str(tmp_path / "whole"), *options]
    subprocess.run(whole, check=True, capture_output=True)
    assert len(rows_of(tmp_path / "run")) == 5
    assert rows_of(tmp_path / "run") == rows_of(tmp_path / "whole")


def test_an_error_in_one_of_several_processes_is_the_error_of_the_run(tmp_path: Path) -> None:
    problems = write_problems(tmp_path / "problems.jsonl", 4)
    command = [*SCRIPTED, str(tmp_path / "run"), "--dataset", str(problems), "--workers", "3"]
    done = subprocess.run(
        [*command, "--prm", "broken"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "the PRM is broken" in done.stderr
    assert done.stderr.count("\n") == 1


def _children(pid: int) -> list[int]:
    """Processes that `multiprocessing` started, without its resource tracker."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parent = int(status.read_text().rpartition(")")[2].split()[1])
            if parent == pid and b"spawn_main" in (status.parent / "cmdline").read_bytes():
                found.append(int(status.parent.name))
    return sorted(found)


def _runs(pid: int) -> bool:
    try:
        return " Z " not in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False


def _written(folder: Path) -> int:
    file = folder / "rows.jsonl"
    return file.read_bytes().count(b"\n") if file.exists() else 0


def test_more_problems_than_there_are(tmp_path: Path) -> None:
    problems = write_problems(tmp_path / "problems.jsonl", 3)
    run = [*SCRIPTED, str(tmp_path / "run"), "--dataset", str(problems)]
    done = subprocess.run(
        [*run, "--problems", "3", "--skip", "1"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "problems must be at most 2, which" in done.stderr
    assert done.stderr.count("\n") == 1


# --- the summary --------------------------------------------------------------------------------


def row(cell: str, problem: int, seed: int, *, right: bool, kv: int) -> dict[str, Any]:
    before = {"sum": kv, "mean": kv / 2, "peak": 0.8 * kv}
    after = {name: value / 3 for name, value in before.items()}
    return {
        "cell": cell,
        "seed": seed,
        "id": problem,
        "right": {"weighted": right, "majority": False, "best": right},
        "hits": [right, False],
        "classes": [0, 1],
        "scores": [0.25, 0.75],
        "kv": {"before": before, "after": after, "rebase": after},
        "usage": {
            **dict.fromkeys(("policy_calls", "prm_calls", "policy_tokens"), 10),
            "policy_banked": 4,
            "prm_banked": 1,
            "prm_tokens": 50,
            "prm_cached_tokens": 20,
        },
        "seconds": 2.0,
        "policy_seconds": 1.5,
        "prm_seconds": 1.0,
        "select_seconds": 0.5,
        "cluster_seconds": 0.25,
    }


def test_a_summary_made_by_hand() -> None:
    grid = Grid(strategies=("rebase", "ets"), widths=(4,), seeds=(0, 1))
    rows = [
        *(row("rebase width=4", p, s, right=p < 6, kv=300) for p in range(10) for s in (0, 1)),
        *(row("ets width=4", p, s, right=p < 5, kv=150) for p in range(10) for s in (0, 1)),
        row("ets width=4", 10, 0, right=True, kv=10),  # its second seed is not there yet
    ]
    rebase, pruned = summarise(grid, rows)
    assert (rebase.problems, pruned.problems) == (10, 10)
    assert (rebase.accuracy.value, pruned.accuracy.value) == (0.6, 0.5)
    assert rebase.against is None
    assert pruned.against is not None
    assert pruned.against.value == pytest.approx(-0.1)
    assert pruned.against.low < -0.1 < pruned.against.high <= 0.0
    assert pruned.p_value == 1.0
    assert rebase.kv_ratio == Interval(1.0, 1.0, 1.0)
    assert pruned.kv_ratio == Interval(2.0, 2.0, 2.0), "twice in every problem"
    assert (pruned.kv_before, pruned.kv_before_mean, pruned.kv_before_peak) == (150, 75, 120)
    assert (pruned.kv_after, pruned.kv_mean, pruned.kv_peak) == (50, 25, 40)
    assert (pruned.policy_calls, pruned.prm_calls, pruned.policy_tokens) == (10, 10, 10)
    assert (pruned.policy_share, pruned.prm_share) == (0.75, 0.5)
    assert (pruned.prm_tokens, pruned.seconds) == (30, 2.0)
    assert (pruned.select_share, pruned.cluster_share) == (0.25, 0.125)
    assert pruned.solvable == 0.5
    assert pruned.banked == 0.25
    assert pruned.at_k == ()


def test_a_row_without_the_time_of_an_engine_says_nothing_of_it() -> None:
    """Rows that were written before it was measured stay readable."""
    rows = [row("rebase width=4", p, 0, right=True, kv=300) for p in range(3)]
    del rows[1]["policy_seconds"]
    (line,) = summarise(Grid(strategies=("rebase",), widths=(4,)), rows)
    assert (line.policy_share, line.prm_share) == (None, 0.5)


def test_independent_samples_are_shown_by_every_vote() -> None:
    grid = Grid(strategies=("best-of-n",), widths=(4,))
    rows = [row("best-of-n width=4", p, 0, right=True, kv=100) for p in range(4)]
    lines = summarise(grid, rows)
    assert [(line.vote, line.accuracy.value) for line in lines] == [
        ("weighted", 1.0),
        ("majority", 0.0),
        ("best", 1.0),
    ]
    assert {line.kv_ratio for line in lines} == {None}
    unscored = Grid(strategies=("best-of-n",), widths=(4,), search={"prm": "none"})
    assert [line.vote for line in summarise(unscored, rows)] == ["majority"]
    one, two = lines[0].at_k
    assert (one.k, one.passed, one.majority, one.weighted) == (1, 0.5, one.weighted, one.majority)
    assert one.majority == pytest.approx(0.5, abs=0.1)
    assert (two.k, two.passed, two.majority, two.weighted) == (2, 1.0, 1.0, 0.0)
