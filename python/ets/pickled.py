"""Pickles and copies of what searches give back: numbered, and checked when they are read."""

from __future__ import annotations

import math
import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from numbers import Integral, Real
from typing import (
    Any,
    ClassVar,
    Literal,
    NoReturn,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)

import numpy as np

from ets.checks import shown
from ets.errors import InputError

VERSION = 1
"""Of the pickles of all classes here; another one is not read."""


class Pickled:
    """A dataclass that is pickled and copied as its fields by name, and made by its constructor.

    What is not a state of this version of the class is refused with `InputError`.
    """

    __slots__ = ()

    _later: ClassVar[frozenset[str]] = frozenset()
    """Fields that came later. Where they hold their defaults the pickle is the one of before."""

    def __reduce__(self) -> tuple[Any, ...]:
        own = fields(cast(Any, self))
        values = {field.name: getattr(self, field.name) for field in own}
        for field in own if self._later else ():
            if field.name in self._later and values[field.name] == field.default:
                del values[field.name]
        return restored, (type(self), VERSION, values)


class Record(Pickled):
    """One that holds only what this package put there, so that the types of its fields are
    checked when it is restored."""

    __slots__ = ()


class Unpicklable:
    """What holds threads, engines or connections: pickles and copies are refused."""

    _pickle_instead: ClassVar[str] = "pickle its name and options, and load it in each process"

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            f"a {type(self).__name__} can be neither pickled nor copied: {self._pickle_instead}"
        )


def restored(*state: Any) -> Any:
    """The object of a class of `Pickled`, a version, and values by field.

    Raises `InputError` in one line for anything else.
    """
    if len(state) != 3 or not _is_pickled(state[0]):
        raise InputError(f"not a pickled object of ets, got {shown(state)}")
    kind, version, values = state
    if version != VERSION:
        raise InputError(
            f"version of the pickled {kind.__name__} must be {VERSION}, got {shown(version)}: it "
            "was pickled by another version of ets"
        )
    names = {f.name for f in fields(kind)}
    if not isinstance(values, dict) or not names - kind._later <= values.keys() <= names:
        raise InputError(
            f"the pickled {kind.__name__} must have the fields {sorted(names)}, got {shown(values)}"
        )
    if issubclass(kind, Record):
        hints = _hints(kind)
        for name, value in values.items():
            if not fits(value, hints[name]):
                raise InputError(
                    f"the pickled {kind.__name__} is damaged: {name} must be "
                    f"{_named(hints[name])}, got {shown(value)}"
                )
    try:
        return kind(**values)
    except InputError as error:
        raise InputError(f"the pickled {kind.__name__} is damaged: {error}") from error


def fits(value: object, hint: Any) -> bool:
    """Whether a value is of an annotated type, down to the entries of lists and tuples."""
    kind, inner = get_origin(hint), get_args(hint)
    if hint is Any:
        return True
    if hint is None or hint is type(None):
        return value is None
    if kind is Literal:
        return isinstance(value, str | int | bool) and value in inner
    if kind is Union or kind is types.UnionType:
        return any(fits(value, option) for option in inner)
    if kind is list or (kind is tuple and inner[1:] == (...,)):
        return isinstance(value, kind) and all(fits(entry, inner[0]) for entry in value)
    if kind is dict:
        return isinstance(value, dict) and all(
            fits(key, inner[0]) and fits(entry, inner[1]) for key, entry in value.items()
        )
    if kind is not None:
        raise TypeError(f"no check is known for {hint!r}")
    if hint is bool:
        return isinstance(value, bool | np.bool_)
    if hint is int:
        return isinstance(value, Integral) and not isinstance(value, bool)
    if hint is float:
        return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
    return isinstance(value, hint)


def _is_pickled(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, Pickled) and is_dataclass(kind)


@cache
def _hints(kind: type) -> Mapping[str, Any]:
    return get_type_hints(kind)


def _named(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) and not get_args(hint) else str(hint)
