"""The process that compares answers: stopped, killed, forked, asked from many threads."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

import ets.verifier
from ets.errors import EngineError
from ets.verifier import Verifier

EQUAL = (r"\sqrt{12}", r"2\sqrt{3}")
DIFFERENT = (r"\sqrt{12}", r"3\sqrt{2}")


@pytest.fixture
def verifier() -> Iterator[Verifier]:
    made = Verifier()
    yield made
    made.close()


def process_id(verifier: Verifier) -> int:
    assert verifier._process is not None
    return verifier._process.pid


def test_verdicts(verifier: Verifier) -> None:
    assert verifier.same(*EQUAL)
    assert not verifier.same(*DIFFERENT)
    assert not verifier.same("\x00\ud800\n", "{")
    assert verifier.same(*EQUAL)


@pytest.mark.parametrize("in_thread", [False, True])
def test_what_takes_too_long_is_stopped_and_the_next_one_answered(
    verifier: Verifier, in_thread: bool
) -> None:
    """A hang of any kind looks the same from here: here the process is held still."""
    assert verifier.same(*EQUAL)
    held = process_id(verifier)
    os.kill(held, 19)  # SIGSTOP: it will never answer
    verifier.seconds = 0.2
    found: list[bool] = []
    begin = time.monotonic()
    work = threading.Thread(target=lambda: found.append(verifier.same(*EQUAL)))
    if in_thread:
        work.start()
        work.join()
    else:
        work.run()
    assert found == [False]
    assert time.monotonic() - begin < 30
    verifier.seconds = 60.0
    assert verifier.same(*EQUAL)
    assert process_id(verifier) != held
    with pytest.raises(ProcessLookupError):
        os.kill(held, 0)


def test_a_process_that_was_killed_is_replaced(verifier: Verifier) -> None:
    assert verifier.same(*EQUAL)
    killed = process_id(verifier)
    os.kill(killed, 9)
    while verifier._process is not None and verifier._process.poll() is None:
        time.sleep(0.01)
    assert verifier.same(*EQUAL)
    assert process_id(verifier) != killed


def test_many_threads_get_their_own_answers(verifier: Verifier) -> None:
    found: dict[int, bool] = {}

    def work(k: int) -> None:
        found[k] = verifier.same(rf"\sqrt{{{3 * k * k}}}", rf"{k + k % 2}\sqrt{{3}}")

    threads = [threading.Thread(target=work, args=(k,)) for k in range(2, 14)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {k: k % 2 == 0 for k in range(2, 14)}


def test_a_fork_has_a_process_of_its_own(verifier: Verifier) -> None:
    assert verifier.same(*EQUAL)
    mine = process_id(verifier)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            right = verifier.same(*EQUAL) and not verifier.same(*DIFFERENT)
            code = 0 if right and process_id(verifier) != mine else 2
            verifier.close()
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    assert verifier.same(*EQUAL)
    assert process_id(verifier) == mine


def test_it_ends_with_the_interpreter_even_if_that_is_killed() -> None:
    code = (
        "import os, sys\nfrom ets import equality\n"
        "assert equality.same_answer(r'\\sqrt{12}', r'2\\sqrt{3}')\n"
        "print(equality._verifier._process.pid, flush=True)\n"
        "if sys.argv[1] == 'kill': os.kill(os.getpid(), 9)\n"
    )
    for how in ("kill", "end"):
        done = subprocess.run(
            [sys.executable, "-c", code, how], capture_output=True, text=True, check=False
        )
        deadline = time.monotonic() + 30
        while running(int(done.stdout)) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not running(int(done.stdout)), how


def running(process: int) -> bool:
    try:
        with open(f"/proc/{process}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_process_that_cannot_start_is_an_error(
    verifier: Verifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ets.verifier, "_PROGRAM", "raise SystemExit(3)")
    with pytest.raises(EngineError, match="the process that compares answers did not start"):
        verifier.same(*EQUAL)
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(EngineError, match=r"did not start: .*No such file"):
        verifier.same(*EQUAL)
