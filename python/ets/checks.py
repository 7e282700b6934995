"""Checks of settings and values; each failure says name, value, and what would be right."""

from __future__ import annotations

import math
from collections.abc import Callable
from operator import index as as_index
from typing import Any, get_args

import numpy as np

from ets.errors import InputError


def integer(name: str, value: object, low: int | None, note: str = "") -> int:
    """`value`, an integer of any kind, as an int of at least `low`; `InputError` if it is none."""
    if type(value) is int and (low is None or value >= low):  # nearly always, and quick
        return value
    try:
        if isinstance(value, bool | np.bool_):
            raise TypeError
        number = as_index(value)  # type: ignore[arg-type]
    except TypeError:
        raise InputError(f"{name} must be an integer{note}, got {value!r}") from None
    if low is not None and number < low:
        raise InputError(f"{name} must be at least {low}{note}, got {number}")
    return number


def check_int(name: str, value: object, low: int, high: int, note: str = "") -> None:
    """Refuse what is not an int from `low` to `high`, both included, with `InputError`."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise InputError(f"{name} must be an integer from {low} to {high}{note}, got {value!r}")


def check_number(name: str, value: object, right: str, ok: Callable[[float], bool]) -> None:
    """Refuse what is not a finite int or float for which `ok` holds, with `InputError`."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InputError(f"{name} must be a number {right}, got {value!r}")
    if not math.isfinite(value) or not ok(value):
        raise InputError(f"{name} must be {right}, got {value!r}")


def check_choice(name: str, value: object, choices: Any) -> None:
    """Refuse what is not one of the values of the `Literal` type `choices`, with `InputError`."""
    if value not in get_args(choices):
        raise InputError(f"{name} must be one of {list(get_args(choices))}, got {value!r}")


def check_text(name: str, value: object) -> None:
    """Refuse what is no text, or none that can be written as UTF-8, with `InputError`."""
    if not isinstance(value, str):
        raise InputError(f"{name} must be a text, got {value!r}")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise InputError(
            f"{name} must be a text without lone surrogates, got {value[error.start]!r} at "
            f"character {error.start}"
        ) from None
