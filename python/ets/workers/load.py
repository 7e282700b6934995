"""What a worker makes its engines of."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from typing import Protocol

from ets.errors import InputError
from ets.rollout.belongings import Closes
from ets.rollout.engines import Engines
from ets.rollout.options import SearchOptions


class Load(Protocol):
    """Makes a worker's engines, in the worker; it must pickle."""

    def __call__(self, owned: list[Closes], /) -> Engines:
        """The engines; those that are to be closed at the worker's end are in `owned` at once."""
        ...


@dataclass(frozen=True, slots=True)
class OptionsEngines:
    """The engines that a search's options name, or copies of those that they hold.

    # Errors
    `InputError` where one is neither a name nor an object that pickles, and, in the worker, where
    the names stand for several engines of a kind.
    """

    options: SearchOptions

    def __post_init__(self) -> None:
        for name in ("policy", "prm", "embedder"):
            given = getattr(self.options, name)
            if isinstance(given, list | tuple):
                raise InputError(
                    f"{name} must be one, of which each worker has a copy, got {len(given)}"
                )
            try:
                pickle.dumps(given)
            except (TypeError, AttributeError, pickle.PickleError) as error:
                raise InputError(
                    f"{name} must be a name or an object that pickles, for each worker to load: "
                    f"{error}"
                ) from error

    def __call__(self, owned: list[Closes]) -> Engines:
        engines = Engines.load(self.options, owned)
        if len(engines) != 1:
            raise InputError(
                f"a worker has one policy and one PRM, the names stand for {len(engines)} "
                "replicas: give one address, and no data_parallel_size, to each"
            )
        return engines[0]
