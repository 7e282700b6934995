"""A worker as its owner sees it, whatever carries the calls: a pipe to a process, or Ray."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any, Protocol, runtime_checkable


@runtime_checkable
class Worker(Protocol):
    """A process that holds one set of engines, in a `ets.workers.body.WorkerBody`.

    One that dies, or of which nothing is heard for too long, is ended and started again, a few
    times; calls that were open then are `EngineLostError`s. All methods may be called on any event
    loop.
    """

    @property
    def name(self) -> str:
        """What to call it where people see it: `worker 1` and so on."""
        ...

    @property
    def starts(self) -> int:
        """How often it has been started; what was opened in it before is gone each time."""
        ...

    @property
    def returns(self) -> bool:
        """Whether it runs, or is being started (again); False once it is given up."""
        ...

    @property
    def is_ready(self) -> bool:
        """Whether it runs, with its engines loaded."""
        ...

    async def ready(self) -> None:
        """Wait until it runs, with its engines loaded.

        # Errors
        `EngineLostError` with its last words if it is given up; what loading the engines raises,
        the first time.
        """
        ...

    async def call(self, method: str, *arguments: Any) -> Any:
        """What the body's coroutine method of that name returns or raises.

        # Errors
        `EngineLostError` where the worker is lost meanwhile.
        """
        ...

    def stream(self, method: str, *arguments: Any) -> AsyncGenerator[Any, None]:
        """What the body's asynchronous generator of that name yields, as it comes.

        Closing it cancels the generator in the worker.

        # Errors
        As those of `call`.
        """
        ...

    def restart(self, why: str, starts: int) -> None:
        """End it, and start it again: its engines are lost, or it hangs.

        `starts` is how often it had been started then; where it has been since, nothing is done.
        """
        ...

    async def aclose(self) -> None:
        """End it for good, with its engines."""
        ...
