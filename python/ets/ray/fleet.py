"""Workers on a Ray cluster: how many, and what each needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ets.checks import check_flag, check_number, check_text, checked_count, shown
from ets.errors import InputError
from ets.workers.load import Load
from ets.workers.patience import Patience
from ets.workers.worker import Worker


@dataclass(frozen=True)
class RayWorkers:
    """Ray actors, each with a policy, a PRM and an embedder of its own.

    What `ets.Search` takes as `workers`. Ray places them; every node needs the packages that this
    process has, in the same versions. An actor that dies or hangs is made again, wherever there is
    room. What engines print is in the files of Ray's session on their nodes. They end with their
    search, or with this process; the connection to the cluster stays.

    # Errors
    `InputError` for a value out of range.
    """

    count: int
    """Actors, >= 1."""
    address: str | None = None
    """The cluster: `auto` for the one that runs on this host or stands in `RAY_ADDRESS`, or the
    HOST:PORT of its head. None: what this process is connected to, else the same as `auto` if there
    is one, else a cluster of this host alone. Not `ray://`, which carries no streams."""
    num_cpus: float = 1.0
    """Cores that Ray counts for each, >= 0."""
    num_gpus: float = 0.0
    """GPUs that each sees, >= 0, a part of one perhaps."""
    resources: Mapping[str, float] | None = None
    """Custom resources of each, by name."""
    runtime_env: Mapping[str, Any] | None = None
    """Ray's `runtime_env` of each: variables, packages, folders."""
    autoscales: bool = False
    """Whether the cluster gets more nodes where it is asked for more than it has. Then workers wait
    for them; else what it cannot have is refused at once."""
    hang_seconds: float = 60.0
    """How long a worker may give no sign of life, > 0; one comes every second."""
    start_seconds: float = 1800.0
    """How long it may take to be placed and to load its engines, > 0."""
    restarts: int = 3
    """How often in a row it is started again with no step completed in between, >= 0."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "count", checked_count("count", self.count))
        if self.address is not None:
            check_text("address", self.address)
        for name in ("num_cpus", "num_gpus"):
            check_number(name, getattr(self, name), ">= 0", lambda x: x >= 0)
        for name in ("resources", "runtime_env"):
            given = getattr(self, name)
            if given is not None and not isinstance(given, Mapping):
                raise InputError(f"{name} must be a mapping, got {shown(given)}")
        for name, amount in (self.resources or {}).items():
            check_text("name of resources", name)
            check_number(f"resources[{name!r}]", amount, ">= 0", lambda x: x >= 0)
        check_flag("autoscales", self.autoscales)
        object.__setattr__(self, "restarts", self._patience.restarts)

    def start(self, load: Load) -> list[Worker]:
        """Connect to the cluster if nobody has, and begin to start them, side by side.

        # Errors
        `InputError` for a cluster that is not there or has no room for them; `MissingExtraError`
        without Ray.
        """
        # Ray is not everyone's.
        from ets.ray.cluster import check_room, connect

        ray = connect(self.address)
        from ets.ray.worker import Place, RayWorker

        resources = dict(self.resources or {})
        if not self.autoscales:
            needed = {"CPU": self.num_cpus, "GPU": self.num_gpus, **resources}
            check_room(ray, self.count, needed)
        options: dict[str, Any] = {
            "num_cpus": self.num_cpus,
            "num_gpus": self.num_gpus,
            "resources": resources,
        }
        if self.runtime_env is not None:
            options["runtime_env"] = dict(self.runtime_env)
        # By value where it is a script's own, which no other process can import.
        place = Place(options, ray.cloudpickle.dumps(load))
        return [
            RayWorker(f"worker {number + 1}", place, self._patience) for number in range(self.count)
        ]

    @property
    def _patience(self) -> Patience:
        return Patience(self.hang_seconds, self.start_seconds, self.restarts)
