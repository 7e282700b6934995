"""The names of engines: `vllm:PATH?tensor_parallel_size=2`."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from ets.checks import shown
from ets.errors import InputError
from ets.shown.redaction import redacted, redacted_repr

_NEXT_URL = re.compile(",(?=https?://)")
_IN_NAME = frozenset({"model", "name_or_path", "path", "self", "url"})
"""Arguments of backends that a name gives."""


@dataclass(frozen=True, slots=True)
class EngineName:
    """A backend, what it is to load, and options for it."""

    backend: str
    path: str = ""
    """What stands after the colon, without the options; empty for a name such as `demo`."""
    options: dict[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        return redacted_repr(self)

    @classmethod
    def parse(cls, part: str, name: str, more: Mapping[str, Any]) -> EngineName:
        """Take a name apart: `BACKEND[:PATH][?KEY=VALUE[&KEY=VALUE...]]`.

        A value that reads as JSON is what it reads as; `%26` stands for `&` and so on, as in URLs.
        `part` (`policy`, `prm`, `embedder`) names the argument in errors, `more` are options that
        came beside the name.

        # Errors
        `InputError` for a name that ends at its colon, for an option without a value, and for one
        that is given twice.
        """
        named, mark, query = name.partition("?")
        backend, colon, path = named.partition(":")
        if colon and not path:
            shown = redacted(name)
            raise InputError(f"{part} must have a path or a name behind its colon, got {shown!r}")
        options = dict(more)
        for pair in query.split("&") if mark else ():
            key, sign, value = pair.partition("=")
            if not sign or not key.isidentifier():
                shown = redacted(f"?{pair}")[1:]
                raise InputError(f"{part} takes options as ?KEY=VALUE&KEY=VALUE, got {shown!r}")
            if key in options:
                where = f"{redacted(name)!r} and beside it" if key in more else repr(redacted(name))
                raise InputError(f"{part} has the option {key!r} twice, in {where}")
            options[key] = read_value(unquote(value))
        if of_name := sorted(_IN_NAME.intersection(options)):
            raise InputError(
                f"{part} has no option {of_name[0]!r}: it is part of {redacted(name)!r}"
            )
        return cls(backend, path, options)

    def only(self, part: str, kind: type) -> dict[str, Any]:
        """The options, for a backend that takes none but its constructor's.

        # Errors
        `InputError` for an unknown one.
        """
        known = tuple(inspect.signature(kind).parameters)
        if unknown := sorted(set(self.options) - set(known)):
            has = ", ".join(name for name in known if name not in _IN_NAME) or "no options"
            raise InputError(
                f"unknown option {unknown[0]!r} of the {part} {self.backend}; it has {has}"
            )
        return self.options

    def on_server(self) -> tuple[str, str]:
        """Of a path `MODEL@URL` the model and the URL, in which a password may hold an `@`."""
        before, mark, behind = self.path.partition("://")
        if not mark:
            model, _, url = self.path.rpartition("@")
            return model, url
        model, _, scheme = before.rpartition("@")
        return model, f"{scheme}{mark}{behind}"


def each_server(name: str) -> list[str]:
    """A name for each of the addresses in `openai:MODEL@URL1,URL2?KEY=VALUE`, or of another backend
    with an address; else the name."""
    named, mark, query = name.partition("?")
    first, *others = _NEXT_URL.split(named)
    head = first[: first.rindex("://")].rpartition("@")[0] if others and "://" in first else ""
    if not head:
        return [name]
    return [f"{url}{mark}{query}" for url in (first, *(f"{head}@{url}" for url in others))]


def one_server(part: str, name: str) -> str:
    """The same name, where one engine is meant.

    # Errors
    `InputError` if it has several addresses.
    """
    if (count := len(each_server(name))) > 1:
        raise InputError(
            f"{part} must have one address here, got {count} in {redacted(name)!r}; "
            "ets.Search takes several, as replicas"
        )
    return name


def bundled_backend(part: str, options: dict[str, Any]) -> str:
    """What a bundled model runs on, `numpy` or `transformers`; taken out of its options.

    # Errors
    `InputError` for any other.
    """
    backend = options.pop("backend", "numpy")
    if backend not in ("numpy", "transformers"):
        raise InputError(
            f"{part} demo runs on backend=numpy or backend=transformers, got {shown(backend)}"
        )
    return str(backend)


def read_value(text: str) -> Any:
    """An option's value: JSON where the text is JSON, else the text."""
    try:
        return json.loads(text)
    except ValueError:
        return text
