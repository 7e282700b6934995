"""Command lines as processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).parent
SCRIPTED = [sys.executable, str(HERE / "cli_scripted.py")]
ETS = [sys.executable, "-m", "ets"]
STRICT = [sys.executable, "-W", "error::FutureWarning", "-W", "error::DeprecationWarning"]
"""What the libraries are about to drop is an error."""
WAIT = 300
"""Seconds for one command on a busy machine."""
ENVIRONMENT = {**os.environ, "COLUMNS": "100", "NO_COLOR": "1", "PYTHONUTF8": "1"}
Done = subprocess.CompletedProcess[str]
Run = Callable[..., Done]


def run_process(program: list[str], *arguments: str) -> Done:
    """A process from its very start."""
    return subprocess.run(
        [*program, *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=WAIT,
        check=False,
        env=ENVIRONMENT,
    )


def assert_fails_in_one_line(done: Done, *words: str) -> None:
    assert done.returncode == 2, done
    assert done.stdout == ""
    assert done.stderr.startswith("ets: ")
    assert done.stderr.count("\n") == 1
    for word in words:
        assert word in done.stderr
