"""Workers that are processes: what is found in them, and how they are lost, started, ended."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import ets
from ets import demo
from ets.errors import EngineError, EngineLostError, InputError
from ets.workers.process import ProcessWorker
from ets.workers.processes import visible_gpus
from scripted_engines import ScriptedEmbedder, ScriptedPolicy, ScriptedPRM
from scripted_search import script
from worker_cases import PROBLEMS, all_of, eventually, runs, search, told, worker_at
from worker_engines import Deadly, Devices, Fateful, Stuck, Unloadable, half

PROBLEM = str(demo.problems()[0]["problem"])


@pytest.fixture(scope="module")
def undisturbed() -> list[Any]:
    with search() as alone:
        return all_of(list(alone.map(PROBLEMS, concurrency=4)))


def worker_of(found: ets.Search, number: int = 0) -> ProcessWorker:
    worker = worker_at(found, number)
    assert isinstance(worker, ProcessWorker)
    return worker


def is_up(worker: ProcessWorker, starts: int) -> bool:
    """Whether it runs, started so often."""
    return worker.starts == starts and worker.is_ready


def test_processes_change_no_result(undisturbed: list[Any]) -> None:
    with search(workers=ets.Workers(2)) as several:
        results = list(several.map(PROBLEMS, concurrency=4))
        pids = [worker_of(several, number).pid for number in range(2)]
    assert all_of(results) == undisturbed
    assert {name for result in results for name in result.usage.replicas} == {
        "worker 1",
        "worker 2",
    }
    assert len({*pids, os.getpid()}) == 3
    assert not any(map(runs, pids))


def test_the_bundled_pair_in_a_process() -> None:
    with ets.Search(strategy=ets.ETS(width=6)) as alone:
        expected = alone.solve(PROBLEM).tree.to_json()
    with ets.Search(strategy=ets.ETS(width=6), workers=ets.Workers(1)) as one:
        assert one.solve(PROBLEM).tree.to_json() == expected
        assert asyncio.run(one.asolve(PROBLEM)).tree.to_json() == expected


@pytest.mark.parametrize(
    ("fate", "words"),
    [
        ("kill", "worker 1 was ended by SIGKILL"),
        ("exit", "worker 1 ended with status 7"),
        ("stop", "worker 1 gave no sign of life for 3 s"),
        ("block", "worker 1 gave no sign of life for 3 s"),
        ("lost", "the GPU has gone"),
        ("hang", "no sample came back in 3 s (engine_timeout), "),
    ],
)
@pytest.mark.parametrize("count", [1, 2])
def test_what_ends_a_process_ends_no_problem(
    fate: str,
    words: str,
    count: int,
    tmp_path: Path,
    undisturbed: list[Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    file = tmp_path / "fate"
    fleet = ets.Workers(count, hang_seconds=3.0)
    timeout = 3.0 if fate == "hang" else None
    policy = Fateful(fate=str(file))
    with search(policy=policy, workers=fleet, engine_timeout=timeout) as several:
        if fate == "stop" or fate == "block":  # its start is not what is to hang
            several.solve("another")
        file.write_text(fate, "ascii")
        results = list(several.map(PROBLEMS, concurrency=4))
    if fate in ("lost", "hang"):  # the worker itself can count what was sampled in vain
        assert sum(result.usage.given_up for result in results) > 0
        assert [result.tree.to_json() for result in results] == [tree for _, tree in undisturbed]
    else:
        assert all_of(results) == undisturbed
    assert not file.exists()
    said = " | ".join(record.getMessage() for record in caplog.records)
    assert words.replace("worker 1 ", "") in said
    assert "is started again" in said


def test_a_process_that_dies_again_and_again_is_given_up() -> None:
    fleet = ets.Workers(1, restarts=1)
    with search(workers=fleet) as one:
        worker = worker_of(one)
        one.solve("p")
        for starts in (1, 2):
            assert eventually(partial(is_up, worker, starts))
            assert worker.pid is not None
            os.kill(worker.pid, signal.SIGKILL)
        assert eventually(lambda: not worker.returns)
        with pytest.raises(EngineLostError, match="worker 1 was ended by SIGKILL"):
            one.solve("p")
        assert worker.starts == 2


def test_a_process_that_dies_at_each_first_step_is_given_up() -> None:
    """It loads, and answers calls, each time."""
    with search(policy=Deadly(), workers=ets.Workers(1, restarts=1)) as one:
        with pytest.raises(EngineLostError, match="worker 1 was ended by SIGKILL"):
            one.solve("p")
        assert eventually(lambda: not worker_of(one).returns)
        assert worker_of(one).starts == 2


def test_a_stopped_process_stops_no_other(tmp_path: Path, undisturbed: list[Any]) -> None:
    """Whatever is sent to it: a problem of a megabyte does not fit into a pipe."""
    file = tmp_path / "fate"
    fleet = ets.Workers(2, hang_seconds=10.0)
    long = ["x" * 1_000_000 + str(number) for number in range(4)]
    with search(policy=Fateful(fate=str(file)), workers=fleet) as several:
        assert all_of(list(several.map(PROBLEMS, concurrency=4))) == undisturbed
        file.write_text("stop", "ascii")
        assert len(list(several.map([*PROBLEMS, *long], concurrency=8))) == len(PROBLEMS) + 4


def test_what_cannot_be_loaded_is_told_at_once() -> None:
    with search(policy=Unloadable(), workers=ets.Workers(2)) as several:
        with pytest.raises(InputError, match="policy must be another one"):
            several.solve("p")
        with pytest.raises(InputError, match="policy must be another one"):
            list(several.map(PROBLEMS))
    with ets.Search(policy="transformers:not/there", workers=ets.Workers(1)) as one:
        with pytest.raises(EngineError, match="not/there"):
            one.solve("p")
        assert worker_of(one).starts == 1


def test_what_the_search_says_of_a_problem_is_the_same() -> None:
    with search(workers=ets.Workers(1)) as one:
        with pytest.raises(InputError, match="problem must be a text"):
            one.solve(3)  # type: ignore[arg-type]
        with pytest.raises(InputError, match="'auto' needs a policy whose KV cache is known"):
            list(one.map(PROBLEMS, concurrency="auto"))


def test_each_has_its_devices_and_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    def seen(fleet: ets.Workers) -> list[str | None]:
        with ets.Search(
            Devices(),
            ScriptedPRM(),
            ets.BestOfN(width=1),
            workers=fleet,
            answer_pattern="is (.*)\\.",
        ) as several:
            return [result.answer for result in several.map(["a", "b"], concurrency=2)]

    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    threads = max(1, (os.cpu_count() or 1) // 2)
    fleet = ets.Workers(2, devices=[3, ["1", 2]], env={"OF_THE_TEST": "x"})
    assert sorted(map(str, seen(fleet))) == [f"1,2 {threads} x", f"3 {threads} x"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,6,7")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert sorted(map(str, seen(ets.Workers(2)))) == ["4,5 1 None", "6,7 1 None"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,6")
    assert seen(ets.Workers(2)) == ["4,5,6 1 None"] * 2


def test_gpus_are_those_of_the_variable_or_of_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("nvidia0", "nvidia1", "nvidia2", "nvidiactl", "nvidia-uvm", "null"):
        (tmp_path / name).touch()
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert visible_gpus(tmp_path) == ["0", "1", "2"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-5, 4")
    assert visible_gpus(tmp_path) == ["GPU-5", "4"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert visible_gpus(tmp_path) == []


def test_a_prm_that_is_a_function() -> None:
    with search(prm=half) as alone:
        expected = told(alone.solve("p"))
    with search(prm=half, workers=ets.Workers(1)) as one:
        assert told(one.solve("p")) == expected


def test_a_call_that_is_given_up_ends_in_the_process() -> None:
    with search(policy=Fateful(), workers=ets.Workers(1)) as one:
        stream = one.stream("p")
        next(iter(stream))
        stream.close()
        worker = worker_of(one)
        assert worker._open == {}
        assert one.solve("p").answer is not None
        assert worker.starts == 1


def test_a_call_to_a_stopped_process_is_given_up_at_once(tmp_path: Path) -> None:
    """More than its pipe holds is on its way; nothing else of this process waits for that."""
    file = tmp_path / "fate"
    long = "x" * 1_000_000
    with search(policy=Fateful(fate=str(file)), workers=ets.Workers(1)) as one:
        one.solve("p")
        worker = worker_of(one)
        assert worker.pid is not None
        os.kill(worker.pid, signal.SIGSTOP)
        ended: list[str] = []

        async def give_up() -> None:
            asking = [asyncio.create_task(one.asolve(long + str(i))) for i in range(3)]
            await asyncio.wait(asking, timeout=0.5)
            for task in asking:
                task.cancel()
            ended.extend(str(one) for one in await asyncio.gather(*asking, return_exceptions=True))

        thread = threading.Thread(target=lambda: asyncio.run(give_up()), daemon=True)
        thread.start()
        # Far less than the minute after which the process counts as hung.
        thread.join(30.0)
        assert len(ended) == 3
        os.kill(worker.pid, signal.SIGCONT)
        assert one.solve("p").answer is not None
        assert worker.starts == 1


def test_closing_amid_a_map_leaves_no_process() -> None:
    several = search(workers=ets.Workers(2))
    results = several.map(PROBLEMS * 20, concurrency=8)
    next(results)
    pids = [worker_of(several, number).pid for number in range(2)]
    threads = [worker_of(several, number)._thread for number in range(2)]
    several.close()
    assert not any(map(runs, pids))
    assert not any(thread.is_alive() for thread in threads)
    with pytest.raises(EngineError):
        several.solve("p")


def test_closing_while_engines_load_leaves_no_process(tmp_path: Path) -> None:
    one = search(policy=Stuck(folder=str(tmp_path)), workers=ets.Workers(1))
    assert eventually((tmp_path / "loads").exists)
    pid = worker_of(one).pid
    assert runs(pid)
    one.close()
    assert not runs(pid)


def test_a_process_that_loads_ends_with_its_killed_program(tmp_path: Path) -> None:
    script = tmp_path / "program.py"
    script.write_text(
        "import sys, time\n"
        "import ets\n"
        "from worker_engines import Stuck, half\n"
        'if __name__ == "__main__":\n'
        "    policy = Stuck(folder=sys.argv[1])\n"
        "    one = ets.Search(policy, half, ets.REBASE(width=4), workers=ets.Workers(1))\n"
        "    time.sleep(600)\n",
        "utf-8",
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    marker = tmp_path / "loads"
    with subprocess.Popen([sys.executable, str(script), str(tmp_path)], env=environment) as run:
        try:
            assert eventually(lambda: marker.exists() and marker.read_text("ascii") != "")
        finally:
            run.kill()
    assert eventually(lambda: not runs(int(marker.read_text("ascii"))))


def test_a_search_that_nobody_has_any_more_leaves_no_process() -> None:
    one = search(workers=ets.Workers(1))
    one.solve("p")
    pid = worker_of(one).pid
    assert runs(pid)
    del one
    gc.collect()
    assert eventually(lambda: not runs(pid))


def test_searches_from_several_threads_share_a_process(undisturbed: list[Any]) -> None:
    found: dict[int, Any] = {}
    with search(workers=ets.Workers(1)) as one:

        def solve(number: int) -> None:
            found[number] = told(one.solve(PROBLEMS[number]))

        threads = [threading.Thread(target=solve, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [found[number] for number in range(6)] == undisturbed[:6]


def program(tmp_path: Path, body: str, *, guarded: bool = True) -> list[str]:
    """A script that has a search over two workers and prints their ids."""
    file = tmp_path / "program.py"
    guard = 'if __name__ == "__main__":\n' if guarded else "if True:\n"
    lines = f"""
    search = ets.Search(strategy=ets.REBASE(width=4), workers=ets.Workers(2))
    search.solve({PROBLEM!r})
    pids = [replica.site.worker.pid for replica in search.replicas]
    print(*pids, flush=True)
    {body}
    """
    file.write_text(
        "import os, signal, sys, time\nimport ets\n"
        + guard
        + textwrap.indent(textwrap.dedent(lines), "    "),
        "utf-8",
    )
    return [sys.executable, str(file)]


@pytest.mark.parametrize(
    "body",
    [
        pytest.param("time.sleep(600)", id="killed"),
        pytest.param("os._exit(0)", id="exits without a word"),
        pytest.param("pass", id="ends"),
        pytest.param("raise SystemExit(3)", id="leaves"),
        pytest.param("search.close(); search = None", id="closes"),
    ],
)
def test_no_process_is_left_of_a_program(tmp_path: Path, body: str) -> None:
    with subprocess.Popen(
        program(tmp_path, body), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as run:
        assert run.stdout is not None
        pids = [int(word) for word in run.stdout.readline().split()]
        assert len(pids) == 2
        if "600" in body:
            assert all(map(runs, pids))
            run.kill()
        _, said = run.communicate(timeout=120)
    assert eventually(lambda: not any(map(runs, pids)), 120.0)
    assert "Traceback" not in said


def test_an_interrupt_ends_program_and_processes(tmp_path: Path) -> None:
    body = f"list(search.map([{PROBLEM!r} + str(i) for i in range(10**6)], concurrency=16))"
    with subprocess.Popen(
        program(tmp_path, body),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as run:
        assert run.stdout is not None
        pids = [int(word) for word in run.stdout.readline().split()]
        time.sleep(0.5)
        os.killpg(run.pid, signal.SIGINT)  # as a terminal does: to the workers too
        _, said = run.communicate(timeout=120)
    assert said.rstrip().endswith("KeyboardInterrupt"), said
    assert eventually(lambda: not any(map(runs, pids)), 120.0)


def test_a_script_without_its_guard_is_told(tmp_path: Path) -> None:
    command = program(tmp_path, "pass", guarded=False)
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=500)
    assert done.returncode != 0
    assert 'a script that starts workers does so below `if __name__ == "__main__":`' in done.stderr


def test_a_fork_leaves_the_workers_to_its_parent(undisturbed: list[Any]) -> None:
    with search(workers=ets.Workers(1)) as one:
        one.solve("p")
        child = os.fork()
        if child == 0:
            with contextlib.suppress(BaseException):
                one.close()
            os._exit(0)
        os.waitpid(child, 0)
        assert told(one.solve(PROBLEMS[0])) == undisturbed[0]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"count": 0}, "count must be"),
        ({"count": 2, "devices": [1]}, "devices must have one entry for each of the 2 workers"),
        ({"count": 1, "devices": "0"}, "devices must be a list, one entry a worker"),
        ({"count": 1, "devices": [[]]}, r"devices\[0\] must be a GPU or a list of them"),
        ({"count": 1, "devices": [-1]}, r"devices\[0\] must be a GPU >= 0, got -1"),
        ({"count": 1, "env": {"A": 1}}, r"env\['A'\] must be a text"),
        ({"count": 1, "hang_seconds": 0}, "hang_seconds must be"),
        ({"count": 1, "restarts": -1}, "restarts must be"),
    ],
)
def test_settings_out_of_range(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        ets.Workers(**arguments)


def test_nothing_of_a_worker_is_left_open() -> None:
    # In an interpreter of its own: what other tests have left to end opens and closes files too.
    done = script("""
    import os
    from worker_cases import search

    def left_open():
        with search(workers=ets.Workers(1)) as one:
            one.solve("p")
        return len(os.listdir("/proc/self/fd"))

    print(*[left_open() for _ in range(4)])
    """)
    assert len({*done.stdout.split()}) == 1, done.stdout + done.stderr


def test_a_policy_and_its_embedder_are_loaded_in_the_worker() -> None:
    with search(policy=ScriptedPolicy(), embedder=ScriptedEmbedder(), workers=ets.Workers(1)) as s:
        s.solve("p")
        assert s.options.policy.most == 0  # type: ignore[union-attr]
