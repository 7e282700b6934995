"""The gate of the application: keys, bodies and what nobody foresaw, around all routes."""

from __future__ import annotations

import traceback

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ets.serve.bodies import with_body
from ets.serve.keys import OWNER
from ets.serve.refusal import Refusal
from ets.serve.service import Service
from ets.shown.log import Log

_LOG = Log("ets.serve")


class Gate:
    """An ASGI application around another.

    A request without a right key is refused before its body is read, one with too long or too slow
    a body before a route sees it. Each is counted. What fails by a fault of ours is a 500, with the
    place of the fault in the log and nothing of the request.
    """

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app = app
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or the server's own beginning and end."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 0

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._let_in(scope, receive, noted)
        except Refusal as refusal:
            # What is left of the body is not read: the connection ends with the answer.
            headers = {**refusal.headers, "Connection": "close"}
            answer = JSONResponse(refusal.answer.model_dump(), refusal.status, headers)
            await answer(scope, receive, noted)
        except Exception as error:  # noqa: BLE001 - the last resort
            place = traceback.extract_tb(error.__traceback__)[-1]
            _LOG.error(
                "internal error: %s at %s:%s", type(error).__name__, place.name, place.lineno
            )
            _LOG.debug("%s", "".join(traceback.format_exception(error)))
            if not status:
                fault = Refusal(500, "internal error", code="internal_error")
                answer = JSONResponse(fault.answer.model_dump(), fault.status)
                await answer(scope, receive, noted)
        finally:
            route = getattr(scope.get("route"), "path", "other")
            self._service.metrics.requests.labels(route, str(status or "gone")).inc()

    async def _let_in(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        if "/v1/" in scope["path"]:  # behind a prefix perhaps
            given = headers.get(b"authorization")
            text = None if given is None else given.decode("latin-1")
            scope[OWNER] = self._service.keys.name_of(text)
        read = await with_body(receive, headers, self._service.configurations.settings)
        if read is not None:
            await self._app(scope, read, send)
