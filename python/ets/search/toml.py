"""The arguments of a `Search` as a file: plain values in TOML."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from ets.checks import path_text, shown
from ets.errors import InputError
from ets.presets import with_preset
from ets.rollout.budget import Budget
from ets.rollout.options import OPTIONS, TABLES
from ets.rollout.until import Certain
from ets.shown.redaction import redacted
from ets.strategy.registry import strategy_by_name

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

NO_PRM = "none"
_MOST_BYTES = 1 << 20
_ENGINES = ("policy", "prm", "embedder")
_RECORDS: dict[str, type[Budget | Certain]] = {"budget": Budget, "until": Certain}


def read_toml(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What a TOML file holds.

    # Errors
    `InputError` if it is no TOML, `OSError` if it cannot be read.
    """
    name = path_text("path", path)
    with Path(os.path.expanduser(name)).open("rb") as file:
        text = file.read(_MOST_BYTES + 1)
    if len(text) > _MOST_BYTES:  # of a device, without an end perhaps
        raise InputError(f"{name}: not a TOML file: it is longer than {_MOST_BYTES} bytes")
    try:
        config: dict[str, Any] = tomllib.loads(text.decode())
    except (ValueError, RecursionError) as error:  # no TOML, no UTF-8, or nested for ever
        raise InputError(f"{name}: not a TOML file: {error}") from error
    return config


def read_config(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The arguments of a `Search` that a TOML file holds, as they stand there.

    # Errors
    `InputError` if the file is no TOML, or holds a key that is no argument of `Search`; `OSError`
    if it cannot be read.
    """
    config = read_toml(path)
    check_arguments(config, os.fspath(path))
    return config


def check_arguments(config: Mapping[str, Any], where: str) -> None:
    """Check that these are arguments of a `Search` in the form that a file has them.

    # Errors
    `InputError` that begins with `where`.
    """
    known = (*OPTIONS, "preset")
    for key, value in config.items():
        if key not in known:
            raise InputError(f"{where}: unknown key {key!r}; the keys are {', '.join(known)}")
        if isinstance(value, dict) != (key in TABLES):
            wanted = f"a table, [{key}]" if key in TABLES else "a plain value"
            raise InputError(f"{where}: {key} must be {wanted}, got {shown(redacted(value))}")
        if key in (*_ENGINES, "preset") and not isinstance(value, str):
            raise InputError(f"{where}: {key} must be a name, got {shown(redacted(value))}")


def with_defaults(config: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
    """The same with engines and strategy among them, and whether nobody said that steps should go
    without scores."""
    arguments = dict(config)
    policy = arguments.setdefault("policy", "demo")
    missing = "prm" not in arguments and policy.partition("?")[0] != "demo"
    prm = arguments.setdefault("prm", NO_PRM if missing else "demo")
    default = "best-of-n" if prm == NO_PRM else "ets"
    arguments["strategy"] = {"name": default, **arguments.get("strategy", {})}
    return arguments, missing


def search_arguments(config: Mapping[str, Any]) -> dict[str, Any]:
    """The same as keyword arguments: strategy, budget and what it searches until are objects, a
    preset is what it holds.

    # Errors
    `InputError` for an unknown preset or strategy, and for an option that one of these does
    not have.
    """
    arguments = with_preset(config)
    if (table := arguments.pop("strategy", None)) is not None:
        options = dict(table)
        arguments["strategy"] = strategy_by_name(options.pop("name", "ets"), **options)
    for name, kind in _RECORDS.items():
        if (table := arguments.pop(name, None)) is not None:
            known = tuple(field.name for field in fields(kind))
            if unknown := [key for key in table if key not in known]:
                raise InputError(
                    f"unknown key {unknown[0]!r} in {name}; the keys are {', '.join(known)}"
                )
            arguments[name] = kind(**table)
    return arguments
