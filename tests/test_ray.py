"""Workers that are Ray actors: what is found in them, and how they are lost, started, ended."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import ets
from ets import demo
from ets.errors import EngineError, EngineLostError, InputError
from ets.ray import BatchSearch, RayWorkers
from ets.ray.cluster import check_room
from ray_cluster import need_ray, ray_cluster
from test_docs import Block, blocks
from worker_cases import (
    PROBLEMS,
    STRATEGY,
    all_of,
    eventually,
    runs,
    search,
    told,
    worker_at,
)
from worker_engines import Deadly, Endless, Fateful, Unloadable

need_ray()

from ets.ray.worker import RayWorker  # noqa: E402  it needs Ray


@pytest.fixture(scope="module", autouse=True)
def _cluster() -> Iterator[None]:
    with ray_cluster():
        yield


@pytest.fixture(scope="module")
def undisturbed() -> list[Any]:
    with search() as alone:
        return all_of(list(alone.map(PROBLEMS, concurrency=4)))


def worker_of(found: ets.Search, number: int = 0) -> RayWorker:
    worker = worker_at(found, number)
    assert isinstance(worker, RayWorker)
    return worker


def pid_of(worker: RayWorker) -> int:
    assert worker.where is not None
    return worker.where[1]


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
        ("kill", "The actor died unexpectedly"),
        pytest.param("stop", "worker 1 gave no sign of life for 3 s", marks=pytest.mark.slow),
        pytest.param("block", "worker 1 gave no sign of life for 3 s", marks=pytest.mark.rare),
        pytest.param("lost", "the GPU has gone", marks=pytest.mark.rare),
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
    fleet = RayWorkers(1, hang_seconds=3.0)
    with search(policy=Fateful(fate=str(file)), workers=fleet) as several:
        several.solve("another")  # its start is not what is to hang
        pid = pid_of(worker_of(several))
        file.write_text(fate, "ascii")
        results = list(several.map(PROBLEMS, concurrency=4))
        assert worker_of(several).starts >= 2  # or more, on a machine that is slower than 3 s
    if fate == "lost":  # the worker itself can count what was sampled in vain
        assert [result.tree.to_json() for result in results] == [tree for _, tree in undisturbed]
    else:
        assert all_of(results) == undisturbed
    assert not file.exists()
    said = " | ".join(record.getMessage() for record in caplog.records)
    assert f"worker 1 is started again: {words}" in said
    assert "\n" not in said
    assert eventually(lambda: not runs(pid))


def without_cache(result: Any) -> Any:
    """All that two runs of the bundled pair have in common: an engine that is new has no cache."""
    found, tree = told(result)
    usage = found["usage"]
    for counters in (usage, *usage["steps"]):
        for name in ("policy_cached_tokens", "prm_cached_tokens"):
            del counters[name]
    return found, tree


@pytest.mark.rare
def test_one_of_two_actors_is_killed_amid_forty_problems(
    caplog: pytest.LogCaptureFixture,
) -> None:
    problems = [str(one["problem"]) for one in demo.problems()[:40]]
    with ets.Search(strategy=ets.ETS(width=4)) as alone:
        expected = [without_cache(result) for result in alone.map(problems, concurrency=8)]
    found = []
    with ets.Search(strategy=ets.ETS(width=4), workers=RayWorkers(2)) as several:
        for result in several.map(problems, concurrency=8):
            found.append(without_cache(result))
            if len(found) == 10:
                os.kill(pid_of(worker_of(several)), signal.SIGKILL)
        served = [replica.policy_tokens > 0 for replica in several.replicas]
    assert found == expected
    assert [result["problem"] for result, _ in found] == problems
    assert served == [True, True]
    assert "worker 1 is started again: The actor died" in caplog.text


def test_it_is_started_again_when_it_is_told_to() -> None:
    with search(workers=RayWorkers(1)) as one:
        before = one.solve(PROBLEMS[0]).tree.to_json()
        worker, pid = worker_of(one), pid_of(worker_of(one))
        worker.restart("of old", 0)  # it was started since
        assert worker.is_ready
        worker.restart("for the test", 1)
        assert not worker.is_ready
        worker.restart("once more", 1)
        assert one.solve(PROBLEMS[0]).tree.to_json() == before
        assert (worker.starts, worker.returns) == (2, True)
        assert pid_of(worker) != pid
    assert not worker.returns
    assert eventually(lambda: not runs(pid))


@pytest.mark.slow
def test_one_that_always_dies_is_given_up() -> None:
    fleet = RayWorkers(1, restarts=1)
    with search(policy=Deadly(), workers=fleet) as one:
        with pytest.raises(EngineLostError, match="The actor died"):
            one.solve(PROBLEMS[0])
        worker = worker_of(one)
        assert eventually(lambda: not worker.returns)
        assert worker.starts == 2
        with pytest.raises(EngineLostError, match="The actor died"):
            one.solve(PROBLEMS[1])


def test_what_does_not_load_is_an_error_of_its_own() -> None:
    with search(policy=Unloadable(), workers=RayWorkers(1)) as one:
        with pytest.raises(InputError, match=r"^policy must be another one$"):
            one.solve(PROBLEMS[0])
        assert not worker_of(one).returns
        assert worker_of(one).starts == 1


def test_one_that_does_not_load_in_time_is_given_up() -> None:
    late = RayWorkers(1, start_seconds=1e-3, restarts=0)
    words = r"worker 1 did not start within 0\.001 s$"
    with search(workers=late) as one, pytest.raises(EngineLostError, match=words):
        one.solve(PROBLEMS[0])


def test_what_an_engine_raises_comes_back_as_it_was() -> None:
    with search(workers=RayWorkers(1)) as one:
        with pytest.raises(InputError, match="tree must be of this problem and policy"):
            one.resume(ets.TreeSearch(STRATEGY, 3), PROBLEMS[0])
        one.solve(PROBLEMS[0])
        assert worker_of(one).starts == 1


def test_a_closed_stream_ends_its_search_in_the_actor(tmp_path: Path) -> None:
    with search(policy=Endless(folder=str(tmp_path)), workers=RayWorkers(1)) as one:
        with one.stream(PROBLEMS[0]) as stream:
            next(stream)
            assert eventually((tmp_path / "begun").exists)
            assert not (tmp_path / "cancelled").exists()
        assert eventually((tmp_path / "cancelled").exists)
        assert worker_of(one).starts == 1


def test_a_search_closes_amid_problems(tmp_path: Path) -> None:
    one = search(policy=Endless(folder=str(tmp_path)), workers=RayWorkers(1))
    stream = one.stream(PROBLEMS[0])
    next(stream)
    assert eventually((tmp_path / "begun").exists)
    pid = pid_of(worker_of(one))
    one.close()
    with pytest.raises(EngineError, match="closed"):
        list(stream)
    one.close()
    assert (tmp_path / "cancelled").exists()  # the engines were told before their process ended
    assert eventually(lambda: not runs(pid))


DRIVER = """
import os, sys
import ets
from ets.ray import BatchSearch, RayWorkers
search = ets.Search(workers=RayWorkers(1, address=sys.argv[1]))
search.solve("What is 17 * 23?")
print(search._solver.replicas[0].site.worker.where[1], flush=True)
{end}
"""
SHUT_DOWN = """
import ray
ray.shutdown()
try:
    search.solve("What is 17 * 23?")
