"""Files of a run folder: written whole or not at all, and read as what others may have changed."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any, NoReturn

from ets.errors import InputError

SCRATCH = ".new"
_DEEPEST = 100
"""Objects and lists within each other; what this package writes has a dozen."""


def write_whole(file: Path, data: bytes) -> None:
    """Write a file so that it is there whole or not at all; a link in its place is replaced, and
    what it points to stays as it is."""
    # Hidden, so that a folder of which only this exists is not taken for one of other things.
    scratch = file.with_name(f".{file.name}{SCRATCH}")
    scratch.unlink(missing_ok=True)
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    with open(descriptor, "wb") as out:
        out.write(data)
        out.flush()
        os.fsync(descriptor)
    os.replace(scratch, file)


def read_bytes(file: Path) -> bytes | None:
    """What a file holds; None where there is none.

    # Errors
    `InputError` for a folder, a pipe and the like; `OSError` if it cannot be read.
    """
    try:
        if not stat.S_ISREG(file.stat().st_mode):
            raise InputError(f"{file} is no file")
        return file.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None


def refuse_link(file: Path) -> None:
    """`InputError` where what is to be written lies elsewhere: it may be anything."""
    if file.is_symlink():
        raise InputError(f"{file} is a link, and what it points to would be written into")


def parse_object(text: bytes, where: str, wanted: str) -> dict[str, Any]:
    """The JSON object of a text in UTF-8; `where` and `wanted` say in an error what is none.

    # Errors
    `InputError`, also for numbers that JSON does not have and for what is nested deeply.
    """
    try:
        found = json.loads(text.decode("utf-8", "surrogatepass"), parse_constant=_no_number)
    except RecursionError as error:
        raise InputError(f"{where} {wanted}: it is nested too deeply") from error
    except ValueError as error:
        raise InputError(f"{where} {wanted}: {error}") from error
    if not isinstance(found, dict):
        raise InputError(f"{where} {wanted}: it is no JSON object")
    layer: list[Any] = [found]
    for _ in range(_DEEPEST):
        layer = [inner for outer in layer for inner in _inside(outer)]
        if not layer:
            return found
    raise InputError(f"{where} {wanted}: it is nested too deeply")


def _inside(value: Any) -> list[Any]:
    values = value.values() if isinstance(value, dict) else value
    return [inner for inner in values if isinstance(inner, dict | list)]


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number")
