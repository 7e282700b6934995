"""Runs of a benchmark that are killed, lose an engine or one of their processes."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from ets.bench.run_folder import RunFolder
from run_cases import SCRIPTED, rows_of, trees_of, write_problems


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.rare)])
def test_a_run_that_was_killed_many_times_ends_as_one_that_was_not(
    tmp_path: Path, workers: int
) -> None:
    problems = write_problems(tmp_path / "problems.jsonl", 15)
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
            if run.poll() is None and kills < 6:  # or a slow machine would never come to the end
                run.send_signal(signal.SIGKILL)
                kills += 1
                continue
            assert run.stdout is not None
            last = run.stdout.read()
            assert run.wait() == 0
            break
    assert kills >= 5, "too fast to be killed"
    assert rows_of(killed) == rows_of(tmp_path / "whole")
    assert len(rows_of(killed)) == 15 * 3 * 2 * 2
    assert trees_of(killed) == trees_of(tmp_path / "whole")

    def report(text: str) -> list[dict[str, Any]]:
        timed = ("seconds", "policy_share", "prm_share", "select_share", "cluster_share")
        return [
            {k: v for k, v in json.loads(line).items() if k not in timed}
            for line in text.splitlines()
        ]

    assert report(last) == report(whole.stdout)


def test_workers_that_are_killed_change_no_row(tmp_path: Path) -> None:
    problems = write_problems(tmp_path / "problems.jsonl", 40)
    options = ["--dataset", str(problems), "--strategies", "rebase,ets", "--widths", "8"]
    options += ["--workers", "2", "--json"]
    whole = subprocess.run(
        [*SCRIPTED, str(tmp_path / "whole"), *options], capture_output=True, text=True, check=True
    )
    assert rows_of(tmp_path / "whole")
    command = [*SCRIPTED, str(tmp_path / "run"), *options, "--worker-option", "restarts=9"]
    killed: set[int] = set()
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=_seen(tmp_path)
    ) as run:
        while run.poll() is None and len(killed) < 3:
            before = _written(tmp_path / "run")
            while run.poll() is None and _written(tmp_path / "run") < before + 5:
                time.sleep(0.005)
            for pid in _searching(tmp_path, run.pid)[:1]:
                os.kill(pid, signal.SIGKILL)
                killed.add(pid)
        said, why = run.communicate()
    assert run.returncode == 0, why
    assert killed
    assert rows_of(tmp_path / "run") == rows_of(tmp_path / "whole")
    assert trees_of(tmp_path / "run") == trees_of(tmp_path / "whole")
    assert len(said.splitlines()) == len(whole.stdout.splitlines())


def test_workers_that_die_again_and_again_are_the_end_of_the_run(tmp_path: Path) -> None:
    """What was finished is kept, and the next sitting does the rest."""
    problems = write_problems(tmp_path / "problems.jsonl", 60)
    command = [*SCRIPTED, str(tmp_path / "run"), "--dataset", str(problems), "--workers", "2"]
    command += ["--strategies", "rebase,ets", "--widths", "8"]
    stubborn = [*command, "--worker-option", "restarts=0"]
    with subprocess.Popen(stubborn, stderr=subprocess.PIPE, text=True, env=_seen(tmp_path)) as run:
        workers: list[int] = []
        while len(workers) < 2 or not _written(tmp_path / "run"):
            assert run.poll() is None
            time.sleep(0.005)
            workers = _searching(tmp_path, run.pid)
        assert len(workers) == 2
        for pid in workers:
            os.kill(pid, signal.SIGKILL)
        assert run.stderr is not None
        said = run.stderr.read()
    assert run.returncode == 2
    assert "all 2 replicas are lost: worker 1: " in said
    assert "SIGKILL" in said
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


def _seen(folder: Path) -> dict[str, str]:
    """An environment in which processes that search are seen in a folder."""
    seen = folder / "seen"
    seen.mkdir()
    return {**os.environ, "SCRIPTED_SEEN": str(seen)}


def _searching(folder: Path, pid: int) -> list[int]:
    """Workers of a run that have their engines: what dies before is never started again."""
    seen = {file.name for file in (folder / "seen").iterdir()}
    return [child for child in _children(pid) if str(child) in seen]


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
