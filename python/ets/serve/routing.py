"""How a route is declared: what it answers, and which refusals its document names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path
from fastapi.security import HTTPBearer

from ets.serve.refusal import ErrorAnswer

Key = Annotated[str, Path(min_length=1, max_length=200)]
"""A name or an id in a path."""
PLAIN = (400, 401, 404, 405)
OF_SEARCHES = (*PLAIN, 408, 409, 413, 429, 500, 503, 504)
_EVENT = {
    "type": "object",
    "description": "One server-sent event; its data is JSON, but for a last `[DONE]`.",
    "properties": {"event": {"type": "string"}, "data": {"type": "string"}},
    "required": ["data"],
}
SSE: dict[str, Any] = {"content": {"text/event-stream": {"schema": _EVENT}}}


def text_of(kind: str) -> dict[str, Any]:
    """An answer that is a text of a media type."""
    return {"content": {kind: {"schema": {"type": "string"}}}}


class Routing:
    """Adds routes to a router; those under `/v1/` need a key where the server has keys."""

    def __init__(self) -> None:
        self.router = APIRouter()
        described = HTTPBearer(auto_error=False, description="Where the server has keys.")
        self._keyed = [Depends(described)]

    def add(
        self,
        method: str,
        path: str,
        call: Callable[..., Any],
        *refusals: int,
        responses: Mapping[int | str, dict[str, Any]] | None = None,
        **rest: Any,
    ) -> None:
        """One route. `refusals` are the statuses of its errors, by default the plain ones; `rest`
        goes to FastAPI."""
        of_v1 = path.startswith("/v1/")
        statuses = refusals or (PLAIN if of_v1 else (405,))
        described: dict[int | str, Any] = {status: {"model": ErrorAnswer} for status in statuses}
        self.router.add_api_route(
            path,
            call,
            methods=[method],
            status_code=200,
            dependencies=self._keyed if of_v1 else [],
            responses={**described, **(responses or {})},
            **rest,
        )
