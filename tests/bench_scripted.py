"""`ets bench` over scripted engines: a program to run, and to kill.

Answers come from seeds alone, so an undisturbed run and one that was killed many times must have
the same rows. A sample takes about a millisecond, so that there is a moment to kill it in.

With a problem in `SCRIPTED_LOSS` the policy is lost behind the third step of it; in the folder
`SCRIPTED_SEEN` each process that samples leaves a file with its number as name.
"""

from __future__ import annotations

import asyncio
import os
import random
import zlib
from pathlib import Path
from typing import Any

import ets.bench.engines
from ets.cli.main import main
from ets.errors import EngineError, EngineLostError
from ets.step import Prefix, Score, Step
from scripted_engines import ScriptedEmbedder, ScriptedPolicy


class Policy(ScriptedPolicy):
    """Takes a moment for every step, the longer the later."""

    async def sample(self, prefix: Prefix, *, seed: int, max_tokens: int) -> Step:
        if prefix.problem == os.environ.get("SCRIPTED_LOSS") and len(prefix.steps) >= 3:
            raise EngineLostError("the server has gone")
        if folder := os.environ.get("SCRIPTED_SEEN"):
            (Path(folder) / str(os.getpid())).touch()
        await asyncio.sleep(random.random() * 0.002)
        return await super().sample(prefix, seed=seed, max_tokens=max_tokens)


class PRM:
    """Rewards that depend on the text of the solution, as a model's do."""

    async def score(self, prefix: Prefix) -> Score:
        text = prefix.problem + "".join(step.text for step in prefix.steps)
        return Score(zlib.crc32(text.encode()) % 101 / 101, 10, 2)

    async def aclose(self) -> None:
        """Nothing to free."""


def load_policy(policy: str, **options: Any) -> Policy:
    return Policy()


def load_prm(prm: str, **options: Any) -> PRM:
    if prm == "broken":
        raise EngineError("the PRM is broken")
    return PRM()


def load_embedder(embedder: str, **options: Any) -> ScriptedEmbedder:
    return ScriptedEmbedder()


# Not below: the processes of `--workers` import this file too.
_ENGINES: Any = ets.bench.engines
_ENGINES.load_policy = load_policy
_ENGINES.load_prm = load_prm
_ENGINES.load_embedder = load_embedder

if __name__ == "__main__":
    main()
