"""An HTTP server that follows a script, for the unit tests of what talks to servers alone."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from ets.engines.protocols import PRM, Policy
from ets.loop.call import cancel
from ets.loop.thread import LoopThread


@dataclass(frozen=True)
class Reply:
    """What the server sends; a body that is no text is sent as JSON."""

    body: Any
    status: int = 200
    content_type: str = "application/json"
    missing: int = 0
    """Bytes of the body that it announces and does not send."""

    def to_bytes(self) -> bytes:
        body = (self.body if isinstance(self.body, str) else json.dumps(self.body)).encode()
        head = (
            f"HTTP/1.1 {self.status} Scripted\r\nContent-Type: {self.content_type}\r\n"
            f"Content-Length: {len(body) + self.missing}\r\n\r\n"
        )
        return head.encode() + body


Script = Callable[[dict[str, Any]], Awaitable[Reply | None]]
"""From a request's JSON to its reply; None drops the connection."""


@dataclass
class ScriptedServer:
    """Serves scripts by path, and counts."""

    scripts: dict[str, Script]
    url: str = ""
    bodies: list[dict[str, Any]] = field(default_factory=list)
    headers: list[str] = field(default_factory=list)
    running: int = 0
    most: int = 0
    dropped: int = 0
    """Connections that the client closed before it had its reply."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                length = next(
                    (
                        int(line.split(":")[1])
                        for line in head.splitlines()
                        if line.lower().startswith("content-length:")
                    ),
                    0,
                )
                body = json.loads(await reader.readexactly(length) or b"{}")
                reply = await self._reply(head, body, reader)
                if reply is None:
                    return
                writer.write(reply.to_bytes())
                await writer.drain()
                if reply.missing:
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client has gone
        finally:
            writer.close()

    async def _reply(
        self, head: str, body: dict[str, Any], reader: asyncio.StreamReader
    ) -> Reply | None:
        path = head.split()[1]
        script = self.scripts.get(path)
        if script is None:
            return Reply({"detail": "Not Found"}, status=404)
        if body:
            self.bodies.append(body)
            self.headers.append(head)
        self.running += 1
        self.most = max(self.most, self.running)
        answer = asyncio.ensure_future(script(body))
        gone = asyncio.ensure_future(reader.read(1))
        try:
            await asyncio.wait([answer, gone], return_when=asyncio.FIRST_COMPLETED)
            if not answer.done():
                self.dropped += 1
                return None
            return answer.result()
        finally:
            self.running -= 1
            await cancel([answer, gone])


@contextmanager
def scripted_server(scripts: dict[str, Script]) -> Iterator[ScriptedServer]:
    """A server on a free port, in a thread of its own."""
    server = ScriptedServer(scripts)
    loop = LoopThread("scripted-http")

    async def start() -> asyncio.Server:
        return await asyncio.start_server(server.serve, "127.0.0.1", 0)

    async def stop() -> None:
        listening.close()

    listening = loop.run(start)
    server.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/v1"
    try:
        yield server
    finally:
        loop.run(stop)
        loop.close()


# --- scripts, and what asks -----------------------------------------------------------------------

BUSY = Reply({"error": {"message": "too many requests"}}, status=429)
DOWN = Reply({"error": {"message": "out of\nmemory"}}, status=500)


def always(reply: Reply | None) -> Script:
    async def script(body: dict[str, Any]) -> Reply | None:
        return reply

    return script


def in_turn(*replies: Reply | None) -> Script:
    """One after the other, the last for ever."""
    left = list(replies)

    async def script(body: dict[str, Any]) -> Reply | None:
        return left.pop(0) if len(left) > 1 else left[0]

    return script


async def never(body: dict[str, Any]) -> Reply:
    await asyncio.sleep(3600)
    raise TimeoutError


@contextmanager
def one_endpoint(
    path: str, script: Script | None, *cards: dict[str, Any]
) -> Iterator[ScriptedServer]:
    """A server with the models of these cards and one endpoint, or none where it has no script."""
    scripts = {"/v1/models": always(Reply({"object": "list", "data": list(cards)}))}
    if script is not None:
        scripts[path] = script
    with scripted_server(scripts) as server:
        yield server


def run(engine: Policy | PRM, work: Callable[[], Awaitable[Any]]) -> Any:
    """The result of some work, after which the engine is closed."""

    async def then_close() -> Any:
        try:
            return await work()
        finally:
            await engine.aclose()

    return asyncio.run(then_close())


async def until(true: Callable[[], bool]) -> None:
    for _ in range(500):
        if true():
            return
        await asyncio.sleep(0.01)
    raise TimeoutError
