"""The problems that a command is given: typed in, piped in, or a JSONL file."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ets.answer import extract_answer
from ets.errors import InputError

FIELDS = ("problem", "question")
"""The fields of a JSONL line that may hold the problem; the first one present counts."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem to solve."""

    text: str
    expected: str | None = None
    """The right answer, where the JSONL line has a field `answer`."""
    key: str | int | None = None
    """The JSONL line's `id` or `unique_id`."""


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
        return [Problem(_checked(text, "standard input"))], False
    if source.endswith(".jsonl"):
        return _jsonl(Path(source).read_text(encoding="utf-8"), source), True
    return [Problem(_checked(source, "the problem"))], False


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
    text = next((row[field] for field in FIELDS if field in row), None)
    if not isinstance(text, str):
        raise InputError(f"{where}: no field {' or '.join(FIELDS)} with a text")
    key = row.get("id", row.get("unique_id"))
    return Problem(
        _checked(text, where), _expected(row.get("answer")), key if _is_key(key) else None
    )


def _is_key(key: object) -> bool:
    return isinstance(key, str | int)


def _expected(answer: object) -> str | None:
    """The right answer; in GSM8K it ends a whole solution."""
    if isinstance(answer, bool) or not isinstance(answer, str | int | float):
        return None
    text = str(answer).strip()
    return (extract_answer(text) if "####" in text else text) or None


def _checked(text: str, where: str) -> str:
    if not text.strip():
        raise InputError(f"{where} is empty")
    return text.strip()
