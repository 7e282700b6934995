"""The workers of a benchmark: processes of this host, or actors of a Ray cluster."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from typing import Any

from ets.bench.engines import GridEngines, numbered
from ets.engines.vllm.load import EngineLoad
from ets.errors import InputError
from ets.workers.fleet import Fleet
from ets.workers.processes import Workers
from ets.workers.worker import Worker


def fleet_of(count: int, ray: str | None, options: Mapping[str, Any]) -> Fleet:
    """So many workers; with `ray`, the address of a cluster, as actors there.

    `options` are those of `ets.Workers`, or of `ets.ray.RayWorkers`.

    # Errors
    `InputError` for an option that there is not, or out of range; `MissingExtraError` without Ray.
    """
    try:
        if ray is None:
            return Workers(count, **options)
        from ets.ray import RayWorkers

        return RayWorkers(count, address=ray, **options)
    except TypeError as error:
        raise InputError(f"worker_options: {error}") from error


class FleetEngines:
    """A grid's engines in workers, which `with` starts and ends."""

    def __init__(self, fleet: Fleet, of_grid: GridEngines) -> None:
        self._fleet, self._of_grid = fleet, of_grid
        self._workers: list[Worker] = []
        self._loads = True
        self.arguments: dict[str, Any] = {}
        """What an `ets.Search` is given."""

    def __enter__(self) -> FleetEngines:
        self._workers = list(self._fleet.start(self._of_grid))
        self.arguments = {"workers": self._workers}
        return self

    def __exit__(self, *exc: object) -> None:
        asyncio.run(_all(worker.aclose() for worker in self._workers))

    def forget_prefixes(self) -> None:
        """As `Engines.forget_prefixes`, in each that runs."""
        running = [worker for worker in self._workers if worker.is_ready]
        asyncio.run(_all(worker.call("forget_prefixes") for worker in running))

    def loads(self) -> dict[str, EngineLoad]:
        """As `Engines.loads`, with numbers; nothing where no engine has any."""
        if not self._loads:
            return {}
        running = [worker for worker in self._workers if worker.is_ready]
        each = asyncio.run(_all(worker.call("loads") for worker in running))
        self._loads = any(each)
        return numbered(each)


async def _all(calls: Any) -> list[Any]:
    waiting: list[Coroutine[Any, Any, Any]] = list(calls)
    return list(await asyncio.gather(*waiting))
