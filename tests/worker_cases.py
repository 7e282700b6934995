"""What tests of searches in workers share, whatever the workers are."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import ets
from ets.rollout.result import SearchResult
from ets.workers.site import WorkerSite
from ets.workers.worker import Worker
from scripted_engines import ScriptedEmbedder, ScriptedPolicy, ScriptedPRM

PROBLEMS = [f"problem {i}" for i in range(10)]
STRATEGY = ets.ETS(width=6, lambda_b=1.0)


def search(**more: Any) -> ets.Search:
    """One on scripted engines, in this process unless `workers` are given."""
    arguments = {"prm": ScriptedPRM(), "embedder": ScriptedEmbedder(), "max_step_tokens": 20}
    return ets.Search(
        more.pop("policy", ScriptedPolicy()),
        strategy=STRATEGY,
        **{**arguments, "max_tokens": 200, **more},
    )


def told(result: SearchResult) -> Any:
    """All of a result but times, and where it was."""
    found = result.to_dict()
    for name in ("seconds", "policy_seconds", "prm_seconds", "replicas"):
        del found["usage"][name]
    return found, result.tree.to_json()


def all_of(results: Sequence[SearchResult]) -> list[Any]:
    return [told(result) for result in results]


def worker_at(found: ets.Search, number: int = 0) -> Worker:
    """The worker behind a search's replica."""
    site = found.replicas[number].site
    assert isinstance(site, WorkerSite)
    return site.worker


def eventually(true: Callable[[], bool], seconds: float = 120.0) -> bool:
    """Whether something comes true; so long only where it does not."""
    deadline = time.monotonic() + seconds
    while not true() and time.monotonic() < deadline:
        time.sleep(0.02)
    return true()


def runs(pid: int | None) -> bool:
    """Whether a process is there, and no zombie."""
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
