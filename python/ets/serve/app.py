"""The application: its routes, and errors in one shape."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from ets._core import __version__
from ets.rollout.result import SearchResult
from ets.serve.chat import ChatAnswer, ChatRequest
from ets.serve.chat_route import chat_answer, chat_chunks
from ets.serve.gate import Gate
from ets.serve.keys import OWNER
from ets.serve.problems import problem_of
from ets.serve.refusal import Refusal
from ets.serve.responses import ResponsesAnswer, ResponsesRequest
from ets.serve.responses_route import responses_answer, responses_events
from ets.serve.routing import OF_SEARCHES, SSE, Key, Routing, text_of
from ets.serve.running import RunningSearch
from ets.serve.searches_route import (
    HealthOut,
    ModelOut,
    ModelsOut,
    SearchesOut,
    SearchOut,
    search_events,
)
from ets.serve.service import Service
from ets.serve.sse import EventStream, behind
from ets.serve.watch import WatchRoutes
from ets.serve.wrong_input import wrong_input

_SEARCH = "X-Search-ID"


def create_app(service: Service, failed: Callable[[Exception], None] | None = None) -> Gate:
    """The ASGI application of a service; `failed` is told what keeps its engines from starting.
    None: they have started."""

    async def run() -> None:
        if failed is not None:
            await service.start(failed)
        await service.watch()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        running = asyncio.create_task(run())
        yield
        running.cancel()
        await service.close()

    app = FastAPI(
        title="ets serve",
        summary="Tree search behind OpenAI's protocol",
        version=__version__,
        lifespan=lifespan,
        redoc_url=None,
    )
    app.include_router(Routes(service).router)
    app.include_router(WatchRoutes(service).router)
    app.add_exception_handler(Refusal, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    document = app.openapi

    def openapi() -> dict[str, Any]:
        described = document()
        for operations in described["paths"].values():
            for operation in operations.values():
                operation["responses"].pop("422", None)  # which is a 400 here
        return described

    app.openapi = openapi  # type: ignore[method-assign]
    return Gate(app, service)


class Routes:
    """What can be asked of a service."""

    def __init__(self, service: Service) -> None:
        self._service = service
        routing = Routing()
        self.router = routing.router
        route = routing.add
        streams: dict[int | str, Any] = {200: SSE}
        route("GET", "/v1/models", self.models)
        route("GET", "/v1/models/{model:path}", self.model)
        route(
            "POST", "/v1/chat/completions", self.chat, *OF_SEARCHES,
            response_model=ChatAnswer, responses=streams,
        )  # fmt: skip
        route(
            "POST", "/v1/responses", self.respond, *OF_SEARCHES,
            response_model=ResponsesAnswer, responses=streams,
        )  # fmt: skip
        route("GET", "/v1/searches", self.searches)
        route("GET", "/v1/searches/{key}", self.search)
        route("DELETE", "/v1/searches/{key}", self.cancel)
        route(
            "GET", "/v1/searches/{key}/events", self.events,
            response_class=Response, responses=streams,
        )  # fmt: skip
        route(
            "GET", "/health", self.health, 405,
            response_model=HealthOut, responses={503: {"model": HealthOut}},
        )  # fmt: skip
        route(
            "GET", "/metrics", self.metrics, 405,
            responses={200: text_of("text/plain")}, response_class=Response,
        )  # fmt: skip

    async def models(self) -> ModelsOut:
        """The search configurations, the default first."""
        return ModelsOut(data=[self._model(name) for name in self._service.configurations.names])

    async def model(self, model: Key) -> ModelOut:
        """One of them."""
        if model not in self._service.configurations.names:
            raise Refusal(404, "no such model", param="model", code="model_not_found")
        return self._model(model)

    async def chat(self, request: Request, asked: ChatRequest) -> Any:
        """Search the problem that the messages end in; the solution is the assistant's message.

        With `stream` the answer is server-sent events, text as soon as it is certain.
        """
        most = {asked.max_tokens, asked.max_completion_tokens} - {None}
        if len(most) > 1:
            raise Refusal(
                400,
                "max_tokens must be what max_completion_tokens is, or left out",
                param="max_tokens",
                code="invalid_value",
            )
        self._service.sampling.check(asked.temperature, asked.top_p)
        settings = self._service.configurations.settings
        problem = problem_of(asked.messages, settings.max_messages, "messages")
        model, search = self._service.configurations.search(
            asked.model,
            asked.ets,
            max_tokens=next(iter(most), None),
            seed=asked.seed,
        )
        running = self._service.submit(request, asked, model, search, problem)
        if asked.stream:
            return self._streamed(running, chat_chunks(running, asked))
        result = await _awaited(request, running)
        return _answer(running, chat_answer(running, result, asked))

    async def respond(self, request: Request, asked: ResponsesRequest) -> Any:
        """The same with OpenAI's newer request and answer."""
        sampling = self._service.sampling
        sampling.check(asked.temperature, asked.top_p)
        settings = self._service.configurations.settings
        field = "messages" if asked.instructions is not None else "input"
        problem = problem_of(asked.messages, settings.max_messages, field)
        model, search = self._service.configurations.search(
            asked.model, asked.ets, max_tokens=asked.max_output_tokens, seed=None
        )
        running = self._service.submit(request, asked, model, search, problem)
        if asked.stream:
            return self._streamed(running, responses_events(running, asked, sampling))
        result = await _awaited(request, running)
        return _answer(running, responses_answer(running, result, asked, sampling))

    async def searches(self, request: Request) -> SearchesOut:
        """This key's searches that run, wait, or have ended lately, the newest first."""
        own = [s for s in self._service.desk.all if s.owner == request.scope[OWNER]]
        return SearchesOut(data=[SearchOut.of(running) for running in reversed(own)])

    async def search(self, request: Request, key: Key) -> SearchOut:
        """One of them."""
        return SearchOut.of(self._service.desk.find(key, request.scope[OWNER]))

    async def cancel(self, request: Request, key: Key) -> SearchOut:
        """End a search; whoever waits for it is told so."""
        running = self._service.desk.find(key, request.scope[OWNER])
        running.cancel()
        if running.task is not None:
            await asyncio.wait([running.task])
        return SearchOut.of(running)

    async def events(self, request: Request, key: Key) -> EventStream:
        """What happens in a search's tree, from its beginning: `expanded`, `scored`, `finished`,
        `pruned`, `ended`, and `answer` or `error` at the end."""
        running = self._service.desk.find(key, request.scope[OWNER])
        running.followers.join()
        return EventStream(
            search_events(running, behind(request.headers)),
            send_seconds=self._send_seconds,
            ended=running.followers.leave,
        )

    async def health(self, response: Response) -> HealthOut:
        """Whether searches are served: 200 if so, else 503."""
        desk = self._service.desk
        status: Any = "ok"
        if desk.draining:
            status = "draining"
        elif desk.lost is not None:
            status = "lost"
        elif desk.limit is None:
            status = "starting"
        response.status_code = 200 if status == "ok" else 503
        return HealthOut(status=status, in_flight=desk.inside, queued=desk.waiting)

    async def metrics(self) -> Response:
        """For Prometheus."""
        metrics = self._service.metrics
        return Response(metrics.text(), headers={"Content-Type": metrics.content_type})

    @property
    def _send_seconds(self) -> float:
        return self._service.configurations.settings.send_seconds

    def _model(self, name: str) -> ModelOut:
        configurations = self._service.configurations
        return ModelOut.of(
            name,
            configurations[name].options,
            self._service.created,
            default=name == configurations.default,
        )

    def _streamed(self, running: RunningSearch, events: AsyncGenerator[str, None]) -> EventStream:
        return EventStream(
            events,
            send_seconds=self._send_seconds,
            ended=running.cancel,
            headers={_SEARCH: running.key},
        )


