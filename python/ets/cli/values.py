"""From what a command line says to values."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, TypeVar

from ets.engines.name import read_value
from ets.errors import InputError
from ets.shown.redaction import redacted

T = TypeVar("T")


def read_pairs(flag: str, pairs: Sequence[str]) -> dict[str, Any]:
    """`KEY=VALUE` pairs as keyword arguments; a value that reads as JSON is what it reads as."""
    return {key: read_value(value) for key, value in _split(flag, "KEY=VALUE", pairs)}


def list_of(kind: Callable[[str], T]) -> Callable[[str, str], list[T]]:
    """A reader of `4,16,64` as a list of that kind."""

    def read(flag: str, text: str) -> list[T]:
        try:
            return [kind(part.strip()) for part in text.split(",")]
        except ValueError as error:
            raise InputError(
                f"{flag} takes values with commas between them, got {text!r}"
            ) from error

    return read


def read_sweep(flag: str, pairs: Sequence[str]) -> dict[str, list[Any]]:
    """`KEY=V,V` pairs as the values of each option."""
    found: dict[str, list[Any]] = {}
    for key, values in _split(flag, "KEY=VALUE,VALUE", pairs):
        if key in found:
            raise InputError(f"{flag} {key} is given twice")
        found[key] = [read_value(value.strip()) for value in values.split(",")]
    return found


def number_or_auto(flag: str, text: str) -> int | Literal["auto"]:
    """The value of an option that is a positive number or `auto`."""
    if text == "auto":
        return "auto"
    if not text.isdecimal() or int(text) < 1:
        raise InputError(f"{flag} must be a number from 1 on, or auto, got {text!r}")
    return int(text)


def with_breaks(flag: str, text: str) -> str:
    r"""The text with line breaks where it has `\n`."""
    return text.replace("\\n", "\n")


def _split(flag: str, form: str, pairs: Sequence[str]) -> Iterator[tuple[str, str]]:
    for pair in pairs:
        key, sign, value = pair.partition("=")
        if not sign or not key.isidentifier():
            raise InputError(f"{flag} takes {form}, got {redacted(pair)!r}")
        yield key, value
