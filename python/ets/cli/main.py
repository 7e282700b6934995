"""From a command line to an exit code."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from types import FrameType
from typing import NoReturn

import typer

from ets.cli.app import app
from ets.cli.shown_stream import shown_stderr
from ets.errors import EngineError, MissingExtraError
from ets.shown.redaction import redacted_text
from ets.shown.text import shown_line, shown_text

INTERRUPTED, FAILED, BROKEN_PIPE, TERMINATED = 130, 2, 141, 143


def main() -> NoReturn:
    """Run the command line and exit: 0 well, 2 an error in one line, 130 interrupted."""
    signal.signal(signal.SIGTERM, _terminate)
    if _is_closed(2):  # or the first file that is opened would be taken for it
        _discard(2)
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115 - as at a start
    if _is_closed(1):
        _discard(1)
        sys.stderr.write("ets: standard output is closed: nobody would see the results\n")
        sys.exit(FAILED)
    code = _run(sys.argv[1:])
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        code = _broken_pipe()
    sys.exit(code)


def _run(arguments: list[str]) -> int:
    with shown_stderr():
        return _outcome(arguments)


def _outcome(arguments: list[str]) -> int:
    try:
        code = typer.main.get_command(app).main(
            args=arguments, prog_name="ets", standalone_mode=False
        )
        return code if isinstance(code, int) else 0
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except BrokenPipeError:
        return _broken_pipe()
    except SystemExit as ending:
        if isinstance(ending.__context__, BrokenPipeError):  # how rich puts it
            return _broken_pipe()
        raise
    except BaseException as error:  # noqa: BLE001 - the last resort; a Rust panic is no Exception
        if "--debug" in arguments:
            sys.stderr.write(shown_text(redacted_text(traceback.format_exc())))
        else:
            sys.stderr.write(f"ets: {shown_line(redacted_text(_one_line(error)))}\n")
        return FAILED


def _one_line(error: BaseException) -> str:
    """An error in one line: its message where it was made to be read, else its type too."""
    if hasattr(error, "format_message"):  # a usage error of typer's
        return str(error.format_message())
    text = " ".join(str(error).split())
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename or ''}: {error.strerror}".removeprefix(": ")
    if text and isinstance(error, ValueError | EngineError | MissingExtraError):
        return text
    return f"{type(error).__name__}: {text} (--debug shows the trace)".replace(":  (", " (")


def _broken_pipe() -> int:
    """Whoever read our output is gone: leave quietly."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return BROKEN_PIPE


def _is_closed(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return True
    return False


def _discard(descriptor: int) -> None:
    """Have a closed descriptor lead nowhere."""
    opened = os.open(os.devnull, os.O_RDWR)
    if opened != descriptor:
        os.dup2(opened, descriptor)
        os.close(opened)


def _terminate(signum: int, frame: FrameType | None) -> None:
    """Leave through the `with` blocks, so that engines stop their processes."""
    raise SystemExit(TERMINATED)
