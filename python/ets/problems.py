"""Problems, and how they are read from the rows of a data set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ets.answer import extract_answer
from ets.errors import InputError

PROBLEM_FIELDS = ("problem", "question", "input")
ANSWER_FIELDS = ("answer", "target")
KEY_FIELDS = ("id", "unique_id")


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem to solve."""

    text: str
    expected: str | None = None
    """The right answer, where it is known."""
    key: str | int | None = None
    """What its data set calls it."""


@dataclass(frozen=True, slots=True)
class Fields:
    """Which fields of a row hold what; by default the first of the usual names that is there."""

    problem: str | None = None
    answer: str | None = None
    key: str | None = None

    def read(self, row: Mapping[str, Any], where: str) -> Problem:
        """The problem of a row; `where` names it in errors.

        An answer that is a whole solution, as in GSM8K, counts by what it ends in.

        # Errors
        `InputError` if there is no problem, or a field that was named is not there.
        """
        names = (self.problem,) if self.problem else PROBLEM_FIELDS
        text = next((row[name] for name in names if name in row), None)
        if not isinstance(text, str):
            raise InputError(f"{where}: no field {' or '.join(names)} with a text")
        for name in (self.answer, self.key):
            if name is not None and name not in row:
                raise InputError(f"{where}: no field {name}; there are {', '.join(row)}")
        key = _first(row, (self.key,) if self.key else KEY_FIELDS)
        return Problem(
            checked(text, where),
            _expected(_first(row, (self.answer,) if self.answer else ANSWER_FIELDS)),
            key if isinstance(key, str | int) and not isinstance(key, bool) else None,
        )


def checked(text: str, where: str) -> str:
    """A problem's text without white space around it; `InputError` if nothing is left."""
    if not text.strip():
        raise InputError(f"{where} is empty")
    return text.strip()


def _first(row: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    return next((row[name] for name in names if name in row), None)


def _expected(answer: object) -> str | None:
    if isinstance(answer, bool) or not isinstance(answer, str | int | float):
        return None
    text = str(answer).strip()
    whole = "####" in text or "\\boxed" in text
    return (extract_answer(text) if whole else text) or None
