"""Answers that are JSON: objects, lists of objects, calls of tools; in one form for equal ones."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import Any, TypeAlias

JSON: TypeAlias = bool | str | Decimal | list["JSON"] | dict[str, "JSON"] | None

ANSWER_MEMBERS = ("answer", "final_answer")
"""Members of an object that are its answer."""
_FENCED = re.compile(r"```\w*[ \t]*\n(.*)\n[ \t]*```", re.DOTALL)
_LOOKS_SO = re.compile(r'\{\s*"|\[\s*\{')
_MOST_ZEROS, _MOST_PLACES = 308, 20
"""Beyond these powers of ten a number is written with an exponent."""


def structured_answer(text: str) -> str | None:
    """The answer of a solution that is, as a whole, a JSON object or a list of objects; else None.

    - The member `answer` (or `final_answer`) of an object, where it has one: a text as it stands,
      anything else in canonical form; empty where that member is null.
    - Calls of tools, also where only the last line is one: `canonical_json` says in what form.
    - Any other object or list of objects: its canonical form.

    It may stand between code fences.
    """
    try:
        return _answer_of(text.strip())
    except RecursionError:  # nested deeper than anybody means
        return None


def canonical_json(text: str) -> str | None:
    """The one form of a JSON object, or list of objects, that equal ones have; None for all else.

    Members are in the order of their names, without white space; numbers of one value are written
    alike (`1.0`, `1e0` and `1` as `1`), strings that are equal too. Lists keep their order. Calls
    of tools, as OpenAI's API gives them, become `[{"arguments":...,"name":...}]` without their ids,
    in the order of these forms, and arguments that are JSON are read.
    """
    try:
        value = _parsed(text.strip())
        return None if value is None else _canonical(value)
    except RecursionError:  # nested deeper than anybody means
        return None


def _answer_of(said: str) -> str | None:
    if (fenced := _FENCED.fullmatch(said)) is not None:
        said = fenced[1].strip()
    value = _parsed(said)
    if value is None:
        calls = _calls(_parsed(said.rpartition("\n")[2]))
        return None if calls is None else _written(calls)
    if isinstance(value, dict):
        for name in ANSWER_MEMBERS:
            if name in value:
                answer = value[name]
                return answer.strip() if isinstance(answer, str) else _answer(answer)
    return _canonical(value)


def _parsed(text: str) -> dict[str, JSON] | list[JSON] | None:
    """An object with members, or a list of objects."""
    if _LOOKS_SO.match(text) is None:
        return None
    try:
        value: JSON = json.loads(
            text, parse_float=Decimal, parse_int=Decimal, parse_constant=_no_constant
        )
    except (ValueError, ArithmeticError, RecursionError):
        return None
    if isinstance(value, list) and not all(isinstance(item, dict) for item in value):
        return None
    return value if isinstance(value, dict | list) else None


def _no_constant(name: str) -> JSON:
    raise ValueError(f"{name} is no JSON")


def _canonical(value: dict[str, JSON] | list[JSON]) -> str:
    calls = _calls(value)
    return _written(value if calls is None else calls)


def _calls(value: Any) -> list[JSON] | None:
    """Calls of tools without what differs between equal ones; None for what are none."""
    if not isinstance(value, list) or not value:
        return None
    calls: list[JSON] = []
    for call in value:
        function = call.get("function")
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            return None
        said = function.get("arguments")
        read = _arguments(said) if isinstance(said, str) else said
        calls.append({"name": function["name"], "arguments": read})
    return sorted(calls, key=_written)


def _arguments(said: str) -> JSON:
    """What a text of arguments holds; the text itself where it is no JSON."""
    try:
        read: JSON = json.loads(
            said, parse_float=Decimal, parse_int=Decimal, parse_constant=_no_constant
        )
    except (ValueError, ArithmeticError, RecursionError):
        return said
    return read


def _answer(value: JSON) -> str:
    return "" if value is None else _written(value)


def _written(value: JSON) -> str:
    if isinstance(value, dict):
        members = (f"{_text(name)}:{_written(value[name])}" for name in sorted(value))
        return f"{{{','.join(members)}}}"
    if isinstance(value, list):
        return f"[{','.join(map(_written, value))}]"
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, Decimal):
        return _number(value)
    return json.dumps(value)


def _text(text: str) -> str:
    """With the characters themselves, where UTF-8 can hold them."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(text)
    return json.dumps(text, ensure_ascii=False)


def _number(number: Decimal) -> str:
    """The value in one form, however many digits it was written with."""
    sign, digits, exponent = number.as_tuple()
    bare = "".join(map(str, digits)).lstrip("0")
    kept = bare.rstrip("0")
    if not kept or not isinstance(exponent, int):
        return "0"
    exponent += len(bare) - len(kept)
    minus = "-" if sign else ""
    if 0 <= exponent <= _MOST_ZEROS:
        return f"{minus}{kept}{'0' * exponent}"
    if -_MOST_PLACES <= exponent < 0:
        whole, part = kept[:exponent], kept[exponent:].rjust(-exponent, "0")
        return f"{minus}{whole or '0'}.{part}"
    return f"{minus}{kept}e{exponent}"
