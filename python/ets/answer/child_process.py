"""What `ets.answer.child` runs: a question as a JSON line in, an answer out.

It is started by its path in isolated mode and imports nothing of `ets`. A question that uses up its
CPU seconds ends the process, so none outlives the process that asked for long; and when that has
gone, a thread ends this one.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

_MEMORY = 4 << 30
"""Bytes of address space that a comparison may take, where the system can limit it."""
_LOOK_SECONDS = 0.5


def main() -> None:
    """Answer questions until standard input ends."""
    task, paths, parent = sys.argv[1], json.loads(sys.argv[2]), int(sys.argv[3])
    # Behind the standard library, which no package may shadow.
    sys.path += [path for path in paths if path not in sys.path]
    answers, sys.stdout = sys.stdout, sys.stderr  # what a library prints is no answer
    _end_with(parent)
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    answer: Callable[..., Any] = _last_match
    if task == "verify":
        answer = _verify
        for name in ("math_verify.parser", "math_verify.grader"):  # it warns of time-outs being off
            logging.getLogger(name).setLevel(logging.ERROR)
        import math_verify  # noqa: F401  2 s, before the clock of a comparison runs

    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        seconds, *question = json.loads(line)
        _limit(seconds)
        print(json.dumps(answer(*question)), file=answers, flush=True)
        _limit(0)


def _end_with(parent: int) -> None:
    """End when the parent does, if only its killing ends it: nobody else reads the answers."""

    def look() -> None:
        while os.getppid() == parent:
            time.sleep(_LOOK_SECONDS)
        os._exit(1)

    if os.name == "posix":
        threading.Thread(target=look, daemon=True).start()


def _limit(seconds: float) -> None:
    """End the process when this question has used `seconds` of CPU time."""
    import signal

    if hasattr(signal, "setitimer"):
        # Its default action ends the process: no handler of Python runs amid a long call in C.
        signal.setitimer(signal.ITIMER_PROF, seconds)


def _last_match(pattern: str, flags: int, text: str) -> list[str | None]:
    """In a list, so that no match is an answer."""
    last = None
    for match in re.compile(pattern, flags).finditer(text):
        last = match
    if last is None:
        return [None]
    return [last[1] if last.re.groups and last[1] is not None else last[0]]


def _verify(a: str, b: str) -> bool:
    from math_verify import verify

    try:
        x, y = _parse(a), _parse(b)
        return bool(
            x and y and (verify(x, y, timeout_seconds=None) or verify(y, x, timeout_seconds=None))
        )
    except Exception:  # noqa: BLE001 - a parser's failure means "not equal"
        return False


_CAPITAL = re.compile(r"(\\(?:[A-Za-z]+|.))|([A-Z])(?:_(?:\{(\w+)\}|(\w)))?")


def _with_cases(s: str) -> str:
    """`s` with its capitals as letters of their own: math-verify takes R and r for the same."""
    return _CAPITAL.sub(
        lambda m: m[1] or f"{m[2].lower()}_{{97{m[3] or m[4] or ''}}}",
        s,
    )


def _parse(s: str) -> list[Any]:
    from math_verify import ExprExtractionConfig, LatexExtractionConfig, parse

    parsed: list[Any] = parse(
        f"${_with_cases(s)}$",
        extraction_config=(LatexExtractionConfig(), ExprExtractionConfig()),
        fallback_mode="no_fallback",
        parsing_timeout=None,
    )
    return parsed


if __name__ == "__main__":
    main()
