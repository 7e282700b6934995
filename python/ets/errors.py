"""The errors that `ets` raises by itself."""

from __future__ import annotations

from ets._core import InputError, SolverError


class MissingExtraError(ImportError):
    """An optional dependency is not installed; the message says which extra brings it."""

    def __init__(self, module: str, extra: str) -> None:
        super().__init__(
            f"the module '{module}' is not installed: pip install 'ets-search[{extra}]'"
        )


class EngineError(RuntimeError):
    """A policy, PRM or embedder could not be loaded, or failed while it ran."""


class ContextError(EngineError):
    """A solution is longer than a policy or PRM can read; a search cuts it there and goes on."""


class EngineLostError(EngineError):
    """An engine that ran answers no more; a search ends with the best answer it has by then."""


__all__ = [
    "ContextError",
    "EngineError",
    "EngineLostError",
    "InputError",
    "MissingExtraError",
    "SolverError",
]