except ets.EngineError as error:
    assert str(error).endswith("Ray was shut down"), error
else:
    raise SystemExit("it was solved")
assert not ray.is_initialized()
"""


@pytest.mark.slow
@pytest.mark.parametrize("end", ["", "os._exit(0)", "os.kill(os.getpid(), 9)", SHUT_DOWN])
def test_a_program_that_ends_leaves_no_actor(end: str) -> None:
    import ray

    done = subprocess.run(
        [sys.executable, "-c", DRIVER.format(end=end), ray.get_runtime_context().gcs_address],
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == (-9 if "kill" in end else 0), done.stderr
    ours = ("worker 1 is started again: ", "worker 1 is lost")
    assert [line for line in done.stderr.splitlines() if not line.startswith(ours)] == []
    assert eventually(lambda: not runs(int(done.stdout)))


PROGRAMS = [block for block in blocks() if block.kind == "python" and "ets.ray" in block.body]


@pytest.mark.slow
@pytest.mark.parametrize("block", PROGRAMS, ids=lambda block: block.place)
def test_the_programs_of_the_docs_run(block: Block, tmp_path: Path) -> None:
    import ray

    script = tmp_path / "example.py"
    script.write_text(block.body)
    done = subprocess.run(
        [sys.executable, str(script)],
        env={**os.environ, "RAY_ADDRESS": ray.get_runtime_context().gcs_address},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == (3 if "BatchSearch" in block.body else 2)
    assert block.why_not == "tests/test_ray.py runs it on a cluster of this host"


@pytest.mark.slow
def test_a_dataset_is_searched_by_two_actors() -> None:
    import ray.data

    problems = demo.problems()[:12]
    ray.data.DataContext.get_current().enable_progress_bars = False
    rows = ray.data.from_items(
        [
            {"id": at, "problem": None if at == 5 else row["problem"]}
            for at, row in enumerate(problems)
        ]
    )
    found = rows.map_batches(
        BatchSearch,
        fn_constructor_kwargs={"strategy": STRATEGY, "concurrency": 4},
        concurrency=2,
        num_cpus=1,
        batch_size=4,
    ).take_all()
    with ets.Search(strategy=STRATEGY) as alone:
        expected = [
            None if at == 5 else alone.solve(str(row["problem"])) for at, row in enumerate(problems)
        ]
    found.sort(key=lambda row: row["id"])
    assert [row["id"] for row in found] == list(range(12))
    for row, result in zip(found, expected, strict=True):
        assert row["answer"] == (None if result is None else result.answer)
        if result is not None:
            assert row["policy_tokens"] == result.usage.policy_tokens
            assert row["kv_after"] == result.kv.after.sum
            assert json.loads(row["votes"]) == result.to_dict()["votes"]


def test_what_a_cluster_cannot_have_is_refused() -> None:
    with pytest.raises(
        InputError,
        match=r"^count must be at most 0, got 2: each worker needs 1 CPU, 1 GPU, and the Ray "
        r"cluster has 2 CPU, 0 GPU on 1 nodes$",
    ):
        search(workers=RayWorkers(2, num_gpus=1))
    with pytest.raises(InputError, match="count must be at most 2, got 3: each worker needs 1 CPU"):
        search(workers=RayWorkers(3))
    with pytest.raises(InputError, match=r"count must be at most 0, .* needs 1 CPU, 2 big"):
        search(workers=RayWorkers(1, resources={"big": 2}))
    with pytest.raises(
        InputError, match=r"address must be that of a Ray cluster .* 'ray://h:10001'"
    ):
        search(workers=RayWorkers(1, address="ray://h:10001"))
    with pytest.raises(InputError, match=r"address must be None or '.*', which this process is"):
        search(workers=RayWorkers(1, address="10.255.255.1:6379"))


def test_a_worker_is_on_one_node() -> None:
    def node(cpus: float, gpus: float, alive: bool = True) -> dict[str, Any]:
        return {"Alive": alive, "Resources": {"CPU": cpus, "GPU": gpus}}

    ray = SimpleNamespace(nodes=lambda: [node(8, 3), node(8, 3), node(8, 8, alive=False)])
    check_room(ray, 2, {"CPU": 1, "GPU": 2})
    with pytest.raises(InputError, match=r"at most 2, got 3: .* has 16 CPU, 6 GPU on 2 nodes$"):
        check_room(ray, 3, {"CPU": 1, "GPU": 2})
    check_room(ray, 12, {"CPU": 1, "GPU": 0.5})
    check_room(ray, 1000, {"CPU": 0, "GPU": 0})
