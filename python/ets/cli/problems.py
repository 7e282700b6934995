"""The problems that a command is given: typed in, piped in, or a file."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from pathlib import Path

from ets.errors import InputError
from ets.problems.file import FILES, Row, is_file_of_problems, rows_of_file, rows_of_json, text_of
from ets.problems.problem import Fields, Problem, checked

_ROWS = re.compile(r'\s*(\{\s*["}]|\[\s*\{)')
"""How JSON objects begin, and no problem does."""


def read_problems(source: str) -> tuple[list[Problem], bool]:
    """The problems that `source` stands for, and whether they are a list.

    `-` is standard input, which may hold one problem, JSON lines or a JSON list; a name that ends
    as those of `ets.problems.file.FILES` is a file; all else is the problem itself.

    Raises `InputError` for an empty problem, a row that holds none, a damaged file, and another
    file, folder or pipe that is there: its name is hardly a problem.
    """
    if source == "-":
        text = text_of(sys.stdin.buffer.read(), "standard input")
        if _ROWS.match(text):
            return _problems(rows_of_json(text, "standard input"), "standard input"), True
        return [Problem(checked(text, "standard input"))], False
    if is_file_of_problems(source):
        return _problems(rows_of_file(source), source), True
    if _is_there(source):
        what = "a file" if Path(source).is_file() else "no file"
        raise InputError(
            f"{source} is {what}; those that end in {', '.join(FILES)} can be read, and - is"
            " standard input"
        )
    return [Problem(checked(source, "the problem"))], False


def _is_there(name: str) -> bool:
    try:
        return bool(re.search(r"[./\\]", name)) and Path(name).exists()
    except (OSError, ValueError):  # longer than a name can be, or with a zero in it
        return False


def _problems(rows: Iterable[Row], name: str) -> list[Problem]:
    problems = [Fields().read(row, where) for where, row in rows]
    if not problems:
        raise InputError(f"{name} holds no problems")
    return problems
