"""The HTTP server: uvicorn around the application, until a signal or the loss of engines."""

from __future__ import annotations

import asyncio
import socket

from ets.errors import EngineLostError, InputError
from ets.extras import needs
from ets.serve.app import create_app
from ets.serve.service import Service
from ets.shown.log import Log

with needs("uvicorn", "serve"):
    import uvicorn

_LOG = Log("ets.serve")
_LAST = 10.0
"""Seconds that connections are given to end behind the grace of their searches."""


class Server(uvicorn.Server):
    """Serves until a signal or `should_exit`; what runs then has `grace` seconds to end.

    # Errors
    `run` raises what kept the engines from starting, and `EngineLostError` where it is to end with
    them.
    """

    def __init__(
        self,
        service: Service,
        *,
        host: str = "127.0.0.1",
        port: int = 8000,
        grace: float = 30.0,
        exit_when_lost: bool = False,
    ) -> None:
        self.service = service
        self.failure: Exception | None = None
        self._grace = grace
        config = uvicorn.Config(
            create_app(service, self._fail),
            host=host,
            port=port,
            access_log=False,  # of a request nothing is logged but its search's id, sizes and times
            log_config=None,
            lifespan="on",
            ws="none",
            server_header=False,
            timeout_graceful_shutdown=int(grace + _LAST) + 1,
        )
        super().__init__(config)
        if exit_when_lost:
            service.desk.on_loss = self._end_lost

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until the end."""
        super().run(sockets)
        if self.failure is not None:
            raise self.failure

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let running searches end, or cut them."""
        draining = asyncio.create_task(self.service.drain(self._grace))
        await super().shutdown(sockets)
        draining.cancel()

    def _fail(self, error: Exception) -> None:
        self.failure = error
        self.should_exit = True

    def _end_lost(self) -> None:
        self._fail(EngineLostError(self.service.desk.lost or "an engine is lost"))


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens; port 0: any that is free.

    # Errors
    `InputError` that names host and port.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        found = socket.create_server((host, port), family=family, backlog=2048)
    except (OSError, OverflowError) as error:
        raise InputError(f"cannot listen at {host}, port {port}: {error}") from error
    found.setblocking(False)
    return found