async def _awaited(request: Request, running: RunningSearch) -> SearchResult:
    """Its result; it is cancelled when the client goes."""

    async def watch() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass
        running.cancel()

    watching = asyncio.create_task(watch())
    try:
        return await running.outcome()
    finally:
        running.cancel()
        watching.cancel()


def _answer(running: RunningSearch, answer: BaseModel) -> Response:
    return Response(
        answer.model_dump_json(),
        headers={_SEARCH: running.key},
        media_type="application/json",
    )


def _refused(request: Request, refusal: Exception) -> Response:
    if not isinstance(refusal, Refusal):
        raise refusal
    return JSONResponse(refusal.answer.model_dump(), refusal.status, dict(refusal.headers))


def _invalid(request: Request, error: Exception) -> Response:
    if not isinstance(error, RequestValidationError):
        raise error
    return _refused(request, wrong_input(error.errors()))


def _http(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    status = error.status_code
    what = {
        400: "the body must be JSON",  # nested for ever, or in no encoding
        404: f"no such path: {request.url.path}",
        405: f"no such method: {request.method}",
    }
    code = {400: "invalid_json", 404: "not_found", 405: "method_not_allowed"}.get(status)
    answer = _refused(request, Refusal(status, what.get(status, str(error.detail)), code=code))
    answer.headers.update(error.headers or {})
    return answer
