"""Where the command line writes: results to standard output, everything else to standard error."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from rich.console import Console

from ets.cli.shown_console import ShownConsole
from ets.cli.shown_stream import ShownStream, real_stderr
from ets.shown.text import shown_json

QUIET = {
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_VERBOSITY": "error",
    "TOKENIZERS_PARALLELISM": "false",
    "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "VLLM_CONFIGURE_LOGGING": "1",
}
"""What keeps the engines from talking over the live view; a user's own setting wins."""
DEBUG = {"VLLM_LOGGING_LEVEL": "INFO"}
"""With it engines print, and keep no log."""


class Output:
    """Standard output for results, a console on standard error for progress and notes."""

    def __init__(self, stdout: TextIO, *, as_json: bool) -> None:
        self.as_json = as_json
        self._stdout = stdout
        self.console: Console = ShownConsole(file=stdout, soft_wrap=not stdout.isatty())
        self.progress: Console = ShownConsole(real_stderr())
        self.live = self.progress.is_terminal and not self.progress.is_dumb_terminal

    def json(self, value: dict[str, Any]) -> None:
        """One object on a line of its own, at once."""
        line = json.dumps(value, ensure_ascii=False, allow_nan=False)
        self._stdout.write(shown_json(line) + "\n")
        self._stdout.flush()

    def note(self, text: str) -> None:
        """A line on standard error."""
        self.progress.print(text, style="yellow", markup=False, soft_wrap=True)


@contextmanager
def open_output(*, as_json: bool, debug: bool) -> Iterator[Output]:
    """Keep standard output for results alone: what an engine prints there goes to standard error.

    The file descriptor itself is redirected, because engines print from C and from child processes.
    """
    sys.stdout.flush()
    with (
        _environment(DEBUG if debug else QUIET),
        os.fdopen(os.dup(1), "w", encoding=sys.stdout.encoding, errors="replace") as stdout,
    ):
        os.dup2(2, 1)
        before = sys.stdout
        shown: Any = ShownStream(before)
        sys.stdout = shown
        try:
            yield Output(stdout, as_json=as_json)
        finally:
            sys.stdout = before
        stdout.flush()


@contextmanager
def _environment(defaults: dict[str, str]) -> Iterator[None]:
    """Inside, each variable that the user has not set has its default."""
    unset = [name for name in defaults if name not in os.environ]
    os.environ.update({name: defaults[name] for name in unset})
    try:
        yield
    finally:
        for name in unset:
            os.environ.pop(name, None)
