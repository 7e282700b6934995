"""math-verify in a process of its own, so that a comparison that hangs can be stopped.

Its own time-outs use `signal.alarm`, which only the main thread may; a process can be killed from
any. The process imports nothing from the working directory, limits its own CPU time, and ends with
the process that started it, however that ends.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import subprocess
import sys
import threading
from collections import OrderedDict
from pathlib import Path
from typing import IO

from ets.errors import EngineError

_SECONDS = 5.0
"""CPU seconds of one comparison: a loaded machine does not change a verdict."""
_WALL = 20.0
"""How many times its CPU seconds a comparison may take by the clock, on a machine that is busy."""
_START_SECONDS = 120.0
"""sympy takes 2 s to import, a loaded machine a multiple of that."""
_READY = "ready"
_LATE = "late"
_KEPT = 65_536
_CHILD = Path(__file__).with_name("verifier_process.py")


class Verifier:
    """Asks a process whether two answers are mathematically equal; starts it when first asked.

    Safe to use from any thread; one comparison at a time. A comparison that takes more than
    `seconds` of CPU time, or ends the process by what it needs, has no verdict, and the process is
    replaced. Verdicts are kept, missing ones are not.
    """

    def __init__(self, seconds: float = _SECONDS) -> None:
        self.seconds = seconds
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._owner = 0
        self._kept: OrderedDict[tuple[str, str], bool] = OrderedDict()

    def same(self, a: str, b: str) -> bool:
        """`verdict`, where none counts as different."""
        return self.verdict(a, b) is True

    def verdict(self, a: str, b: str, wall: float | None = None) -> bool | None:
        """math-verify's verdict, in either direction: its rules for `x = 5` and sets are one-way.

        None if it took more than `seconds` of CPU time, or more than `wall` seconds by the clock
        (by default a multiple of `seconds`), which includes waiting for others' comparisons.

        # Errors
        `EngineError` if the process cannot be started.
        """
        pair = (a, b)
        if (kept := self._kept.get(pair)) is not None:
            return kept
        limit = self.seconds * _WALL if wall is None else min(wall, self.seconds * _WALL)
        if not self._lock.acquire(timeout=max(0.0, limit)):
            return None
        try:
            process = self._running()
            said = self._ask(process, json.dumps([a, b, self.seconds]), limit)
            if said is None:
                self._stop()
        finally:
            self._lock.release()
        if said not in ("true", "false"):
            return None
        self._kept[pair] = said == "true"
        while len(self._kept) > _KEPT:
            with contextlib.suppress(KeyError):  # another thread has dropped it
                self._kept.popitem(last=False)
        return said == "true"

    def close(self) -> None:
        """End the process; it is started again when asked."""
        with self._lock:
            self._stop()

    def _running(self) -> subprocess.Popen[str]:
        # After a fork the process is the parent's: two that read its answers would mix them up.
        mine = self._owner == os.getpid()
        if self._process is not None and mine and self._process.poll() is None:
            return self._process
        if self._process is not None and mine:
            self._stop()
        self._process, self._owner = _start(), os.getpid()
        atexit.register(self.close)
        if self._ask(self._process, None, _START_SECONDS) != _READY:
            self._stop()
            raise EngineError("the process that compares answers did not start")
        return self._process

    def _ask(
        self, process: subprocess.Popen[str], question: str | None, seconds: float
    ) -> str | None:
        """Its next line; None if it ended, by itself or because it took too long."""
        stdin, stdout = _pipes(process)
        timer = threading.Timer(seconds, process.kill)
        timer.daemon = True
        timer.start()
        try:
            if question is not None:
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


def _start() -> subprocess.Popen[str]:
    # Isolated, so that no `random.py` of the working directory is run; what this process can
    # import is told by name, without the working directory.
    paths = [entry for entry in sys.path if entry and Path(entry).is_absolute()]
    try:
        return subprocess.Popen(
            [sys.executable, "-I", str(_CHILD), json.dumps(paths), str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
            start_new_session=True,  # an interrupt is for this process to handle
        )
    except OSError as error:
        raise EngineError(f"the process that compares answers did not start: {error}") from error


def _pipes(process: subprocess.Popen[str]) -> tuple[IO[str], IO[str]]:
    if process.stdin is None or process.stdout is None:
        raise RuntimeError("a process without pipes")
    return process.stdin, process.stdout
