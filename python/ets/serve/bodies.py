"""Bodies of requests: read to their end before anybody sees them, and no further than allowed."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from starlette.types import Message, Receive

from ets.serve.refusal import Refusal
from ets.serve.settings import Settings


async def with_body(
    receive: Receive, headers: Mapping[bytes, bytes], settings: Settings
) -> Receive | None:
    """What receives a body that is read already, and then what comes; None if its client has gone.

    # Errors
    `Refusal`: 413 with the byte that is too many, or by the stated length; 408 when time is over.
    """
    seconds = settings.body_seconds
    try:
        body = await asyncio.wait_for(_read(receive, headers, settings.max_body_bytes), seconds)
    except asyncio.TimeoutError as error:
        why = f"the body did not come within {seconds:g} s"
        raise Refusal(408, why, code="body_timeout") from error
    return None if body is None else _again(body, receive)


async def _read(receive: Receive, headers: Mapping[bytes, bytes], most: int) -> bytes | None:
    too_long = Refusal(413, f"the body must have at most {most} bytes", code="body_too_large")
    stated = headers.get(b"content-length", b"")
    if stated.isdigit() and int(stated) > most:
        raise too_long
    parts = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        parts += message.get("body", b"")
        if len(parts) > most:
            raise too_long
        if not message.get("more_body", False):
            return bytes(parts)


def _again(body: bytes, receive: Receive) -> Receive:
    told = False

    async def next_message() -> Message:
        nonlocal told
        if not told:
            told = True
            return {"type": "http.request", "body": body, "more_body": False}
        return await receive()

    return next_message
