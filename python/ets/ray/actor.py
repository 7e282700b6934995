"""What runs in a Ray actor: a worker's body, and the doors to it."""

from __future__ import annotations

import asyncio
import os
import pickle
import socket
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from ets.errors import EngineLostError
from ets.loop.stream import Stream
from ets.workers.body import WorkerBody
from ets.workers.child import sendable


class WorkerActor:
    """The engines of a worker, loaded by `load` and not before: an error there is raised as it is.

    Its coroutines run on the actor's event loop, which answers while engines load.
    """

    def __init__(self) -> None:
        self._loaded: WorkerBody | None = None

    async def where(self) -> tuple[str, int]:
        """Its host, and its process there."""
        return socket.gethostname(), os.getpid()

    async def load(self, load: bytes) -> None:
        """Make a body of a pickled `ets.workers.load.Load`, and wait until its engines run."""
        try:
            self._loaded = await asyncio.to_thread(_body_of, load)
            await self._loaded.loop.call(self._loaded.ready)
        except Exception as error:  # noqa: BLE001 - whoever asked raises it
            raise sendable(error) from None

    async def beat(self) -> None:
        """Nothing, on the event loop of the engines."""
        await self._body.loop.call(asyncio.sleep, 0)

    async def call(self, method: str, arguments: tuple[Any, ...]) -> Any:
        """As `Worker.call`."""
        body = self._body
        try:
            return await body.loop.call(getattr(body, method), *arguments)
        except Exception as error:  # noqa: BLE001 - whoever asked raises it
            raise sendable(error) from None

    async def stream(self, method: str, arguments: tuple[Any, ...]) -> AsyncGenerator[Any, None]:
        """As `Worker.stream`."""
        body = self._body
        try:
            async with aclosing(Stream(body.loop, getattr(body, method)(*arguments))) as items:
                async for item in items:
                    yield item
        except Exception as error:  # noqa: BLE001 - whoever asked raises it
            raise sendable(error) from None

    async def close(self) -> None:
        """Close the engines."""
        if self._loaded is not None:
            await asyncio.to_thread(self._loaded.close)

    @property
    def _body(self) -> WorkerBody:
        if self._loaded is None:
            raise EngineLostError("the worker has no engines yet")
        return self._loaded


def _body_of(load: bytes) -> WorkerBody:
    return WorkerBody(pickle.loads(load))
