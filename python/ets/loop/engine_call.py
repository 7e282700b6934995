"""Calls of what users bring: policies, PRMs, embedders, strategies."""

from __future__ import annotations

import contextvars
from asyncio import CancelledError
from types import TracebackType

from ets.errors import EngineError

_SERVING: contextvars.ContextVar[tuple[object, ...]] = contextvars.ContextVar(
    "ets_serving", default=()
)


class EngineCall:
    """The `with` block around a call of an engine.

    Whatever is no `Exception` (`SystemExit`, `KeyboardInterrupt`, `GeneratorExit`, a Rust panic)
    would end the event loop that every search lives on: it leaves as an `EngineError` that names
    engine and cause. `asyncio.CancelledError` passes.

    Inside, `is_serving(mark)` is true, also in the threads and tasks that the engine starts in its
    own context: an engine that calls the search which waits for it would wait for ever.
    """

    def __init__(self, engine: object, mark: object = None) -> None:
        self._engine = engine
        self._mark = mark

    def __enter__(self) -> None:
        self._token = _SERVING.set((*_SERVING.get(), self._mark))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        _SERVING.reset(self._token)
        if error is not None and not passes(error):
            raise EngineError(f"{name_of(self._engine)} raised {described(error)}") from error


def is_serving(mark: object) -> bool:
    """Whether the caller runs inside an `EngineCall` with this mark."""
    return any(mark is other for other in _SERVING.get())


def passes(error: BaseException) -> bool:
    """Whether an event loop survives it and a user understands it: an `Exception`, or a
    cancellation, but no end of an iteration that nobody made."""
    ends = StopIteration | StopAsyncIteration
    return isinstance(error, Exception | CancelledError) and not (
        isinstance(error, ends)
        or (isinstance(error, RuntimeError) and isinstance(error.__cause__, ends))
    )


def name_of(engine: object) -> str:
    """An engine's class, or a function's name."""
    return str(getattr(engine, "__name__", type(engine).__name__))


def described(error: BaseException) -> str:
    """`SystemExit: 3`, whatever the error's own text does."""
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - an error whose text cannot be made is still that error
        text = ""
    kind = type(error).__name__
    return f"{kind}: {text}" if text else kind
