"""Requests to an OpenAI-compatible server."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Protocol, TypeVar
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

from ets.checks import check_int, check_number, check_text
from ets.dialogue import Posed
from ets.engines.server.failures import NO_KEY, Explain, ServerFailures
from ets.engines.server.headers import checked_headers, headers_of
from ets.engines.server.outage import Outage, Waiting
from ets.errors import EngineError, InputError
from ets.extras import needs
from ets.fork_lock import ForkLock
from ets.shown.redaction import names_a_secret, redacted

_MOST_IN_FLIGHT = 1000
"""The connections that the client keeps at most; more requests would time out waiting for one."""
_FIRST_TIMEOUT = 10.0
"""Seconds that the blocking first request may take a try."""
_FIRST_RETRIES = 2

T = TypeVar("T")


class StreamReader(Protocol):
    """Reads an answer that comes in events."""

    def has_enough(self, event: Any) -> bool:
        """Take the next event's data; True where no more are wanted."""
        ...


Reads = TypeVar("Reads", bound=StreamReader)


@dataclass(slots=True)
class _Link:
    """What belongs to one event loop: HTTP clients cannot change theirs."""

    client: Any
    gate: asyncio.Semaphore
    running: set[asyncio.Task[Any]] = field(default_factory=set)
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
    patience
        Seconds that a server which has gone, restarts or loads its model is waited for: one that
        refuses or drops connections, or answers 502, 503 or 504. The logger `ets` says so.
    headers
        Further headers of all requests. Those whose names say that they are secrets are shown
        nowhere.

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
        patience: float,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        check_number("timeout", timeout, "above 0", lambda value: value > 0)
        check_int("max_retries", max_retries, 0, 100)
        check_int("max_in_flight", max_in_flight, 1, _MOST_IN_FLIGHT)
        check_number("patience", patience, "at least 0", lambda value: value >= 0)
        check_text("url", url)
        if api_key is not None and not isinstance(api_key, str):
            raise InputError(f"api_key must be a text or None, got a {type(api_key).__name__}")
        with needs("openai", "openai"):
            import openai
        _check_url(url)
        self.url = url
        self.shown_url: str = redacted(url)
        """The same without the secrets in it, for errors and logs."""
        self._user = user
        self._openai = openai
        self._timeout = timeout
        self._max_retries = max_retries
        self._max_in_flight = max_in_flight
        self._api_key = api_key or os.environ.get("OPENAI_API_KEY") or NO_KEY
        self._headers = checked_headers({} if headers is None else headers)
        secrets = [said for name, said in self._headers.items() if names_a_secret(name)]
        self._failures = ServerFailures(url, self._api_key, openai, secrets)
        self._links: WeakKeyDictionary[asyncio.AbstractEventLoop, _Link] = WeakKeyDictionary()
        self._lock = ForkLock()
        self.patience = patience
        """Seconds, as it was made with."""
        self._outage = Outage(f"the server at {self.shown_url}", patience)
        self._closed = False

    def wait_at_most(self, seconds: float) -> None:
        """Lower the patience, from now on."""
        self._outage.wait_at_most(seconds)

    def get(self, path: str, *, beside: bool = False, waits: bool = True) -> str:
        """The body of a path below the URL, or beside it; blocks.

        A server that loads its model is waited for, unless `waits` is false. One that cannot be
        reached is not, beyond a few seconds: at the start it is more likely a wrong address than a
        server that restarts.

        # Errors
        `EngineError` of one line that names the URL.
        """
        timeout = min(self._timeout, _FIRST_TIMEOUT)
        client = self._openai.OpenAI(
            base_url=self.url,
            api_key=self._api_key,
            timeout=timeout,
            max_retries=min(self._max_retries, _FIRST_RETRIES),
            default_headers=self._headers,
        )
        waiting = Waiting()
        with client:
            while True:
                try:
                    answer = str(client.get(self._target(path, beside), cast_to=str))
                except self._openai.OpenAIError as error:  # noqa: PERF203  a new try each
                    failure = self._failures.of(error, path, timeout)
                    loads = waits and self._failures.loads(error)
                    if not loads or not self._outage.goes_on(failure, waiting):
                        raise failure from error
                    time.sleep(waiting.pause())
                else:
                    self._outage.over()
                    return answer

    async def post(
        self,
        path: str,
        body: dict[str, Any],
        *,
        problem: Posed,
        ranks: int = 1,
        beside: bool = False,
        explain: Explain | None = None,
    ) -> str:
        """The answer to a JSON body. Cancelled, it has closed its connection when it ends.

        All requests of one `problem` have one `X-Session-ID`, by which routers keep them on one
        engine; of several data-parallel `ranks` of a vLLM server they name one. `beside`: the path
        lies beside the base of the API, not below it. `explain` words what the server refuses.

        # Errors
        One line that names the URL: `ContextError` where the server says that the request is too
        long for its model, `EngineLostError` where it cannot be reached, does not answer in time or
        fails (5xx) and still does after all tries, `EngineError` for whatever else it refuses.
        """
        headers = headers_of(problem, ranks)

        async def answer(client: Any) -> str:
            target = self._target(path, beside)
            return str(
                await client.post(target, body=body, options={"headers": headers}, cast_to=str)
            )

        return await self._held(answer, path, explain)

    async def stream(
        self,
        path: str,
        body: dict[str, Any],
        *,
        problem: Posed,
        reader: Callable[[], Reads],
        ranks: int = 1,
        explain: Explain | None = None,
    ) -> Reads:
        """What has read the answer to a JSON body as it came, event by event.

        Its connection is closed as soon as the reader has enough, which aborts the request in the
        server. Each try has a reader of its own. The rest is as for `post`.

        # Errors
        Those of `post`.
        """
        headers = headers_of(problem, ranks)

        async def answer(client: Any) -> Reads:
            read = reader()
            events = await client.post(
                self._target(path, beside=False),
                body={**body, "stream": True},
                options={"headers": headers},
                cast_to=object,
                stream=True,
                stream_cls=self._openai.AsyncStream[object],
            )
            # The library beneath the client: httpx, or httpx2.
            http = import_module(type(events.response).__module__.partition(".")[0])
            try:
                async with events:
                    async for event in events:
                        if read.has_enough(event):
                            break
            except json.JSONDecodeError as error:
                raise EngineError(
                    f"the server at {self.shown_url} streams {error.doc[:60]!r} at {path}, which "
                    "is no JSON"
                ) from error
            except http.TransportError as error:  # which the client sees to until it has begun
                request = events.response.request
                raise self._openai.APIConnectionError(request=request) from error
            return read

        return await self._held(answer, path, explain)

    async def _held(
        self, answer: Callable[[Any], Awaitable[T]], path: str, explain: Explain | None
    ) -> T:
        """An answer that `aclose` can end, too."""
        link = self._link()
        if link.keeper is None:
            link.keeper = _until_the_loop_ends(link.client)
            await anext(link.keeper)
        task = asyncio.create_task(self._ask(link, answer, path, explain))
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
            default_headers=self._headers,
            # aiohttp takes half the CPU time that httpx does. Given, not left to the client, whose
            # own the garbage collector would close on whatever loop runs then.
            http_client=self._openai.DefaultAioHttpClient(),
        )

    async def _ask(
        self,
        link: _Link,
        answer: Callable[[Any], Awaitable[T]],
        path: str,
        explain: Explain | None,
    ) -> T:
        waiting = Waiting()
        async with link.gate:
            while True:
                try:
                    found = await answer(link.client)
                except self._openai.OpenAIError as error:  # noqa: PERF203  a new try each
                    failure = self._failures.of(error, path, self._timeout, explain)
                    gone = self._failures.is_gone(error) or self._failures.loads(error)
                    if not gone or not self._outage.goes_on(failure, waiting):
                        raise failure from error
                    await asyncio.sleep(waiting.pause())
                else:
                    self._outage.over()
                    return found

    def _target(self, path: str, beside: bool) -> str:
        return self.url.rstrip("/").rpartition("/")[0] + path if beside else path

    def _is_closed(self) -> EngineError:
        return EngineError(f"the {self._user} on the server at {self.shown_url} is closed")


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
            "url must be the base of an API, such as http://127.0.0.1:8000/v1, "
            f"got {redacted(url)!r}"
        )
