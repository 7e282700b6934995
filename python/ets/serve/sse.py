"""Server-sent events: a response that says something now and then, and ends with its client."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from typing import Any

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

_PING = 15.0
"""Seconds of silence after which a comment is sent, so that nobody between takes it for dead."""


def event(data: str | Mapping[str, Any], name: str | None = None, number: int | None = None) -> str:
    """One event; `data` that is no text as JSON. `number` is its id, which `behind` reads."""
    text = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False)
    lines = [] if number is None else [f"id: {number}"]
    lines += [] if name is None else [f"event: {name}"]
    return "\n".join([*lines, f"data: {text}", "", ""])


def behind(headers: Mapping[str, str]) -> int:
    """The number of the first event that a client has not seen, by its `Last-Event-ID`; else 0."""
    last = headers.get("last-event-id", "")
    return int(last) + 1 if last.isascii() and last.isdigit() and len(last) < 10 else 0


class EventStream(StreamingResponse):
    """What an asynchronous generator of events yields; it is closed when the client goes, or takes
    nothing for `send_seconds`; `ended` is called then, and at its end.

    Not sse-starlette's: that ends all streams at SIGTERM, by a switch of the whole process.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        events: AsyncGenerator[str, None],
        *,
        send_seconds: float,
        ended: Callable[[], None],
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._ended = ended
        self._send_seconds = send_seconds
        quiet = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        self._every = _with_pings(events)
        super().__init__(self._every, headers={**quiet, **(headers or {})})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Stream until the end, or until the client is gone."""

        async def send_in_time(message: Any) -> None:
            await asyncio.wait_for(send(message), self._send_seconds)

        try:
            await super().__call__(scope, receive, send_in_time)
        except (asyncio.TimeoutError, OSError):
            return  # it reads no more
        finally:
            await self._every.aclose()
            self._ended()


async def _with_pings(events: AsyncGenerator[str, None]) -> AsyncGenerator[str, None]:
    async with aclosing(events) as opened:
        upcoming: asyncio.Task[str] | None = None
        try:
            while True:
                upcoming = upcoming or asyncio.ensure_future(anext(opened))
                done, _ = await asyncio.wait([upcoming], timeout=_PING)
                if not done:
                    yield ": ping\n\n"
                    continue
                try:
                    text = upcoming.result()
                except StopAsyncIteration:
                    return
                finally:
                    upcoming = None
                yield text
        finally:
            if upcoming is not None:
                upcoming.cancel()
                await asyncio.wait([upcoming])
