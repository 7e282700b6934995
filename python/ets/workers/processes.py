"""Workers of this host: how many, and on which devices."""

from __future__ import annotations

import os
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ets.checks import check_text, checked_count, shown
from ets.errors import InputError
from ets.workers.load import Load
from ets.workers.patience import Patience
from ets.workers.worker import Worker

_GPUS = "CUDA_VISIBLE_DEVICES"


@dataclass(frozen=True)
class Workers:
    """Processes of this host, each with a policy, a PRM and an embedder of its own.

    What `ets.Search` takes as `workers`. They are started by spawning, so a script that has any
    does its work below `if __name__ == "__main__":`, and an engine that is given as an object must
    be of a module that they can import. A process that dies or hangs is started again.

    # Errors
    `InputError` for a value out of range, or not as many `devices` as workers.
    """

    count: int
    """Processes, >= 1."""
    devices: Sequence[int | str | Sequence[int | str]] | None = None
    """For each worker the GPU or GPUs that it may see, as in `CUDA_VISIBLE_DEVICES`. None: those
    that this process may see, divided evenly where that can be; else all see all."""
    env: Mapping[str, str] | None = None
    """Variables of the environment of each, behind what a script's main module imports there."""
    hang_seconds: float = 60.0
    """How long a worker may give no sign of life, > 0; one comes every second."""
    start_seconds: float = 1800.0
    """How long its engines may take to load, > 0."""
    restarts: int = 3
    """How often in a row it is started again with no step completed in between, >= 0."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "count", checked_count("count", self.count))
        object.__setattr__(self, "restarts", self._patience.restarts)
        if self.env is not None:
            if not isinstance(self.env, Mapping):
                raise InputError(f"env must be a mapping of texts, got {shown(self.env)}")
            for name, value in self.env.items():
                check_text("name of env", name)
                check_text(f"env[{name!r}]", value)
        if self.devices is not None:
            if isinstance(self.devices, str) or not isinstance(self.devices, Sequence):
                raise InputError(
                    f"devices must be a list, one entry a worker, got {shown(self.devices)}"
                )
            if len(self.devices) != self.count:
                raise InputError(
                    f"devices must have one entry for each of the {self.count} workers, got "
                    f"{len(self.devices)}"
                )
            for at, device in enumerate(self.devices):
                _visible(f"devices[{at}]", device)

    def start(self, load: Load) -> list[Worker]:
        """Begin to start them, side by side; each calls `load` for its engines."""
        # Processes are not everyone's: importing them takes a while.
        from ets.workers.process import ProcessWorker

        packed, patience = pickle.dumps(load, pickle.HIGHEST_PROTOCOL), self._patience
        return [
            ProcessWorker(f"worker {number + 1}", packed, self._environment(number), patience)
            for number in range(self.count)
        ]

    @property
    def _patience(self) -> Patience:
        return Patience(self.hang_seconds, self.start_seconds, self.restarts)

    def _environment(self, number: int) -> dict[str, str]:
        # As many threads in all as there are cores.
        threads = max(1, (os.cpu_count() or 1) // self.count)
        found = {} if "OMP_NUM_THREADS" in os.environ else {"OMP_NUM_THREADS": str(threads)}
        if self.devices is not None:
            found[_GPUS] = _visible(f"devices[{number}]", self.devices[number])
        else:
            gpus = visible_gpus()
            each, left = divmod(len(gpus), self.count)
            if each and not left:
                found[_GPUS] = ",".join(gpus[number * each : (number + 1) * each])
        return {**found, **(self.env or {})}


def visible_gpus(devices: Path = Path("/dev")) -> list[str]:
    """NVIDIA's GPUs that this process may use, as `CUDA_VISIBLE_DEVICES` names them.

    Without the variable CUDA numbers those whose files (`/dev/nvidia0`, ...) are there, from 0.
    """
    named = os.environ.get(_GPUS)
    if named is not None:
        return [gpu.strip() for gpu in named.split(",") if gpu.strip()]
    return [str(number) for number, _ in enumerate(devices.glob("nvidia[0-9]*"))]


def _visible(name: str, device: object) -> str:
    """A worker's entry of `devices`, as the variable has it."""
    every = [device] if isinstance(device, int | str) else device
    if not isinstance(every, Sequence) or not every:
        raise InputError(f"{name} must be a GPU or a list of them, got {shown(device)}")
    for one in every:
        if isinstance(one, bool) or not isinstance(one, int | str):
            raise InputError(f"{name} must be a GPU or a list of them, got {shown(device)}")
        if isinstance(one, int) and one < 0:
            raise InputError(f"{name} must be a GPU >= 0, got {one}")
    return ",".join(map(str, every))
