"""Workers on a Ray cluster, and batch inference over a Ray Dataset; needs the extra `ray`."""

from ets.ray.batches import BatchSearch
from ets.ray.fleet import RayWorkers

__all__ = ["BatchSearch", "RayWorkers"]
