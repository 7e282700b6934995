"""Errors as OpenAI's clients read them."""

from __future__ import annotations

import math
from collections.abc import Mapping

from pydantic import BaseModel

from ets.errors import EngineError, EngineLostError, InputError

_KINDS = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


class ErrorBody(BaseModel):
    """What is wrong."""

    message: str
    type: str
    """`invalid_request_error`, `authentication_error`, `rate_limit_error` or `server_error`."""
    param: str | None
    """The field of the request."""
    code: str | None


class ErrorAnswer(BaseModel):
    """Every answer that is no success."""

    error: ErrorBody


class Refusal(Exception):  # noqa: N818 - a request's, which may be right another time
    """A request that is not served: status, message, field, code, and seconds to wait."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.param = param
        self.code = code
        self.retry_after = retry_after

    @property
    def answer(self) -> ErrorAnswer:
        """Its body."""
        usual = "invalid_request_error" if self.status < 500 else "server_error"
        kind = _KINDS.get(self.status, usual)
        return ErrorAnswer(
            error=ErrorBody(message=self.message, type=kind, param=self.param, code=self.code)
        )

    @property
    def headers(self) -> Mapping[str, str]:
        """Those beside its body."""
        headers = {"WWW-Authenticate": "Bearer"} if self.status == 401 else {}
        if self.retry_after is not None:
            headers["Retry-After"] = str(max(1, math.ceil(self.retry_after)))
        return headers


def lost() -> Refusal:
    """Of all that engines which are lost should do."""
    return Refusal(503, "an engine is lost", code="engine_lost", retry_after=5)


def refusal_of(error: Exception) -> Refusal:
    """What becomes of an error of a search; what engines say of themselves stays here."""
    if isinstance(error, Refusal):
        return error
    if isinstance(error, InputError):
        return Refusal(400, str(error), code="invalid_value")
    if isinstance(error, EngineLostError):
        return lost()
    if isinstance(error, EngineError):
        return Refusal(503, "an engine failed", code="engine_error")
    return Refusal(500, f"the search failed: {type(error).__name__}", code="internal_error")
