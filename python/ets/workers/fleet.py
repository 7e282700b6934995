"""How many workers, and where: what a search is given, and the workers that come of it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from ets.checks import shown
from ets.errors import InputError
from ets.rollout.belongings import Closes
from ets.rollout.options import SearchOptions
from ets.workers.load import Load, OptionsEngines
from ets.workers.worker import Worker


@runtime_checkable
class Fleet(Protocol):
    """How many workers to have, and where: what `ets.Search` takes as `workers`."""

    def start(self, load: Load) -> Sequence[Worker]:
        """Begin to start them; each calls `load` for its engines.

        # Errors
        `InputError` for what this machine or cluster cannot have.
        """
        ...


@dataclass(frozen=True, slots=True)
class _Together:
    """Workers that are ended side by side."""

    workers: Sequence[Worker]

    async def aclose(self) -> None:
        await asyncio.gather(*(worker.aclose() for worker in self.workers))


def started(
    given: Fleet | Sequence[Worker], options: SearchOptions, owned: list[Closes]
) -> Sequence[Worker]:
    """The workers of a search: those that run already, or new ones, which are `owned`.

    # Errors
    `InputError` for what is neither; that of `Fleet.start`.
    """
    if isinstance(given, Fleet):
        workers = given.start(OptionsEngines(options))
        owned.append(_Together(workers))
        return workers
    if not isinstance(given, list | tuple) or not given:
        raise InputError(f"workers must be an ets.Workers or running workers, got {shown(given)}")
    for at, worker in enumerate(given):
        if not isinstance(worker, Worker):
            raise InputError(f"workers[{at}] must be a running worker, got {shown(worker)}")
    return given
