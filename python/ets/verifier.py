"""math-verify in a process of its own, so that a comparison that hangs can be stopped.

Its own time-outs use `signal.alarm`, which only the main thread may; a process can be killed from
any.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import logging
import os
import subprocess
import sys
import threading
from typing import IO, Any

from ets.errors import EngineError

_SECONDS = 5.0
_START_SECONDS = 120.0
"""sympy takes 2 s to import, a loaded machine a multiple of that."""
_MEMORY = 4 << 30
"""Bytes of address space that a comparison may take, where the system can limit it."""
_READY = "ready"
_PROGRAM = "from ets.verifier import serve; serve()"


class Verifier:
    """Asks a process whether two answers are mathematically equal; starts it when first asked.

    Safe to use from any thread; one comparison at a time. A comparison that takes longer than
    `seconds`, or ends the process by what it needs, counts as "not equal", and the process is
    replaced.
    """

    def __init__(self, seconds: float = _SECONDS) -> None:
        self.seconds = seconds
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._owner = 0

    def same(self, a: str, b: str) -> bool:
        """math-verify's verdict, in either direction: its rules for `x = 5` and sets are one-way.

        # Errors
        `EngineError` if the process cannot be started.
        """
        with self._lock:
            process = self._running()
            verdict = self._ask(process, json.dumps([a, b]), self.seconds)
            if verdict is None:
                self._stop()
            return verdict == "true"

    def close(self) -> None:
        """End the process; it is started again when asked."""
        with self._lock:
            self._stop()

    def _running(self) -> subprocess.Popen[str]:
        # After a fork the process is the parent's: two that read its answers would mix them up.
        mine = self._owner == os.getpid()
        if self._process is not None and mine and self._process.poll() is None:
            return self._process
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


def serve() -> None:
    """The process: a pair of answers as a JSON line in, `true` or `false` out."""
    answers, sys.stdout = sys.stdout, sys.stderr  # what a library prints is no answer
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    for name in ("math_verify.parser", "math_verify.grader"):  # it warns of time-outs being off
        logging.getLogger(name).setLevel(logging.ERROR)
    import math_verify  # noqa: F401  2 s, before the clock of a comparison runs

    print(_READY, file=answers, flush=True)
    for line in sys.stdin:
        print(json.dumps(_verify(*json.loads(line))), file=answers, flush=True)


def _verify(a: str, b: str) -> bool:
    from math_verify import verify

    try:
        x, y = _parse(a), _parse(b)
        return bool(
            x and y and (verify(x, y, timeout_seconds=None) or verify(y, x, timeout_seconds=None))
        )
    except Exception:  # noqa: BLE001 - a parser's failure means "not equal"
        return False


def _parse(s: str) -> list[Any]:
    from math_verify import ExprExtractionConfig, LatexExtractionConfig, parse

    parsed: list[Any] = parse(
        f"${s}$",
        extraction_config=(LatexExtractionConfig(), ExprExtractionConfig()),
        fallback_mode="no_fallback",
        parsing_timeout=None,
    )
    return parsed


def _start() -> subprocess.Popen[str]:
    path = os.pathsep.join(entry for entry in sys.path if entry)
    try:
        return subprocess.Popen(
            [sys.executable, "-c", _PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
            env={**os.environ, "PYTHONPATH": path},
            start_new_session=True,  # an interrupt is for this process to handle
        )
    except OSError as error:
        raise EngineError(f"the process that compares answers did not start: {error}") from error


def _pipes(process: subprocess.Popen[str]) -> tuple[IO[str], IO[str]]:
    if process.stdin is None or process.stdout is None:
        raise RuntimeError("a process without pipes")
    return process.stdin, process.stdout
