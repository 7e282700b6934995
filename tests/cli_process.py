"""Command lines as processes of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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


@contextmanager
def served_commands(folder: Path) -> Iterator[Run]:
    """Command lines over scripted engines, each in a process of its own; their streams in `folder`.

    The processes are forks of one that has imported everything, which saves seconds each.
    """
    with subprocess.Popen(
        [*SCRIPTED, "--serve"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    ) as server:

        def run(*arguments: str, text: str = "") -> Done:
            files = [folder / name for name in ("in", "out", "err")]
            for file, content in zip(files, (text, "", ""), strict=True):
                file.write_text(content)
            request = {"arguments": arguments, "files": [str(file) for file in files]}
            assert server.stdin is not None
            assert server.stdout is not None
            server.stdin.write(json.dumps(request) + "\n")
            server.stdin.flush()
            code = int(server.stdout.readline())
            return Done(arguments, code, files[1].read_text(), files[2].read_text())

        yield run
        assert server.stdin is not None
        server.stdin.close()
