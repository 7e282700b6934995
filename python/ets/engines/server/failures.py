"""What the errors of an OpenAI-compatible server mean, each in one line, without secrets."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import unquote, urlsplit

from ets.errors import ContextError, EngineError, EngineLostError
from ets.shown.redaction import MARK, redacted, redacted_text

Explain = Callable[[int, str], str | None]
"""From a status and what the server said to what that means, behind `the server at URL `; None
where the general message will do."""

NO_KEY = "EMPTY"
"""What servers that ask for no key are sent."""
_NOT_THERE = (502, 503, 504)
_REFUSALS = (400, 413, 422)
_TOO_LONG = re.compile(
    r"context[ _](?:length|size|window|limit)|maximum (?:model|allowed|prompt|input) length"
    r"|(?:prompt|input) is too long|too many tokens|tokens \+ .max_new_tokens. must be",
    re.IGNORECASE,
)
"""What vLLM, SGLang, llama.cpp, TGI and others say of a request that is too long."""


class ServerFailures:
    """Reads the errors of the openai client for one server, whose address and key they may repeat.

    Parameters
    ----------
    url, api_key
        Of the server.
    openai
        The module, which only a server needs.
    secrets
        What else it may repeat and nobody is to see.
    """

    def __init__(self, url: str, api_key: str, openai: Any, secrets: Sequence[str] = ()) -> None:
        self._shown_url: str = redacted(url)
        self._openai = openai
        password = urlsplit(url).password or ""
        said = (api_key, password, unquote(password), *secrets)
        self._secrets = [text for text in said if text not in ("", NO_KEY)]

    def loads(self, error: Exception) -> bool:
        """Whether a server, or a proxy before it, says that it is not there yet."""
        return isinstance(error, self._openai.APIStatusError) and error.status_code in _NOT_THERE

    def is_gone(self, error: Exception) -> bool:
        """Whether a server refuses or drops connections."""
        return isinstance(error, self._openai.APIConnectionError) and not _timed_out(error)

    def of(
        self, error: Exception, path: str, timeout: float, explain: Explain | None = None
    ) -> EngineError:
        """What an error of the client's at `path` means."""
        where = f"the server at {self._shown_url}"
        if isinstance(error, self._openai.APIConnectionError):
            if _timed_out(error):
                return EngineLostError(f"{where} did not answer within {timeout:g} s, the timeout")
            first = _causes(error)[-1]
            return EngineLostError(f"cannot reach {where}: {self._said(str(first) or repr(first))}")
        if not isinstance(error, self._openai.APIStatusError):
            return EngineError(f"the request to {where} failed: {self._said(str(error))}")
        said = self._said(_message(error))
        if error.status_code in _REFUSALS and _TOO_LONG.search(said):
            return ContextError(f"{where} cannot read a solution this long: {said}")
        kind = EngineLostError if error.status_code >= 500 else EngineError
        unknown_model = re.search("model.*not (exist|found)", said, re.I)
        if explain and not unknown_model and (meaning := explain(error.status_code, said)):
            return kind(f"{where} {meaning}")
        if error.status_code == 404 and not unknown_model:
            return EngineError(
                f"{where} answers {path} with 404, {said!r}: the URL must be the base of its API, "
                "such as http://127.0.0.1:8000/v1"
            )
        return kind(f"{where} answers {path} with {error.status_code}: {said}")

    def _said(self, text: str) -> str:
        """What a server or a library says, in one line, without the secrets that it repeats."""
        for secret in self._secrets:
            text = re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", MARK, text)
        return " ".join(redacted_text(text).split())[:300]


def _timed_out(error: BaseException) -> bool:
    """Whether no answer came in time; the transport over aiohttp calls every lost connection so."""
    return any(isinstance(c, TimeoutError | asyncio.TimeoutError) for c in _causes(error))


def _causes(error: BaseException) -> list[BaseException]:
    """The error and what led to it, the first cause last."""
    causes = [error]
    while (cause := causes[-1].__cause__) is not None:
        causes.append(cause)
    return causes


def _message(error: Any) -> str:
    """What the server says went wrong: the `message` of its JSON, or the start of its text."""
    body = error.body
    for key in ("error", "message", "detail"):
        if isinstance(body, dict) and key in body:
            body = body[key]
    return str(body or error.message)
