"""What several tests on real vLLM engines do."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ets
from ets import demo
from ets.step import Prefix, Step

if TYPE_CHECKING:
    from ets.engines.protocols import Policy

BLOCK = 32
"""Tokens per cache block that the backend asks for on a CPU."""
PROBLEM = "Tom has 12 apples and buys 35 more. Ann gives 4 apples to Tom. How many apples now? " * 2


async def sample_all(policy: Policy, prefixes: list[Prefix], *, tokens: int = 48) -> list[Step]:
    """One step after each prefix, all at once; the seed is the position."""
    return await asyncio.gather(
        *(policy.sample(p, seed=i, max_tokens=tokens) for i, p in enumerate(prefixes))
    )


def search(problem: str = str(demo.problems()[2]["problem"]), **arguments: Any) -> ets.SearchResult:
    """One search, which leaves the engines that it is given open."""
    with ets.Search(**arguments) as opened:
        return opened.solve(problem)


def remove_log(error: str) -> None:
    """The folder of the log that an engine's last words name, and never any other folder."""
    _, named, path = error.rpartition("its log is ")
    folder = Path(path).parent
    assert named
    assert folder.is_absolute()
    assert folder.name.startswith("ets-vllm-"), error
    shutil.rmtree(folder)
