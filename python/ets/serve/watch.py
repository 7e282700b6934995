"""Searches to watch: begun without waiting for them, their trees as they grow, and the page."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import Request, Response
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, ConfigDict, Field

from ets.serve.chat import ChatMessage
from ets.serve.extension import Wishes
from ets.serve.growth import Growth, page_of
from ets.serve.keys import OWNER
from ets.serve.live_page import live_page, tree_page_headers
from ets.serve.problems import problem_of
from ets.serve.routing import OF_SEARCHES, PLAIN, SSE, Key, Routing, text_of
from ets.serve.running import RunningSearch
from ets.serve.searches_route import SearchOut
from ets.serve.service import Service
from ets.serve.sse import EventStream, behind
from ets.tree_page.mathml import remembering


class SearchRequest(BaseModel):
    """A problem, at the end of its messages, and how to search it; its fields are a chat's."""

    model_config = ConfigDict(extra="forbid", strict=True)

    messages: Annotated[list[ChatMessage], Field(min_length=1)]
    model: str | None = None
    max_tokens: Annotated[int, Field(ge=1, le=2**32)] | None = None
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = None
    user: str | None = None
    ets: Wishes = Field(default_factory=Wishes)


class WatchRoutes:
    """What the page asks of a service, and the page."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._convert = remembering()
        self._growths: dict[str, Growth] = {}
        self._page, self._headers = live_page(), tree_page_headers()
        routing = Routing()
        self.router = routing.router
        html: dict[int | str, Any] = {200: text_of("text/html")}
        routing.add("GET", "/", self.page, responses=html, response_class=Response)
        routing.add("POST", "/v1/searches", self.begin, *OF_SEARCHES)
        routing.add(
            "GET", "/v1/searches/{key}/tree", self.tree, *PLAIN, 409,
            responses=html, response_class=Response,
        )  # fmt: skip
        routing.add(
            "GET", "/v1/searches/{key}/tree/events", self.growth,
            responses={200: SSE}, response_class=Response,
        )  # fmt: skip

    async def page(self) -> HTMLResponse:
        """A page to search with, and to watch the tree grow."""
        return HTMLResponse(self._page.html, headers=dict(self._page.headers))

    async def begin(self, request: Request, asked: SearchRequest) -> SearchOut:
        """Begin a search and answer at once; whoever wants to know of it follows its events.

        It ends when nobody has followed them for a while (`serve.unwatched_seconds`).
        """
        settings = self._service.configurations.settings
        problem = problem_of(asked.messages, settings.max_messages, "messages")
        model, search = self._service.configurations.search(
            asked.model, asked.ets, max_tokens=asked.max_tokens, seed=asked.seed
        )
        running = self._service.submit(
            request, asked, model, search, problem, patience=settings.unwatched_seconds
        )
        return SearchOut.of(running)

    async def tree(self, request: Request, key: Key) -> HTMLResponse:
        """The page of a tree whose search is over, as one HTML file."""
        running = self._service.desk.find(key, request.scope[OWNER])
        page = await asyncio.to_thread(page_of, running, self._convert)
        return HTMLResponse(page.encode("utf-8", "replace"), headers=dict(self._headers))

    async def growth(self, request: Request, key: Key) -> EventStream:
        """What a page draws of a search's tree, from its beginning: `grown`, each time with a piece
        of its data, and `answer` or `error` at the end."""
        running = self._service.desk.find(key, request.scope[OWNER])
        running.followers.join()
        return EventStream(
            self._growth(running).follow(behind(request.headers)),
            send_seconds=self._service.configurations.settings.send_seconds,
            ended=running.followers.leave,
        )

    def _growth(self, running: RunningSearch) -> Growth:
        known = {search.key for search in self._service.desk.all}
        for key in self._growths.keys() - known:
            del self._growths[key]
        if running.key not in self._growths:
            self._growths[running.key] = Growth(running, self._convert)
        return self._growths[running.key]
