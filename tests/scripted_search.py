"""Searches over scripted engines, and what their tests wait with; no model runs here."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ets
from ets.step import Prefix, Step
from scripted_engines import ScriptedEmbedder, ScriptedPolicy, ScriptedPRM

PROBLEMS = [f"problem {i}" for i in range(12)]


def search(
    strategy: Any = None,
    *,
    policy: Any = None,
    prm: Any = None,
    embedder: Any = None,
    **options: Any,
) -> ets.Search:
    return ets.Search(
        policy=policy or ScriptedPolicy(),
        prm=prm or ScriptedPRM(),
        strategy=strategy or ets.REBASE(width=8),
        embedder=embedder or ScriptedEmbedder(),
        max_step_tokens=12,
        **options,
    )


def outcome(result: ets.SearchResult) -> tuple[Any, ...]:
    """All of a result but the time that it took."""
    return result.tree.to_json(), result.answer, result.votes, result.trajectories


class Stuck(ScriptedPolicy):
    """Never answers: to the one problem that is named, or else to none."""

    def __init__(self, problem: str | None = None) -> None:
        super().__init__()
        self.problem = problem

    async def sample(self, prefix: Prefix, *, seed: int, max_tokens: int) -> Step:
        if self.problem not in (None, prefix.problem):
            return await super().sample(prefix, seed=seed, max_tokens=max_tokens)
        self.running += 1
        try:
            await asyncio.sleep(1000)
        finally:
            self.running -= 1
        raise RuntimeError("not reached")


def until(condition: Callable[[], bool]) -> None:
    """Wait for what other threads do."""
    deadline = time.monotonic() + 30
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.005)
    assert condition()


def script(text: str, **more: Any) -> subprocess.CompletedProcess[str]:
    """Run a program of its own, with the scripted engines at hand."""
    head = "import sys, ets\nfrom scripted_search import Stuck, search, until\n"
    return subprocess.run(
        [sys.executable, "-c", head + textwrap.dedent(text)],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=Path(__file__).parent,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
        check=False,
        **more,
    )
