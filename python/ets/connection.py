"""Requests to an OpenAI-compatible server, with errors of one line."""

from __future__ import annotations

import asyncio
import os
import re
import threading
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

from ets.checks import check_int, check_number
from ets.errors import EngineError, InputError
from ets.extras import needs

Explain = Callable[[int, str], str | None]
"""From a status and what the server said to what that means, behind `the server at URL `; None
where the general message will do."""

_MOST_IN_FLIGHT = 1000
"""The connections that the client keeps at most; more requests would time out waiting for one."""
_FIRST_TIMEOUT = 10.0
"""Seconds that the blocking first request may take a try."""
_FIRST_RETRIES = 2


@dataclass(slots=True)
class _Link:
    """What belongs to one event loop: HTTP clients cannot change theirs."""

    client: Any
    gate: asyncio.Semaphore
    running: set[asyncio.Task[str]] = field(default_factory=set)
    keeper: AsyncGenerator[None, None] | None = None
    """Closes the client with its loop; whoever ends a loop ends the generators that live on it."""


class Connection:
    """A server at an address. Safe to use from several threads and event loops.

    Parameters
    ----------
    url
        The base of its API, such as `http://127.0.0.1:8000/v1`.
    user
        Who asks (`policy`, `PRM`), for error messages.
    api_key
        By default what `OPENAI_API_KEY` holds in the environment, or `EMPTY`.
    timeout
        Seconds that one try of a request may take.
    max_retries
        Further tries, with growing pauses, after a 429, a 5xx, a timeout or a lost connection.
    max_in_flight
        Requests at once on one event loop; more wait here.

    # Errors
    `MissingExtraError` without the openai client, `InputError` for a bad URL or value.
    """

    def __init__(
        self,
        url: str,
        *,
        user: str,
        api_key: str | None,
        timeout: float,
        max_retries: int,
        max_in_flight: int,
    ) -> None:
        check_number("timeout", timeout, "above 0", lambda value: value > 0)
        check_int("max_retries", max_retries, 0, 100)
        check_int("max_in_flight", max_in_flight, 1, _MOST_IN_FLIGHT)
        with needs("openai", "openai"):
            import openai
        _check_url(url)
        self.url = url
        self._user = user
        self._openai = openai
        self._timeout = timeout
        self._max_retries = max_retries
        self._max_in_flight = max_in_flight
        self._api_key = api_key or os.environ.get("OPENAI_API_KEY") or "EMPTY"
        self._links: WeakKeyDictionary[asyncio.AbstractEventLoop, _Link] = WeakKeyDictionary()
        self._lock = threading.Lock()
        self._closed = False

    def get(self, path: str) -> str:
        """The body of a path below the URL; blocks for a short time.

        # Errors
        `EngineError` of one line that names the URL.
        """
        timeout = min(self._timeout, _FIRST_TIMEOUT)
        client = self._openai.OpenAI(
            base_url=self.url,
            api_key=self._api_key,
            timeout=timeout,
            max_retries=min(self._max_retries, _FIRST_RETRIES),
        )
        with client:
            try:
                return str(client.get(path, cast_to=str))
            except self._openai.OpenAIError as error:
                raise self._failure(error, path, timeout) from error

    async def post(
        self,
        path: str,
        body: dict[str, Any],
        *,
        beside: bool = False,
        explain: Explain | None = None,
    ) -> str:
        """The answer to a JSON body. Cancelled, it has closed its connection when it ends.

        `beside`: the path lies beside the base of the API, not below it. `explain` words what the
        server refuses.

        # Errors
        `EngineError` of one line that names the URL.
        """
        link = self._link()
        if link.keeper is None:
            link.keeper = _until_the_loop_ends(link.client)
            await anext(link.keeper)
        task = asyncio.create_task(self._ask(link, path, body, beside, explain))
        link.running.add(task)
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            task.cancel()
            await asyncio.wait([task])
            if not task.cancelled():
                task.exception()  # looked at, so that asyncio does not print it
            raise
        finally:
            link.running.discard(task)
        if task.cancelled():
            raise self._is_closed()
        return task.result()

    async def aclose(self) -> None:
        """End the requests in flight and close the connections, those of other loops too."""
        with self._lock:
            self._closed = True
            links = list(self._links.items())
            self._links.clear()
        here = asyncio.get_running_loop()
        for loop, link in links:
            if loop is here:
                await _close(link)
            elif loop.is_running():
                await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(_close(link), loop))

    def _link(self) -> _Link:
        loop = asyncio.get_running_loop()
        with self._lock:
            if self._closed:
                raise self._is_closed()
            link = self._links.get(loop)
            if link is None:
                link = _Link(self._new_client(), asyncio.Semaphore(self._max_in_flight))
                self._links[loop] = link
            return link

    def _new_client(self) -> Any:
        return self._openai.AsyncOpenAI(
            base_url=self.url,
            api_key=self._api_key,
            timeout=self._timeout,
            max_retries=self._max_retries,
            # aiohttp takes half the CPU time that httpx does. Given, not left to the client, whose
            # own the garbage collector would close on whatever loop runs then.
            http_client=self._openai.DefaultAioHttpClient(),
        )

    async def _ask(
        self,
        link: _Link,
        path: str,
        body: dict[str, Any],
        beside: bool,
        explain: Explain | None,
    ) -> str:
        target = self.url.rstrip("/").rpartition("/")[0] + path if beside else path
        async with link.gate:
            try:
                return str(await link.client.post(target, body=body, cast_to=str))
            except self._openai.OpenAIError as error:
                raise self._failure(error, path, self._timeout, explain) from error

    def _failure(
        self, error: Exception, path: str, timeout: float, explain: Explain | None = None
    ) -> EngineError:
        where = f"the server at {self.url}"
        if isinstance(error, self._openai.APIConnectionError):
            causes = _causes(error)
            # The transport over aiohttp calls every lost connection a timeout.
            if any(isinstance(cause, TimeoutError | asyncio.TimeoutError) for cause in causes):
                return EngineError(f"{where} did not answer within {timeout:g} s, the timeout")
            first = causes[-1]
            return EngineError(f"cannot reach {where}: {_one_line(str(first) or repr(first))}")
        if not isinstance(error, self._openai.APIStatusError):
            return EngineError(f"the request to {where} failed: {_one_line(str(error))}")
        said = _message(error)
        unknown_model = re.search("model.*not (exist|found)", said, re.I)
        if explain and not unknown_model and (meaning := explain(error.status_code, said)):
            return EngineError(f"{where} {meaning}")
        if error.status_code == 404 and not unknown_model:
            return EngineError(
                f"{where} answers {path} with 404, {said!r}: the URL must be the base of its API, "
                "such as http://127.0.0.1:8000/v1"
            )
        return EngineError(f"{where} answers {path} with {error.status_code}: {said}")

    def _is_closed(self) -> EngineError:
        return EngineError(f"the {self._user} on the server at {self.url} is closed")


async def _until_the_loop_ends(client: Any) -> AsyncGenerator[None, None]:
    try:
        yield
    finally:
        await client.close()


async def _close(link: _Link) -> None:
    for task in link.running:
        task.cancel()
    if link.running:
        await asyncio.wait(link.running)
    await link.client.close()


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        ok = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number
        ok = False
    if not ok or parts.query or parts.fragment:
        raise InputError(
            f"url must be the base of an API, such as http://127.0.0.1:8000/v1, got {url!r}"
        )


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
    return _one_line(str(body or error.message))


def _one_line(text: str) -> str:
    return " ".join(text.split())[:300]
