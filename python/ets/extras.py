"""Importing what the extras bring: missing, broken or newer than tested are told apart."""

from __future__ import annotations

import functools
import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from ets.errors import BrokenExtraError, MissingExtraError

TESTED = {"openai": "3", "ray": "2.60", "torch": "2.15", "transformers": "5.24", "vllm": "0.33"}
"""The newest versions tried here, as far as their numbers count; pyproject.toml ends there.

vLLM 0.33 has no CPU build: of it the Python sources ran a search, over 0.32's binaries.
"""
_LONGEST = 200


@contextmanager
def needs(module: str, extra: str) -> Iterator[None]:
    """Around imports from an optional dependency, and around nothing else.

    `module` is its top module, `extra` the extra of `ets-search` that brings it. Warns, once per
    process, of a version above the newest tested one.

    # Errors
    `MissingExtraError` if there is no such module; `BrokenExtraError` with the cause if there is,
    but it, or what it needs, cannot be imported.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and _is_missing(module, error.name):
            raise MissingExtraError(module, extra) from error
        raise BrokenExtraError(
            f"the module '{module}' is installed but cannot be imported: {_cause(error)}"
        ) from error
    if module in TESTED:
        version = getattr(sys.modules.get(module), "__version__", None)
        warn_if_newer(module, str(version), TESTED[module])


@functools.cache  # the filters of `warnings` forget what was shown when a library changes them
def warn_if_newer(name: str, version: str, tested: str) -> None:
    """Warn of a version above the tested one, in as many of its numbers as that states."""
    have, most = _numbers(version), _numbers(tested)
    if have[: len(most)] > most:
        warnings.warn(
            f"{name} {version} is newer than what this ets was tested with, {name} {tested}: "
            "if something fails, try that one",
            UserWarning,
            stacklevel=2,
        )


def _is_missing(module: str, name: str | None) -> bool:
    """Whether the module that was not found is this one, or one below it where it is not there."""
    if name is None or name.partition(".")[0] != module:
        return False
    try:
        spec = find_spec(module)
    except ValueError:  # it is loaded, and not from a file
        return False
    return spec is None or spec.origin is None  # any folder of that name makes a spec


def _cause(error: BaseException) -> str:
    """What an import failed of and, where that is another error's doing, of what that did."""
    root = error
    while root.__cause__ is not None:
        root = root.__cause__
    return ": ".join(dict.fromkeys((_text(error), _text(root))))


def _text(error: BaseException) -> str:
    text = " ".join(str(error).split())
    if len(text) > _LONGEST:
        text = f"{text[:_LONGEST]}..."
    if isinstance(error, ImportError) and text:
        return text
    return f"{type(error).__name__}: {text}".removesuffix(": ")


def _numbers(version: str) -> tuple[int, ...]:
    """The numbers that a version begins with."""
    found = re.match(r"\d+(\.\d+)*", version)
    return tuple(map(int, found[0].split("."))) if found else ()
