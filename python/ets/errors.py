"""The errors that `ets` raises by itself."""

from __future__ import annotations

import sys

from ets._core import InputError, SolverError

_NEEDS_PYTHON = {"vllm": (3, 11)}
"""Modules that older Pythons than these cannot have, though they can have `ets`."""


class MissingExtraError(ImportError):
    """An optional dependency is not installed; the message says which extra brings it."""

    def __init__(self, module: str, extra: str) -> None:
        install = f"pip install 'ets-search[{extra}]'"
        least = _NEEDS_PYTHON.get(module, (3, 0))
        if sys.version_info[:2] < least:
            wanted, have = (".".join(map(str, v)) for v in (least, sys.version_info[:2]))
            install = f"it needs Python {wanted} or newer, this is {have}; there, {install}"
        super().__init__(f"the module '{module}' is not installed: {install}")
        self._given = (module, extra)

    def __reduce__(self) -> tuple[type[MissingExtraError], tuple[str, str]]:
        return type(self), self._given


class EngineError(RuntimeError):
    """A policy, PRM or embedder could not be loaded, or failed while it ran."""


class BrokenExtraError(EngineError):
    """An optional dependency is installed but cannot be imported; the message says why."""


class ContextError(EngineError):
    """A solution is longer than a policy or PRM can read; a search cuts it there and goes on."""


class EngineLostError(EngineError):
    """An engine that ran answers no more; a search ends with the best answer it has by then."""


__all__ = [
    "BrokenExtraError",
    "ContextError",
    "EngineError",
    "EngineLostError",
    "InputError",
    "MissingExtraError",
    "SolverError",
]
