"""Engines that follow a script, for the unit tests of the search alone; no model runs here."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ets.step import Prefix, Score, Step


@dataclass
class ScriptedPolicy:
    """Writes steps that are a pure function of the seed; the answer is one of a few numbers.

    Samples take a random moment, so that they come back in another order every time.
    """

    slow: bool = True
    running: int = 0
    most: int = 0
    cancelled: int = 0
    started: list[str] = field(default_factory=list)
    closed: int = 0

    def start(self, problem: str) -> Prefix:
        self.started.append(problem)
        return Prefix(problem=problem, prompt_tokens=5, token_ids=(1, 2, 3, 4, 5))

    async def sample(self, prefix: Prefix, *, seed: int, max_tokens: int) -> Step:
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            if self.slow:
                await asyncio.sleep(random.random() * 0.004)
            draw = random.Random(seed)
            ids = tuple(draw.randrange(100) for _ in range(draw.randrange(1, max_tokens + 1)))
            if len(prefix.steps) >= 2 and draw.random() < 0.5:
                return Step(f"The answer is {draw.randrange(3)}.", ids, "answer", len(ids), 2)
            return Step(f"thought {draw.randrange(6)}\n\n", ids, "step", len(ids), 2)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.running -= 1

    async def aclose(self) -> None:
        self.closed += 1


@dataclass
class ScriptedPRM:
    """Rewards that depend on the ids of the last step alone."""

    closed: int = 0

    async def score(self, prefix: Prefix) -> Score:
        await asyncio.sleep(0)
        reward = (sum(prefix.steps[-1].token_ids) % 101) / 101
        return Score(reward, prompt_tokens=10 * len(prefix.steps), cached_tokens=10)

    async def aclose(self) -> None:
        self.closed += 1


@dataclass
class ScriptedEmbedder:
    """One direction for each of the six thoughts."""

    texts: list[str] = field(default_factory=list)
    closed: int = 0

    async def embed(self, text: str) -> NDArray[np.float32]:
        self.texts.append(text)
        vector = np.full(6, 0.01, dtype=np.float32)
        vector[int(text.split()[1])] = 1.0
        return vector

    async def aclose(self) -> None:
        self.closed += 1
