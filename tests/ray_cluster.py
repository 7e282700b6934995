"""A Ray cluster of this machine for tests: two cores, little memory, nothing on the screen."""

from __future__ import annotations

import importlib.util
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

MISSING = "Ray is not installed (the extra `ray`)"


def need_ray() -> None:
    """Skip, aloud, where Ray is not installed."""
    if importlib.util.find_spec("ray") is None:
        pytest.skip(MISSING, allow_module_level=True)


@contextmanager
def ray_cluster() -> Iterator[None]:
    """Connected to it; when it ends, so do its processes."""
    import ray

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")  # nothing goes to another host
        # Actors have the environment of the cluster's start, and import what tests import.
        patch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)
        patch.setenv("RAY_AUTH_MODE", "disabled")  # or a token is written into the home folder
        # Ray Serve gives its proxy five seconds to start, and kills it then.
        for check in ("READY", "HEALTH"):
            patch.setenv(f"RAY_SERVE_PROXY_{check}_CHECK_TIMEOUT_S", "300")
        _start(ray)
        try:
            yield
        finally:
            ray.shutdown()


def _start(ray: Any) -> None:
    """Ray waits half a minute for its own processes, which is not enough on a busy machine."""
    for left in (3, 2, 1, 0):
        try:
            ray.init(
                address="local",
                num_cpus=2,
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
                object_store_memory=80 * 2**20,
            )
        except Exception:  # noqa: PERF203  Ray raises just that
            ray.shutdown()
            if not left:
                raise
        else:
            return
