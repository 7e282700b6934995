"""Checks of settings and values; each failure says name, value, and what would be right."""

from __future__ import annotations

import inspect
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from operator import index as as_index
from typing import Any, TypeVar, get_args

import numpy as np

from ets.errors import InputError

T = TypeVar("T")

MOST = 2**63 - 1
"""The largest integer that arrays, engines and TOML files hold."""
_SHOWN = 80
"""Characters of a wrong value that an error shows."""


def shown(value: object) -> str:
    """A value for an error: its repr on one line, cut where it is long, and whatever it is."""
    try:
        text = " ".join(repr(value).split())
    except Exception:  # noqa: BLE001 - of anybody's class; int's own fails above 4300 digits
        text = f"<{type(value).__name__}>"
    text = text.encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."


def integer(name: str, value: object, low: int | None, note: str = "") -> int:
    """`value`, an integer of any kind, as an int of at least `low`; `InputError` if it is none."""
    if type(value) is int and (low is None or value >= low):  # nearly always, and quick
        return value
    number = as_integer(value)
    if number is None:
        raise InputError(f"{name} must be an integer{note}, got {shown(value)}")
    if low is not None and number < low:
        raise InputError(f"{name} must be at least {low}{note}, got {shown(number)}")
    return number


def checked_count(name: str, value: object, low: int = 1, note: str = "") -> int:
    """The same for a setting that engines and arrays must hold: at most 64 bits."""
    number = integer(name, value, low, note)
    if number > MOST:
        raise InputError(f"{name} must be at most 2**63 - 1{note}, got {shown(number)}")
    return number


def as_integer(value: object) -> int | None:
    """An integer of any kind as an int; None for all else, bools among them."""
    if isinstance(value, bool | np.bool_):
        return None
    try:
        return as_index(value)  # type: ignore[arg-type]
    except TypeError:
        return None


def check_int(name: str, value: object, low: int, high: int, note: str = "") -> None:
    """Refuse what is not an int from `low` to `high`, both included, with `InputError`."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise InputError(
            f"{name} must be an integer from {low} to {high}{note}, got {shown(value)}"
        )


def check_positive(**values: Any) -> None:
    """Refuse what are not positive ints of at most 63 bits, with `InputError`."""
    for name, value in values.items():
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MOST:
            raise InputError(f"{name} must be a positive integer, got {shown(value)}")


def check_number(name: str, value: object, right: str, ok: Callable[[float], bool]) -> None:
    """Refuse what is not a finite int or float for which `ok` holds, with `InputError`."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InputError(f"{name} must be a number {right}, got {shown(value)}")
    try:
        right_number = math.isfinite(value) and ok(value)
    except OverflowError:  # an int beyond the floats
        right_number = False
    if not right_number:
        raise InputError(f"{name} must be {right}, got {shown(value)}")


def check_choice(name: str, value: object, choices: Any) -> None:
    """Refuse what is not one of the texts of the `Literal` type `choices`, with `InputError`."""
    if not isinstance(value, str) or value not in get_args(choices):
        raise InputError(f"{name} must be one of {list(get_args(choices))}, got {shown(value)}")


def check_text(name: str, value: object, note: str = "") -> None:
    """Refuse what is no text, or one that UTF-8 cannot hold, with `InputError`."""
    if not isinstance(value, str):
        raise InputError(f"{name} must be a text{note}, got {shown(value)}")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise InputError(
            f"{name} must be a text that UTF-8 can hold, got {shown(value[error.start])} at "
            f"character {error.start}"
        ) from None


def check_flag(name: str, value: object) -> None:
    """Refuse what is neither True nor False, with `InputError`."""
    if not isinstance(value, bool):
        raise InputError(f"{name} must be True or False, got {shown(value)}")


def check_options(name: str, value: object) -> None:
    """Refuse what is no mapping of names to values, with `InputError`."""
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise InputError(f"{name} must be a dict of option names and values, got {shown(value)}")


def path_text(name: str, value: object) -> str:
    """A path, or a name that stands for one, as text; `InputError` for what is neither."""
    text = os.fspath(value) if isinstance(value, str | os.PathLike) else None
    if not isinstance(text, str) or not text or "\0" in text:
        raise InputError(f"{name} must be a path or a name, got {shown(value)}")
    return text


def iterated(name: str, value: Iterable[T]) -> Iterator[T]:
    """An iterator over what can be iterated and is no text; `InputError` for all else."""
    try:
        if isinstance(value, str | bytes | bytearray):
            raise TypeError
        return iter(value)
    except TypeError:
        raise InputError(f"{name} must be an iterable, got {shown(value)}") from None


def keyword_names(kind: type) -> tuple[str, ...]:
    """The names of a constructor's keyword-only arguments, for errors that list them."""
    parameters = inspect.signature(kind).parameters.values()
    return tuple(p.name for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY)
