"""The Ray cluster that this process is connected to, and what it can have."""

from __future__ import annotations

import logging
import math
import socket
from collections.abc import Mapping
from typing import Any

from ets.errors import EngineError, InputError
from ets.extras import needs

_REACH = 10.0
"""Seconds for a cluster's head to take a connection."""


def connect(address: str | None) -> Any:
    """The module `ray`, connected: to what it is connected to already, else to `address`.

    # Errors
    `InputError` for an address that nobody can be reached at, or that is not the one that this
    process is connected to; `MissingExtraError` without Ray.
    """
    with needs("ray", "ray"):
        import ray
        from ray.util.client import ray as client
    # Ray Client carries no streams, and a problem comes back step by step.
    if client.is_connected() or str(address).startswith("ray://"):
        raise InputError(
            "address must be that of a Ray cluster that this host is part of, as 'auto' or "
            f"HOST:PORT, not one through Ray Client, got {address!r}: start the program on the "
            "cluster, with `ray job submit` perhaps"
        )
    if ray.is_initialized():
        there = ray.get_runtime_context().gcs_address
        if address not in (None, "auto", there):
            raise InputError(
                f"address must be None or {there!r}, which this process is connected to, got "
                f"{address!r}"
            )
        return ray
    _reach(address)
    try:
        # What engines print is in the files of the session, and not between what a user reads.
        ray.init(
            address=address,
            log_to_driver=False,
            logging_level=logging.ERROR,
            **({"include_dashboard": False} if address is None else {}),
        )
    except Exception as error:  # Ray raises just that, too
        words = " ".join(str(error).split())
        if address is None:
            raise EngineError(f"Ray does not start on this host: {words}") from error
        raise InputError(f"address: no Ray cluster at {address!r}: {words}") from error
    return ray


def _reach(address: str | None) -> None:
    """Ray itself tries for minutes where nobody answers."""
    host, colon, port = str(address).rpartition(":")
    if not colon or not port.isdecimal():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), _REACH).close()
    except (OSError, OverflowError) as error:
        raise InputError(f"address: no Ray cluster at {address!r}: {error}") from error


def check_room(ray: Any, count: int, each: Mapping[str, float]) -> None:
    """Check that so many workers with so much of each resource fit on the nodes, were they empty.

    # Errors
    `InputError` that says how many do.
    """
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    needed = {name: amount for name, amount in each.items() if amount > 0}
    fit = sum(
        min((math.floor(node.get(name, 0) / each) for name, each in needed.items()), default=count)
        for node in nodes
    )
    if fit >= count:
        return
    wanted = ", ".join(f"{amount:g} {name}" for name, amount in needed.items())
    there = ", ".join(f"{sum(node.get(name, 0) for node in nodes):g} {name}" for name in needed)
    raise InputError(
        f"count must be at most {fit}, got {count}: each worker needs {wanted}, and the Ray "
        f"cluster has {there} on {len(nodes)} nodes"
    )
