"""What holds while engines start, tested with processes that are no engines; vLLM is not needed."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import ets.engines.vllm.engine
from ets.engines.vllm.engine import VLLMEngine
from ets.engines.vllm.files import EngineFiles
from ets.engines.vllm.lifecycle import end_engine
from ets.engines.vllm.start_environment import STARTS
from ets.errors import EngineError, EngineLostError
from ets.loop.thread import LoopThread

PLAIN_SCRIPT = """
import multiprocessing, os, signal, sys, time
from ets.engines.vllm.start_environment import STARTS

print("main runs", flush=True)
with STARTS.running(cpu=True, argv=(sys.argv[1], sys.argv[2])):
    process = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(600,))
    process.start()
while not os.path.exists(sys.argv[1]):
    time.sleep(0.05)
os.kill(os.getpid(), signal.SIGKILL)
"""


def wait_until(condition: Any, *, seconds: float = 60) -> bool:
    end = time.monotonic() + seconds
    while not (met := condition()) and time.monotonic() < end:
        time.sleep(0.05)
    return bool(met)


def running(process_id: int) -> bool:
    try:
        state = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (-9, " (exit code -9, killed: as a rule by a system that is out of memory)"),
        (1, " (exit code 1)"),
    ],
)
def test_an_engine_that_was_killed_most_likely_took_too_much_memory(
    monkeypatch: pytest.MonkeyPatch, code: int, said: str
) -> None:
    processes = [SimpleNamespace(exitcode=code)]
    monkeypatch.setattr(ets.engines.vllm.engine, "processes_of", lambda llm: processes)
    files = SimpleNamespace(last_words=lambda: "; its log is L")
    engine: Any = SimpleNamespace(model="m", _files=files)
    found = VLLMEngine._failure(engine, None, RuntimeError("x"))
    assert isinstance(found, EngineLostError)
    assert str(found) == f"the vLLM engine of 'm' died{said}; its log is L"


def test_the_environment_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    monkeypatch.delenv("VLLM_LOGGING_LEVEL", raising=False)
    before = dict(os.environ)
    with STARTS.running(cpu=True):
        assert os.environ["OMP_WAIT_POLICY"] == "ACTIVE", "the user's choice wins"
        assert os.environ["VLLM_WORKER_MULTIPROC_METHOD"] == "spawn"
        with STARTS.running(cpu=True):  # a second engine
            os.environ["LD_PRELOAD"] = "as vLLM does"
        assert os.environ["VLLM_LOGGING_LEVEL"] == "ERROR"
        assert STARTS.users("VLLM_LOGGING_LEVEL") is None
        os.environ["MEANWHILE"] = "set by the program"
    after = dict(os.environ)
    assert after.pop("MEANWHILE") == os.environ.pop("MEANWHILE")
    assert after == before


@pytest.mark.skipif(not Path("/proc").exists(), reason="looks at processes through /proc")
def test_an_engine_neither_runs_the_script_nor_outlives_it(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(PLAIN_SCRIPT)
    ids, log = tmp_path / "ids", tmp_path / "log"
    done = subprocess.run(
        [sys.executable, str(script), str(ids), str(log)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert done.stdout == "main runs\n"
    (process_id,) = map(int, ids.read_text().split())
    assert wait_until(lambda: not running(process_id))


def test_other_processes_keep_their_main_module(tmp_path: Path) -> None:
    """Only the thread that starts an engine is touched, and only while it starts it."""
    from multiprocessing import spawn

    usual = spawn.get_preparation_data("x").get("init_main_from_name")
    with STARTS.running(cpu=True, argv=("ids",)):
        mine = spawn.get_preparation_data("x")
        theirs: dict[str, Any] = {}
        thread = threading.Thread(target=lambda: theirs.update(spawn.get_preparation_data("x")))
        thread.start()
        thread.join()
    assert mine["init_main_from_path"].endswith("child_main.py")
    assert "init_main_from_name" not in mine
    assert theirs.get("init_main_from_name") == usual
    assert spawn.get_preparation_data("x").get("init_main_from_name") == usual


def test_closing_an_engine_that_is_starting_does_not_wait_for_it() -> None:
    files = EngineFiles()
    future: Future[list[Any]] = Future()

    def start() -> None:
        """As vLLM does: wait for the process, and fail when it ends."""
        with STARTS.running(cpu=True, argv=files.argv):
            process = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(600,))
            process.start()
            process.join()
        future.set_exception(EngineError("it ended"))

    threading.Thread(target=start, daemon=True).start()
    began = time.monotonic()
    loop = LoopThread("test-engine")
    end_engine(future, files, loop, threading.Event(), os.getpid())
    assert time.monotonic() - began < 60
    assert not files._folder.exists()
    assert not loop._thread.is_alive()


@pytest.mark.parametrize(
    ("log", "words"),
    [
        ("", ": from vLLM; its log is "),
        (
            "(EngineCore pid=7) ERROR 11-25 00:12:45 [core.py:906] ValueError: no room\n",
            ": ValueError: no room; its log is ",
        ),
        (
            "Traceback:\n  x\ntorch.OutOfMemoryError: 5 GiB\nbye\n",
            ": torch.OutOfMemoryError: 5 GiB;",
        ),
    ],
)
def test_the_last_words_of_an_engine(log: str, words: str) -> None:
    files = EngineFiles()
    Path(files.argv[1]).write_text(log)
    assert files.last_words(otherwise="from vLLM").startswith(words)
    files.remove()


LEAKY = """
import multiprocessing, os
from multiprocessing.shared_memory import SharedMemory

def engine():
    worker = multiprocessing.get_context("spawn").Process(target=leak)
    worker.start()
    worker.join()

def leak():
    SharedMemory(create=True, size=100)
    os._exit(1)
"""
USES_LEAKY = """
import multiprocessing, sys
import leaky
from ets.engines.vllm.start_environment import STARTS

with STARTS.running(cpu=True, argv=tuple(sys.argv[1:])):
    process = multiprocessing.get_context("spawn").Process(target=leaky.engine)
    process.start()
process.join()
"""


def test_what_an_engines_workers_leave_behind_is_told_in_its_log(tmp_path: Path) -> None:
    (tmp_path / "leaky.py").write_text(LEAKY)
    (tmp_path / "script.py").write_text(USES_LEAKY)
    ids, log = tmp_path / "ids", tmp_path / "engine.log"
    done = subprocess.run(
        [sys.executable, str(tmp_path / "script.py"), str(ids), str(log)],
        capture_output=True,
        text=True,
        timeout=600,
        check=True,
    )
    assert (done.stdout, done.stderr) == ("", "")
    assert len(ids.read_text().split()) == 2
    assert wait_until(lambda: "1 leaked shared_memory objects" in log.read_text())
