"""Workers in this process, which die and hang when a test says so."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing, suppress
from typing import Any

from ets.errors import EngineLostError
from ets.loop.stream import Stream
from ets.workers.body import WorkerBody
from ets.workers.load import Load


class ScriptedWorker:
    """A worker without a process: a body, and what goes in and out of it pickled.

    `before` is called with the number of each message that it is about to send, over all starts,
    and ends the worker by raising `EngineLostError`. It starts again at once, `restarts` times.
    """

    def __init__(
        self,
        name: str,
        load: Load,
        *,
        before: Callable[[int], None] = lambda number: None,
        restarts: int = 3,
    ) -> None:
        self.name = name
        self.starts = 1
        self.ended: list[str] = []
        """Why it was started again, each time."""
        self.sent = 0
        self.closed = False
        self._load = pickle.dumps(load)
        self._before = before
        self._restarts = restarts
        self._body = WorkerBody(pickle.loads(self._load))
        self._open: set[asyncio.Task[Any]] = set()

    @property
    def returns(self) -> bool:
        return len(self.ended) <= self._restarts

    @property
    def is_ready(self) -> bool:
        return self.returns

    async def ready(self) -> None:
        if not self.returns:
            raise EngineLostError(f"given up: {self.ended[-1]}")
        await self._body.loop.call(self._body.ready)

    async def call(self, method: str, *arguments: Any) -> Any:
        arguments = pickle.loads(pickle.dumps(arguments))
        found = await self._body.loop.call(getattr(self._body, method), *arguments)
        return pickle.loads(pickle.dumps(found))

    async def stream(self, method: str, *arguments: Any) -> AsyncGenerator[Any, None]:
        body, starts = self._body, self.starts
        arguments = pickle.loads(pickle.dumps(arguments))
        async with aclosing(Stream(body.loop, getattr(body, method)(*arguments))) as stream:
            with suppress(StopAsyncIteration):
                while True:
                    message = await anext(stream)
                    if self.starts != starts:
                        raise EngineLostError(self.ended[-1])
                    try:
                        self._before(self.sent)
                    except EngineLostError as error:
                        self.restart(str(error), starts)
                        raise
                    self.sent += 1
                    yield pickle.loads(pickle.dumps(message))

    def restart(self, why: str, starts: int) -> None:
        if starts == self.starts:
            self.starts += 1
            self.ended.append(why)
            self._body = WorkerBody(pickle.loads(self._load))

    async def aclose(self) -> None:
        self.closed = True


class ScriptedFleet:
    """Workers with the same engines; `before` and `restarts` are each worker's."""

    def __init__(self, count: int, **each: Any) -> None:
        self._count = count
        self._each = each
        self.workers: list[ScriptedWorker] = []

    def start(self, load: Load) -> Sequence[ScriptedWorker]:
        self.workers = [
            ScriptedWorker(f"worker {number + 1}", load, **self._of(number))
            for number in range(self._count)
        ]
        return self.workers

    def _of(self, number: int) -> dict[str, Any]:
        """Lists are one value a worker."""
        return {
            name: value[number] if isinstance(value, list) else value
            for name, value in self._each.items()
        }
