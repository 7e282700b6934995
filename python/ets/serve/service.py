"""All that a server is: configurations, desk, keys, metrics, and the beginning and end of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from starlette.requests import Request

from ets.dialogue import Posed
from ets.search.search import Search
from ets.serve.configurations import Configurations, Served
from ets.serve.desk import Desk
from ets.serve.extension import Wishes
from ets.serve.keys import OWNER, Keys
from ets.serve.metrics import Metrics
from ets.serve.refusal import Refusal
from ets.serve.running import RunningSearch
from ets.serve.sampling import Sampling
from ets.serve.traces import Traced
from ets.shown.log import Log

_LOG = Log("ets.serve")


class Asked(Protocol):
    """What the bodies of all requests for a search have."""

    ets: Wishes
    user: str | None


@dataclass(frozen=True, slots=True)
class Service:
    """Made before the application is, with engines that may still start."""

    configurations: Configurations
    sampling: Sampling
    keys: Keys
    metrics: Metrics
    traced: Traced
    desk: Desk
    created: int
    """In seconds of Unix time."""

    @classmethod
    def of(
        cls,
        served: Served,
        keys: Keys | None = None,
        traced: Traced | None = None,
        *,
        at: str = "",
    ) -> Service:
        """Load the engines; `at` is as of `Desk`.

        # Errors
        Those of `Configurations`.
        """
        metrics, traced = Metrics(), traced or Traced()
        configurations = Configurations(served)
        return cls(
            configurations=configurations,
            sampling=Sampling.of(served.arguments),
            keys=keys or Keys(),
            metrics=metrics,
            traced=traced,
            desk=Desk(served.settings, metrics, traced, at=at),
            created=int(time.time()),
        )

    def submit(
        self,
        request: Request,
        asked: Asked,
        model: str,
        search: Search,
        problem: Posed,
        *,
        patience: float | None = None,
    ) -> RunningSearch:
        """Begin the search that a request's body asks for, or put it into the queue.

        # Errors
        Those of `Desk.submit`.
        """
        return self.desk.submit(
            model,
            search,
            problem,
            asked.ets,
            user=asked.user,
            once=search is not self.configurations[model],
            owner=request.scope[OWNER],
            patience=patience,
            context=self.traced.context(request.headers),
        )

    async def start(self, failed: Callable[[Exception], None]) -> None:
        """Wait for the engines, and let searches in; `failed` is told what keeps them out."""
        begin = time.monotonic()
        settings = self.configurations.settings
        try:
            self.desk.limit = await self.configurations.engines.ready(settings.concurrency)
        except Exception as error:  # noqa: BLE001 - whoever runs the server raises it
            self.desk.lost = " ".join(str(error).split())
            failed(error)
            return
        _LOG.info("ready after %.1f s", time.monotonic() - begin)

    async def watch(self) -> None:
        """Wait for the loss of engines that tell of it by themselves, with no search to show it."""
        if self.desk.limit is not None:
            self.desk.lose(await self.configurations.engines.until_lost())

    async def drain(self, seconds: float) -> None:
        """Take nothing new, and end after so many seconds what has not ended by then."""
        self.desk.draining = True
        deadline = time.monotonic() + seconds
        while self.desk.open and time.monotonic() < deadline:
            await asyncio.sleep(0.05)
        why = "the server is shutting down, and the search had no more time"
        await self.desk.fail_open(Refusal(503, why, code="shutting_down", retry_after=5))

    async def close(self) -> None:
        """End what runs, and close the engines."""
        await self.drain(0.0)
        await self.configurations.engines.aclose()
