"""The workers of a benchmark: processes of this host, or actors of a Ray cluster."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from ets.bench.engines import GridEngines, numbered
from ets.engines.vllm.load import EngineLoad
from ets.errors import EngineLostError, InputError
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
        asyncio.run(_closed(self._workers))

    def forget_prefixes(self) -> None:
        """As `Engines.forget_prefixes`, in each that runs; one that is started anew has none."""
        asyncio.run(self._asked("forget_prefixes"))

    def loads(self) -> dict[str, EngineLoad]:
        """As `Engines.loads`, with numbers; nothing where no engine has any."""
        if not self._loads:
            return {}
        each = asyncio.run(self._asked("loads"))
        self._loads = any(each)
        return numbered([loads or {} for loads in each])

    async def _asked(self, method: str) -> list[Any]:
        """What each worker answers; None of those that are lost, or being started."""

        async def ask(worker: Worker) -> Any:
            with suppress(EngineLostError):
                return await worker.call(method)
            return None

        return await asyncio.gather(*map(ask, self._workers))


async def _closed(workers: Sequence[Worker]) -> None:
    await asyncio.gather(*(worker.aclose() for worker in workers))
