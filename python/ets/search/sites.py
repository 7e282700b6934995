"""The places where a search's problems are searched: made anew for other options."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

from ets.errors import InputError
from ets.rollout.belongings import Belongings
from ets.rollout.engines import Engines, names_of, patience_of
from ets.rollout.options import SearchOptions
from ets.rollout.site import LocalSite, Rules
from ets.search.replica import Site
from ets.workers.site import WorkerSite
from ets.workers.worker import Worker


class Sites(Protocol):
    """All replicas of one search, and of those beside it."""

    @property
    def names(self) -> Sequence[str]:
        """What to call each replica."""
        ...

    @property
    def patience(self) -> float:
        """Seconds for which problems wait when all replicas are lost."""
        ...

    async def started(self) -> None:
        """Wait for engines that start in the background.

        # Errors
        Those of the engines.
        """
        ...

    async def until_lost(self) -> str:
        """Wait until no replica is left that may return, as far as engines tell of it by
        themselves; what they say of it.

        # Errors
        `EngineError` if they are closed.
        """
        ...

    def of(self, options: SearchOptions) -> Sequence[Site]:
        """One on each replica, for problems that are searched with these options.

        # Errors
        `InputError` for a strategy that needs an embedder where none is loaded.
        """
        ...


class LocalSites:
    """On engines in this process."""

    def __init__(self, engines: Sequence[Engines], belongings: Belongings) -> None:
        self.names = names_of(engines)
        self.patience = patience_of(engines)
        self._engines = engines
        self._has = belongings

    async def started(self) -> None:
        """As `Sites.started`."""
        for engines in self._engines:
            await engines.started()

    async def until_lost(self) -> str:
        """As `Sites.until_lost`."""
        return "; ".join([await engines.until_lost() for engines in self._engines])

    def of(self, options: SearchOptions) -> list[Site]:
        """As `Sites.of`."""
        if options.strategy.needs_embeddings and self._engines[0].embedder is None:
            raise InputError(
                f"strategy {options.strategy!r} needs an embedder, and the search beside which "
                "this one is has loaded none: make that one with a strategy that needs it"
            )
        rules = Rules.of(options, self._engines)
        return [LocalSite(each, rules, self._has) for each in self._engines]


class WorkerSites:
    """On those of worker processes."""

    patience = 0.0  # they are waited for as long as they are started again

    def __init__(self, workers: Sequence[Worker], belongings: Belongings) -> None:
        self.names = [worker.name for worker in workers]
        self._workers = workers
        self._has = belongings

    async def started(self) -> None:
        """As `Sites.started`."""
        for worker in self._workers:
            await worker.ready()

    async def until_lost(self) -> str:
        """As `Sites.until_lost`: never, they are started again."""
        never: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        return await never

    def of(self, options: SearchOptions) -> list[Site]:
        """As `Sites.of`."""
        return [WorkerSite(worker, options, self._has) for worker in self._workers]


def in_workers(sites: Sequence[Site]) -> list[WorkerSite]:
    """Those that are in workers."""
    return [site for site in sites if isinstance(site, WorkerSite)]
