"""The process that compares answers: stopped, killed, forked, asked from many threads."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import ets.answer.child
from ets.answer import extract_answer
from ets.answer.matcher import Matcher
from ets.answer.verifier import Verdicts, Verifier
from ets.errors import EngineError, InputError

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


def test_a_verdict_is_that_of_math_verify(verifier: Verifier) -> None:
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


def test_a_fork_amid_another_threads_question_can_ask(verifier: Verifier) -> None:
    assert verifier.same(*EQUAL)
    asked, over = threading.Event(), threading.Event()

    def ask() -> None:
        with verifier._lock:  # as one whose answer is not there yet
            asked.set()
            over.wait()

    thread = threading.Thread(target=ask)
    thread.start()
    asked.wait()
    child = os.fork()
    if child == 0:
        signal.alarm(60)  # so that a child that waits for ever ends
        code = 1
        try:
            code = 0 if verifier.same(*EQUAL) and not verifier.same(*DIFFERENT) else 2
            verifier.close()
        finally:
            os._exit(code)
    try:
        assert os.waitpid(child, 0)[1] == 0
    finally:
        over.set()
        thread.join()
    assert verifier.same(*EQUAL)


def test_it_ends_with_the_interpreter_even_if_that_is_killed() -> None:
    code = (
        "import os, sys\nfrom ets.answer.verifier import Verifier\nv = Verifier()\n"
        "assert v.same(r'\\sqrt{12}', r'2\\sqrt{3}')\n"
        "print(v._process.pid, flush=True)\n"
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
    verifier: Verifier, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "ends.py").write_text("raise SystemExit(3)")
    monkeypatch.setattr(ets.answer.child, "_PROGRAM", tmp_path / "ends.py")
    with pytest.raises(EngineError, match="the process that compares answers did not start"):
        verifier.same(*EQUAL)
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(EngineError, match=r"did not start: .*No such file"):
        verifier.same(*EQUAL)


def test_nothing_of_the_working_directory_is_run(tmp_path: Path) -> None:
    for name in ("random", "logging", "math_verify", "sympy"):
        (tmp_path / f"{name}.py").write_text("open('ran', 'w').close()\nraise SystemExit(3)")
    code = (
        "import sys\nsys.path[:] = [p for p in sys.path if p]\n"
        "from ets.answer.verifier import Verifier\nsys.path.insert(0, '')\n"
        "assert Verifier().same(r'\\sqrt{12}', r'2\\sqrt{3}')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=False)
    assert done.returncode == 0
    assert not (tmp_path / "ran").exists()


def test_a_killed_parent_takes_a_busy_process_with_it() -> None:
    code = (
        "import os, re, threading, time\nfrom ets.answer.matcher import Matcher\n"
        "m = Matcher(seconds=2.0)\nassert m.last_match(re.compile('a'), 'a') == 'a'\n"
        "work = lambda: m.last_match(re.compile('(a+)+$'), 'a' * 60 + 'b')\n"
        "threading.Thread(target=work, daemon=True).start()\ntime.sleep(0.3)\n"
        "print(m._process.pid, flush=True)\nos.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    deadline = time.monotonic() + 60
    while running(int(done.stdout)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not running(int(done.stdout))


def test_a_limit_is_one_of_cpu_seconds(verifier: Verifier) -> None:
    """Held still for longer than its limit, by whatever else the machine does, it still answers."""
    assert verifier.same(*EQUAL)
    verifier.seconds = 0.5
    held = process_id(verifier)
    os.kill(held, 19)
    threading.Timer(1.5, os.kill, (held, 18)).start()
    assert verifier.same(r"\sqrt{20}", r"2\sqrt{5}")
    assert process_id(verifier) == held


def test_what_timed_out_is_not_kept(verifier: Verifier) -> None:
    assert verifier.same(*EQUAL)
    os.kill(process_id(verifier), 19)
    verdicts = Verdicts(verifier)
    assert verdicts.of(r"\sqrt{20}", r"2\sqrt{5}", wall=0.2) is None
    assert verdicts.of(r"\sqrt{20}", r"2\sqrt{5}") is True
    verifier.close()
    assert verdicts.of(r"2\sqrt{5}", r"\sqrt{20}") is True
    assert verifier._process is None


def test_without_descriptors_it_is_an_error_and_with_them_it_works_again(
    verifier: Verifier,
) -> None:
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken: list[int] = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(os.dup(0) + 1, 64), hard))
    try:
        with contextlib.suppress(OSError):
            while True:
                taken.append(os.dup(0))
        with pytest.raises(EngineError, match=r"did not start: .*Too many open files"):
            verifier.same(*EQUAL)
    finally:
        for descriptor in taken:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert verifier.same(*EQUAL)


def test_a_pattern_that_never_ends_is_stopped_and_named() -> None:
    matcher = Matcher(seconds=0.5)
    try:
        with pytest.raises(
            InputError, match=r"answer_pattern takes more than 0.5 s .*'\(a\+\)\+\$'"
        ):
            matcher.last_match(re.compile("(a+)+$"), "a" * 60 + "b")
        assert matcher.last_match(re.compile("b", re.IGNORECASE), "aB") == "B"
        assert matcher.last_match(re.compile("c"), "ab") is None
    finally:
        matcher.close()
    assert extract_answer("A=1; A=2;", re.compile(r"a=(\d)", re.IGNORECASE)) == "2"
