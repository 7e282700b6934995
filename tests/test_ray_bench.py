"""`ets bench` on a Ray cluster: the rows of a run on this host, also when an actor is killed."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ray_cluster import need_ray, ray_cluster
from run_cases import rows_of, trees_of

need_ray()

CACHED = ("policy_cached_tokens", "prm_cached_tokens")
BENCH = [sys.executable, "-m", "ets", "bench"]
OPTIONS = ["--problems", "40", "--widths", "4", "--strategies", "rebase", "--json"]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    import ray

    with ray_cluster():
        yield ray.get_runtime_context().gcs_address


def found(folder: Path) -> list[Any]:
    """Rows but for times, replicas, and what a cache held: that depends on where a problem was."""
    rows = rows_of(folder)
    for row in rows:
        for usage in (row["usage"], *row["usage"].get("steps", ())):
            for name in CACHED:
                usage.pop(name, None)
        row["usage"].pop("replicas", None)
    return rows


def actors() -> list[int]:
    """Processes of actors that have engines, of this process's cluster: other tests have others."""
    pids = []
    for line in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it has just ended
            pid = int(line.parent.name)
            ours = parent_of(parent_of(pid)) == os.getpid()  # with its raylet between
            if ours and line.read_bytes().startswith(b"ray::WorkerActor"):
                pids.append(pid)
    return pids


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def written(folder: Path) -> int:
    try:
        return (folder / "rows.jsonl").read_bytes().count(b"\n")
    except FileNotFoundError:
        return 0


def test_a_run_on_two_actors_of_which_one_is_killed(tmp_path: Path, address: str) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    subprocess.run([*BENCH, str(whole), *OPTIONS], check=True, capture_output=True)
    command = [*BENCH, str(killed), *OPTIONS, "--ray", address, "--workers", "2"]
    pipes: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as run:
        while run.poll() is None and written(killed) < 5:
            time.sleep(0.01)
        assert written(killed) < 40, "it is over already"
        there = actors()
        assert len(there) == 2
        os.kill(there[0], signal.SIGKILL)
        said, why = run.communicate(timeout=500)
    assert run.returncode == 0, why
    assert found(killed) == found(whole)
    assert len(rows_of(killed)) == 40
    assert trees_of(killed) == trees_of(whole)
    assert len([json.loads(line) for line in said.splitlines()]) == 1


def test_a_cluster_that_is_not_there(tmp_path: Path) -> None:
    command = [*BENCH, str(tmp_path / "run"), *OPTIONS, "--ray", "127.0.0.1:9"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=500)
    assert done.returncode == 2
    assert "address: no Ray cluster at '127.0.0.1:9'" in done.stderr


def test_an_option_that_there_is_not(tmp_path: Path) -> None:
    command = [*BENCH, str(tmp_path / "run"), *OPTIONS, "--ray", "auto", "--worker-option", "gpu=1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=500)
    assert done.returncode == 2
    assert "worker_options" in done.stderr
    assert "'gpu'" in done.stderr
