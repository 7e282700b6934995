"""The command line under interrupts and signals, in a terminal, and on streams that are gone."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest

import ets
from cli_process import (
    ETS,
    SCRIPTED,
    WAIT,
    run_process,
)
from ets.cli.watch import Watch
from test_tree_page import told

pytestmark = pytest.mark.timeout(900)


def test_broken_pipe_is_quiet(tmp_path: Path) -> None:
    path = tmp_path / "problems.jsonl"
    path.write_text('{"problem": "x"}\n' * 40)
    said = tmp_path / "stderr"
    with (
        said.open("w") as stderr,
        subprocess.Popen(
            [*SCRIPTED, "solve", str(path), "--json", "--width", "4", "--concurrency", "8"],
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        ) as process,
    ):
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["answer"]
        process.send_signal(signal.SIGINT)
        # Not `communicate`, which would miss what `readline` has read ahead.
        rest = process.stdout.read()
    assert process.returncode == 130
    assert said.read_text() == ""
    assert all(json.loads(line)["answer"] for line in rest.splitlines())


class InTerminal:
    """A command whose standard error is a terminal, in a process group of its own."""

    def __init__(self, command: list[str]) -> None:
        self._master, slave = pty.openpty()
        environment = {**os.environ, "COLUMNS": "100", "LINES": "40", "TERM": "xterm-256color"}
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=slave,
            text=True,
            env=environment,
            start_new_session=True,
        )
        os.close(slave)
        self.screen = ""
        # A terminal that nobody reads fills up, and the command waits for ever to write to it.
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        with contextlib.suppress(OSError):  # how a terminal ends
            while text := os.read(self._master, 65536):
                self.screen += text.decode(errors="replace")
        os.close(self._master)

    def wait_for(self, pattern: str) -> None:
        """Wait until the terminal showed what a regular expression finds; else end the command."""
        deadline = time.monotonic() + WAIT
        while not re.search(pattern, self.screen):
            if time.monotonic() > deadline or not self._reader.is_alive():
                self.process.kill()
                pytest.fail(f"{pattern!r} was not shown: {self.screen[-2000:]}")
            time.sleep(0.02)

    def wait(self) -> str:
        """Wait for the command to end; what it wrote to its output."""
        stdout, _ = self.process.communicate(timeout=WAIT)
        self._reader.join(WAIT)
        return stdout

    def interrupt(self, signum: int = signal.SIGINT) -> str:
        """Signal the whole group, as a terminal does; what the command then wrote to its output."""
        os.killpg(self.process.pid, signum)
        return self.wait()

    def assert_nothing_is_left(self) -> None:
        with pytest.raises(ProcessLookupError):
            os.killpg(self.process.pid, 0)


@pytest.mark.parametrize("kind", ["slow", "child"])
def test_interrupt_shows_what_was_found(kind: str) -> None:
    # node rewards do not depend on time, so completed solutions exist when step 5 begins
    command = [*SCRIPTED, "solve", "How many?", "--policy", kind, "--prm", "x", "--width", "64"]
    terminal = InTerminal(command)
    terminal.wait_for("step 5:")
    stdout = terminal.interrupt()
    assert terminal.process.returncode == 130
    assert "Interrupted; so far  " in stdout
    assert "solutions complete" in stdout
    assert "Traceback" not in terminal.screen
    terminal.assert_nothing_is_left()


def test_interrupt_with_json() -> None:
    terminal = InTerminal(
        [
            *SCRIPTED,
            "solve",
            "How many?",
            "--policy",
            "slow",
            "--prm",
            "x",
            "--width",
            "64",
            "--json",
        ]
    )
    terminal.wait_for("step 5:")
    record = json.loads(terminal.interrupt())
    assert record["interrupted"]
    assert record["answer"] in ("0", "1", "2")
    assert terminal.process.returncode == 130


def test_interrupt_of_many_shows_the_sum(tmp_path: Path) -> None:
    path = tmp_path / "problems.jsonl"
    path.write_text('{"problem": "x"}\n' * 5000)
    terminal = InTerminal([*SCRIPTED, "solve", str(path), "--concurrency", "1"])
    terminal.wait_for(r"\b[1-9]\d*/5000")  # whichever the refreshes happen to catch
    stdout = terminal.interrupt()
    assert terminal.process.returncode == 130
    assert re.search(r"solved +\d+ of 5000 problems", stdout)
    terminal.assert_nothing_is_left()


def test_terminate_leaves_no_process() -> None:
    terminal = InTerminal(
        [*SCRIPTED, "solve", "x", "--policy", "child", "--prm", "x", "--width", "64"]
    )
    terminal.wait_for("step 5:")
    terminal.interrupt(signal.SIGTERM)
    assert terminal.process.returncode in (143, -signal.SIGTERM)
    terminal.assert_nothing_is_left()


def test_live_view_shows_the_steps() -> None:
    command = [*SCRIPTED, "solve", "How many?", "--width", "8"]
    terminal = InTerminal(command)
    terminal.wait_for("pruned")
    stdout = terminal.wait()
    assert terminal.process.returncode == 0
    assert "Answer" in stdout
    assert "ETS, width 8" in terminal.screen
    assert "handed on" not in terminal.screen


def test_live_view_shows_masses_where_they_are_preserved() -> None:
    command = [*SCRIPTED, "solve", "How many?", "--width", "8", "--strategy", "mpts"]
    terminal = InTerminal(command)
    terminal.wait_for("mass")
    terminal.wait()
    assert terminal.process.returncode == 0
    assert "handed on" in terminal.screen


def test_masses_are_what_was_kept_and_what_was_handed_on() -> None:
    search = told(
        ets.MPTS(width=8, clusters="text", rho=0.0, lambda_b=1.0),
        [(0.5, None, False, text) for text in "aaaaaabb"],
    )
    search.ask()
    watch = Watch(width=8)
    for event in search.events:
        watch.note(event, search)
    (row,) = watch.rows
    # Both say all of it; five of six that say a and one of two that say b were pruned.
    assert (row.kept, row.mass, row.handed_on) == (2, 1.0, 6 / 8)


@pytest.mark.slow
def test_interrupt_with_real_models(pair_paths: tuple[Path, Path]) -> None:
    pytest.importorskip("torch")
    policy, prm = pair_paths
    engines = ["--policy", f"transformers:{policy}", "--prm", f"transformers:{prm}"]
    terminal = InTerminal([*ETS, "solve", "Tom has 3 apples.", *engines, "--width", "256"])
    terminal.wait_for("step 1:")
    terminal.wait_for("continuations")
    stdout = terminal.interrupt()
    assert terminal.process.returncode == 130
    assert "Interrupted" in stdout
    terminal.assert_nothing_is_left()


@pytest.mark.skipif(os.name != "posix", reason="descriptors are closed by a shell")
@pytest.mark.parametrize(
    ("closed", "code", "said"),
    [
        (">&-", 2, "ets: standard output is closed: nobody would see the results\n"),
        (">&- 2>&-", 2, ""),
        ("2>&-", 0, ""),
    ],
)
def test_a_stream_that_is_closed_from_the_start_is_no_trace(
    closed: str, code: int, said: str, tmp_path: Path
) -> None:
    """What is opened next must not be taken for one of them."""
    command = f'exec "$0" "$@" {closed}'
    arguments = [*SCRIPTED, "solve", "What?", "--tree", str(tmp_path / "tree.html")]
    done = run_process(["sh", "-c", command], *arguments)
    assert (done.returncode, done.stderr) == (code, said)
    assert ("of 16 solutions" in done.stdout or "The tree" in done.stdout) == (code == 0)
    assert (tmp_path / "tree.html").exists() == (code == 0)


@pytest.mark.slow
def test_solve_with_real_models(pair_paths: tuple[Path, Path]) -> None:
    """The bundled pair, or random checkpoints of its form, through transformers."""
    pytest.importorskip("torch")
    policy, prm = pair_paths
    engines = ["--policy", f"transformers:{policy}", "--prm", f"transformers:{prm}"]
    options = ["--width", "4", "--max-tokens", "60", "--max-step-tokens", "30"]
    terminal = InTerminal([*ETS, "solve", "Tom has 3 apples.", *engines, *options, "--json"])
    stdout = terminal.wait()
    assert terminal.process.returncode == 0
    assert len(json.loads(stdout)["trajectories"]) == 4
