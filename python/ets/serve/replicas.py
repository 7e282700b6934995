"""The server as an application of Ray Serve: replicas on a cluster, each with its own engines."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ets.errors import EngineLostError, InputError
from ets.extras import needs
from ets.search.toml import check_arguments, read_toml, with_defaults
from ets.serve.app import create_app
from ets.serve.configurations import Served
from ets.serve.gate import Gate
from ets.serve.keys import Keys
from ets.serve.router import SearchRouter
from ets.serve.service import Service
from ets.serve.settings import Settings
from ets.serve.wrong_input import wrong_input

with needs("ray", "ray-serve"):
    from ray import serve

_MANY = 10_000
"""Requests of a replica at once, as Ray Serve counts: the server's own limits hold, and who ends a
search gets in where all places are taken."""
_LOOK = 2.0
"""Seconds between two looks at a replica's health; the third that fails replaces it."""


class Replicas(BaseModel):
    """How many replicas, what each needs, and what they serve."""

    model_config = ConfigDict(extra="forbid")

    config: str
    """The file that `ets serve --config` takes, where the application is built."""
    api_key_file: str | None = None
    """As `ets serve --api-key-file`."""
    min_replicas: Annotated[int, Field(ge=1)] = 1
    max_replicas: Annotated[int, Field(ge=1)] | None = None
    """None: as many as the least."""
    searches: Annotated[float, Field(gt=0)] | None = None
    """That a replica should have, run and queued, on average: with more there are more replicas.
    None: as many as it runs at once, so that a queue makes another."""
    num_cpus: Annotated[float, Field(ge=0)] = 1.0
    """Cores that Ray counts for each."""
    num_gpus: Annotated[float, Field(ge=0)] = 0.0
    resources: dict[str, float] = {}
    """Custom resources of each, by name."""
    runtime_env: dict[str, Any] = {}
    """Ray's `runtime_env` of each."""
    grace: Annotated[float, Field(ge=0)] = 60.0
    """Seconds that the searches of a replica which is to go have to end."""

    @model_validator(mode="after")
    def _least_and_most(self) -> Replicas:
        if self.max_replicas is not None and self.max_replicas < self.min_replicas:
            raise ValueError(f"max_replicas must be at least {self.min_replicas}, min_replicas")
        return self


def application(options: Mapping[str, Any]) -> Any:
    """What `serve run ets.serve.replicas:application config=serve.toml` runs.

    `options` are the fields of `Replicas`. A replica that loses an engine, or dies, is replaced.
    What is asked of one search (`/v1/searches/{id}`) reaches the replica that has it, and all that
    bears the same `X-Session-ID` the same replica, for as long as that is there.

    # Errors
    `InputError` for a value out of range, and what `ets serve` says of its files.
    """
    try:
        asked = Replicas.model_validate(dict(options))
    except ValidationError as error:
        raise InputError(wrong_input(_at_body(error)).message) from error
    keys = None if asked.api_key_file is None else Keys.read(asked.api_key_file)
    return deployed(asked, _served(asked.config), keys)


def deployed(asked: Replicas, served: Served, keys: Keys | None = None) -> Any:
    """The application of what is served, whose arguments pickle.

    # Errors
    `InputError` where nobody says how many searches a replica should have.
    """
    at_once = served.settings.concurrency
    if asked.searches is None and at_once == "auto" and asked.max_replicas not in (None, 1):
        raise InputError("searches must be a number where serve.concurrency is 'auto'")
    deployment = serve.deployment(
        name="ets",
        ray_actor_options={
            "num_cpus": asked.num_cpus,
            "num_gpus": asked.num_gpus,
            "resources": asked.resources,
            "runtime_env": asked.runtime_env,
        },
        autoscaling_config={
            "min_replicas": asked.min_replicas,
            "max_replicas": asked.max_replicas or asked.min_replicas,
            "target_ongoing_requests": asked.searches or (1 if at_once == "auto" else at_once),
        },
        max_ongoing_requests=_MANY,
        graceful_shutdown_wait_loop_s=1.0,
        graceful_shutdown_timeout_s=asked.grace,
        health_check_period_s=_LOOK,
        request_router_config={"request_router_class": SearchRouter},
        # Paths and addresses of requests are in it.
        logging_config={"enable_access_log": False},
    )
    return deployment(serve.ingress()(Replica)).bind(served, keys)


class Replica:
    """One server without a port of its own: Ray Serve's proxies pass requests on to it."""

    # Ray Serve awaits it, and has no other place for what has to be awaited at the start.
    async def __init__(self, served: Served, keys: Keys | None) -> None:  # type: ignore[misc]
        logging.getLogger("ets").setLevel(logging.INFO)
        failures: list[Exception] = []
        at = serve.get_replica_context().replica_id.unique_id
        self._service = await asyncio.to_thread(Service.of, served, keys, at=at)
        await self._service.start(failures.append)
        if failures:
            await self._service.close()
            raise failures[0]

    def __serve_build_asgi_app__(self) -> Gate:
        return create_app(self._service)

    async def check_health(self) -> None:
        """Whether the replica may stay.

        # Errors
        `EngineLostError` with the engine's last words.
        """
        if (words := self._service.desk.lost) is not None:
            raise EngineLostError(words)


def _served(path: str) -> Served:
    tables = read_toml(path)
    settings = Settings.of(tables.pop("serve", {}))
    searches = tables.pop("searches", {})
    if "workers" in tables:
        raise InputError(f"{path}: workers have no meaning here, each replica has its own engines")
    check_arguments(tables, path)
    return Served.of(with_defaults(tables)[0], searches, settings)


def _at_body(error: ValidationError) -> list[Any]:
    return [{**one, "loc": ("body", *one["loc"])} for one in error.errors()]
