"""`/v1/models`, `/v1/searches` and `/health`: what they answer."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any, Literal

from pydantic import BaseModel

from ets.rollout.options import SearchOptions
from ets.serve.refusal import Refusal
from ets.serve.running import RunningSearch, State
from ets.serve.sse import event


class ModelOut(BaseModel):
    """A search configuration, as a model."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: Literal["ets"] = "ets"
    default: bool
    """Whether requests that name none have it."""
    strategy: str
    width: int

    @classmethod
    def of(cls, name: str, options: SearchOptions, created: int, *, default: bool) -> ModelOut:
        """Of a configuration."""
        return cls(
            id=name,
            created=created,
            default=default,
            strategy=type(options.strategy).__name__,
            width=options.strategy.width,
        )


class ModelsOut(BaseModel):
    """All of them, the default first."""

    object: Literal["list"] = "list"
    data: list[ModelOut]


class SearchOut(BaseModel):
    """A search of this server: how far it is."""

    id: str
    object: Literal["search"] = "search"
    created: int
    model: str
    state: State
    nodes: int
    """Of its tree."""
    user: str | None
    """As the request had it."""

    @classmethod
    def of(cls, running: RunningSearch) -> SearchOut:
        """Of a search now."""
        return cls(
            id=running.key,
            created=running.created,
            model=running.model,
            state=running.state,
            nodes=running.nodes,
            user=running.user,
        )


class SearchesOut(BaseModel):
    """Those of one key: that run, wait or have ended lately."""

    object: Literal["list"] = "list"
    data: list[SearchOut]


class HealthOut(BaseModel):
    """Whether requests are served."""

    status: Literal["ok", "starting", "lost", "draining"]
    in_flight: int
    queued: int


async def search_events(running: RunningSearch, first: int = 0) -> AsyncGenerator[str, None]:
    """The tree's events by name, from number `first` on, those that were before too; `answer` or
    `error` is the last."""
    number = first
    async for happened in running.follow(first):
        yield event(running.told(happened), happened.kind, number)
        number += 1
    try:
        result = await running.outcome()
    except Refusal as refusal:
        yield event(refusal.answer.model_dump(), "error")
        return
    told: dict[str, Any] = result.to_dict()
    for name in ("problem", "trajectories"):
        del told[name]
    yield event(told, "answer")
