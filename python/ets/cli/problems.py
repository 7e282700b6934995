"""The problems that a command is given: typed in, piped in, or a JSONL file."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from ets.errors import InputError
from ets.problems import Fields, Problem, checked


def read_problems(source: str) -> tuple[list[Problem], bool]:
    """The problems that `source` stands for, and whether they are a list (a JSONL file).

    `-` is standard input, which may hold one problem or JSONL; a name that ends in `.jsonl` is a
    file; all else is the problem itself.

    Raises `InputError` for an empty problem or a line that holds none.
    """
    if source == "-":
        text = sys.stdin.read()
        first = text.lstrip().splitlines()[:1]
        if first and _is_object(first[0]):
            return _jsonl(text, "standard input"), True
        return [Problem(checked(text, "standard input"))], False
    if source.endswith(".jsonl"):
        return _jsonl(Path(source).read_text(encoding="utf-8"), source), True
    return [Problem(checked(source, "the problem"))], False


def _is_object(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


def _jsonl(text: str, name: str) -> list[Problem]:
    problems = [
        _problem(line, f"{name}:{number}")
        for number, line in enumerate(text.split("\n"), start=1)
        if line.strip()
    ]
    if not problems:
        raise InputError(f"{name} holds no problems")
    return problems


def _problem(line: str, where: str) -> Problem:
    try:
        row: Any = json.loads(line)
    except ValueError as error:
        raise InputError(f"{where}: not a JSON object: {error}") from error
    if not isinstance(row, dict):
        raise InputError(f"{where}: not a JSON object")
    return Fields().read(row, where)
