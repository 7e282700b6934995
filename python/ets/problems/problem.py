"""Problems, and how they are read from the rows of a data set."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from ets.answer import extract_answer
from ets.checks import check_text
from ets.dialogue import Dialogue, Posed, Turn, parted
from ets.errors import InputError

PROBLEM_FIELDS = ("problem", "question", "input", "messages")
ANSWER_FIELDS = ("answer", "target")
KEY_FIELDS = ("id", "unique_id")


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem to solve."""

    text: str
    """Its text; of a dialogue the last message."""
    expected: str | None = None
    """The right answer, where it is known."""
    key: str | int | None = None
    """What its data set calls it."""
    before: tuple[Turn, ...] = ()
    """What was said before it, where it ends a dialogue."""

    @property
    def posed(self) -> Posed:
        """What a search is given."""
        return Dialogue(self.before, self.text) if self.before else self.text

    @property
    def given(self) -> str | list[dict[str, str]]:
        """The same as JSON-able values."""
        posed = self.posed
        return posed if isinstance(posed, str) else posed.messages


@dataclass(frozen=True, slots=True)
class Fields:
    """Which fields of a row hold what; by default the first of the usual names that is there."""

    problem: str | None = None
    answer: str | None = None
    key: str | None = None

    def read(self, row: Mapping[str, Any], where: str) -> Problem:
        """The problem of a row; `where` names it in errors. It is a text, or a list of messages.

        An answer that is a whole solution, as in GSM8K, counts by what it ends in.

        # Errors
        `InputError` if there is no problem, a field that was named is not there, messages are none,
        or an answer is neither a text nor a finite number, or a list of one of these.
        """
        names = (self.problem,) if self.problem else PROBLEM_FIELDS
        given = _first(row, names)
        if not isinstance(given, str | list):
            there = f"; there are {', '.join(map(str, row))}" if row else ""
            got = there if given is None else f", got {_shown(given)}"
            raise InputError(f"{where}: no field {' or '.join(names)} with a text or messages{got}")
        for name in (self.answer, self.key):
            if name is not None and name not in row:
                raise InputError(f"{where}: no field {name}; there are {', '.join(row)}")
        key = _first(row, (self.key,) if self.key else KEY_FIELDS)
        if isinstance(key, str):
            check_text(f"{where}: the key", key)
        posed = given if isinstance(given, str) else Dialogue.of(f"{where}: messages", given)
        before, text = parted(posed)
        return Problem(
            checked(text, where) if isinstance(given, str) else text,
            _expected(_first(row, (self.answer,) if self.answer else ANSWER_FIELDS), where),
            key if isinstance(key, str | int) and not isinstance(key, bool) else None,
            before,
        )


def checked(text: str, where: str) -> str:
    """A problem's text without white space around it; `InputError` if nothing is left."""
    if not text.strip():
        raise InputError(f"{where} is empty")
    check_text(where, text)
    return text.strip()


def _first(row: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    """The first of the fields that is there and not null."""
    return next((row[name] for name in names if row.get(name) is not None), None)


def _shown(value: object) -> str:
    text = repr(value)
    return f"{type(value).__name__} {text if len(text) <= 60 else text[:60] + '...'}"


def _expected(answer: object, where: str) -> str | None:
    if answer is None:
        return None
    if isinstance(answer, list | tuple) and len(answer) == 1:
        return _expected(answer[0], where)
    if isinstance(answer, bool) or not isinstance(answer, str | int | float | Decimal):
        raise InputError(
            f"{where}: the answer must be a text, a number or a list of one, got {_shown(answer)}"
        )
    if not isinstance(answer, str) and not math.isfinite(answer):
        raise InputError(f"{where}: the answer must be a finite number, got {answer}")
    text = str(answer).strip()
    check_text(f"{where}: the answer", text)
    whole = "####" in text or "\\boxed" in text
    return (extract_answer(text) if whole else text) or None
