"""A process beside this one, for work that has to be stoppable: math-verify, patterns of users.

It imports nothing from the working directory, limits its own CPU time, and ends with the process
that started it, however that ends.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import IO, Any

from ets.errors import EngineError
from ets.fork_lock import ForkLock

WALL = 20.0
"""How many times its CPU seconds a question may take by the clock, on a machine that is busy."""
_READY = "ready"
_PROGRAM = Path(__file__).with_name("child_process.py")


class Child:
    """Asks a process; starts it when first asked. Safe in any thread, one question at a time.

    A question that takes more than `seconds` of CPU time, or ends the process by what it needs, has
    no answer, and the process is replaced.
    """

    def __init__(self, task: str, name: str, seconds: float) -> None:
        self.seconds = seconds
        self._task = task
        self._name = name
        self._lock = ForkLock()
        self._process: subprocess.Popen[str] | None = None
        self._owner = 0
        self._greeted = threading.Event()
        self._is_up = False

    def ask(self, *question: Any, wall: float | None = None) -> Any:
        """What the process makes of a question; None if it took too long.

        `wall`: seconds by the clock, which include waiting for others' questions and for the
        process to start; by default a multiple of `seconds`.

        # Errors
        `EngineError` if the process cannot be started.
        """
        limit = self.seconds * WALL if wall is None else min(wall, self.seconds * WALL)
        deadline = time.monotonic() + limit
        if not self._lock.acquire(timeout=max(0.0, limit)):
            return None
        try:
            process = self._running(deadline)
            if process is None:
                return None
            line = json.dumps([self.seconds, *question])
            said = self._said(process, line, max(0.0, deadline - time.monotonic()))
            if said is None:
                self._stop()
        finally:
            self._lock.release()
        return None if said is None else json.loads(said)

    def close(self) -> None:
        """End the process; it is started again when asked."""
        with self._lock:
            self._stop()

    def _running(self, deadline: float) -> subprocess.Popen[str] | None:
        """The process, ready to be asked; None if it is still starting at the deadline."""
        # After a fork the process is the parent's: two that read its answers would mix them up.
        mine = self._owner == os.getpid()
        if self._process is not None and mine and self._process.poll() is not None and self._is_up:
            self._stop()
        if self._process is None or not mine:
            self._process, self._owner = self._start(), os.getpid()
            atexit.register(self.close)
            self._greeted, self._is_up = threading.Event(), False
            arguments = (self._process, self._greeted)
            threading.Thread(target=self._greet, args=arguments, daemon=True).start()
        if not self._greeted.wait(max(0.0, deadline - time.monotonic())):
            return None  # sympy takes 2 s to import, a loaded machine a multiple of that
        if not self._is_up:
            self._stop()
            raise EngineError(f"the process that {self._name} did not start")
        return self._process

    def _greet(self, process: subprocess.Popen[str], greeted: threading.Event) -> None:
        """Wait for the process to be ready, in a thread: a deadline may come first."""
        try:
            is_up = _pipes(process)[1].readline().strip() == _READY
        except (OSError, ValueError):  # it was closed while it started
            is_up = False
        if process is self._process:
            self._is_up = is_up
        greeted.set()

    def _said(self, process: subprocess.Popen[str], question: str, seconds: float) -> str | None:
        """Its next line; None if it ended, by itself or because it took too long."""
        stdin, stdout = _pipes(process)
        timer = threading.Timer(seconds, process.kill)
        timer.daemon = True
        timer.start()
        try:
            stdin.write(question + "\n")
            stdin.flush()
            return stdout.readline().strip() or None
        except OSError:  # it has ended
            return None
        finally:
            timer.cancel()

    def _stop(self) -> None:
        atexit.unregister(self.close)
        process, self._process = self._process, None
        if process is not None and self._owner == os.getpid():
            process.kill()
            for pipe in _pipes(process):
                with contextlib.suppress(OSError):
                    pipe.close()
            process.wait()

    def _start(self) -> subprocess.Popen[str]:
        # Isolated, so that no `random.py` of the working directory is run; what this process can
        # import is told by name.
        paths = [entry for entry in sys.path if Path(entry).is_absolute()]
        arguments = [self._task, json.dumps(paths), str(os.getpid())]
        try:
            return subprocess.Popen(
                [sys.executable, "-I", str(_PROGRAM), *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                encoding="utf-8",
                start_new_session=True,  # an interrupt is for this process to handle
            )
        except OSError as error:
            raise EngineError(f"the process that {self._name} did not start: {error}") from error


def _pipes(process: subprocess.Popen[str]) -> tuple[IO[str], IO[str]]:
    if process.stdin is None or process.stdout is None:
        raise RuntimeError("a process without pipes")
    return process.stdin, process.stdout
