"""Workers that are Ray actors: what is found in them, and how they are lost, started, ended."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import ets
from ets import demo
from ets.ray import RayWorkers
from ray_cluster import need_ray, ray_cluster
from test_workers import PROBLEMS, all_of, search
from worker_engines import Fateful

need_ray()

from ets.ray.worker import RayWorker  # noqa: E402  it needs Ray

PROBLEM = str(demo.problems()[0]["problem"])


@pytest.fixture(scope="module", autouse=True)
def _cluster() -> Iterator[None]:
    with ray_cluster():
        yield


@pytest.fixture(scope="module")
def undisturbed() -> list[Any]:
    with search() as alone:
        return all_of(list(alone.map(PROBLEMS, concurrency=4)))


def worker_of(found: ets.Search, number: int = 0) -> RayWorker:
    worker = found._solver.replicas[number].site.worker  # type: ignore[attr-defined]
    assert isinstance(worker, RayWorker)
    return worker


def pid_of(worker: RayWorker) -> int:
    assert worker.where is not None
    return worker.where[1]


def eventually(true: Callable[[], bool], seconds: float = 120.0) -> bool:
    deadline = time.monotonic() + seconds
    while not true() and time.monotonic() < deadline:
        time.sleep(0.02)
    return true()


def runs(pid: int) -> bool:
    """Whether a process is there, and no zombie."""
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


@pytest.mark.parametrize("count", [1, 2])
def test_actors_change_no_result(count: int, undisturbed: list[Any]) -> None:
    with search(workers=RayWorkers(count)) as several:
        results = list(several.map(PROBLEMS, concurrency=4))
        pids = [pid_of(worker_of(several, number)) for number in range(count)]
    assert all_of(results) == undisturbed
    assert len({*pids, os.getpid()}) == count + 1
    assert eventually(lambda: not any(map(runs, pids))), "an actor's process is left"


@pytest.mark.parametrize(
    ("fate", "words"),
    [
        ("kill", "worker 1 is lost: The actor died unexpectedly"),
        ("stop", "worker 1 gave no sign of life for 3 s"),
        ("block", "worker 1 gave no sign of life for 3 s"),
        ("lost", "the GPU has gone"),
    ],
)
def test_what_ends_an_actor_ends_no_problem(
    fate: str,
    words: str,
    tmp_path: Path,
    undisturbed: list[Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    file = tmp_path / "fate"
    with search(policy=Fateful(fate=str(file)), workers=RayWorkers(1, hang_seconds=3.0)) as several:
        several.solve("another")
        pid = pid_of(worker_of(several))
        file.write_text(fate, "ascii")
        results = list(several.map(PROBLEMS, concurrency=4))
        assert worker_of(several).starts == 2
    if fate == "lost":  # the worker itself can count what was sampled in vain
        assert [result.tree.to_json() for result in results] == [tree for _, tree in undisturbed]
    else:
        assert all_of(results) == undisturbed
    assert not file.exists()
    said = " | ".join(record.getMessage() for record in caplog.records)
    assert f"worker 1 is started again: {words}" in said
    assert eventually(lambda: not runs(pid))
