"""The search of one problem against engines: asks become samples, scores and embeddings."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, Coroutine, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ets.embed import Embedder
from ets.errors import EngineError
from ets.policy import Policy
from ets.prm import PRM
from ets.results import Usage
from ets.step import Prefix, Score, Step
from ets.tree_search import Ask, Child, Event, TreeSearch

T = TypeVar("T")

REWARD_DECIMALS = 6
"""Rewards are rounded to this many decimals: far below what a PRM means, far above what the make-up
of a batch changes in fp32, so that equal texts tie and a search does not depend on its company."""


@dataclass(frozen=True, slots=True)
class Engines:
    """What a rollout calls; `embedder` is None where the strategy needs no embeddings."""

    policy: Policy
    prm: PRM
    embedder: Embedder | None


class Rollout:
    """One problem's search: drives a `TreeSearch` until it ends."""

    def __init__(
        self, engines: Engines, tree: TreeSearch, root: Prefix, *, max_step_tokens: int
    ) -> None:
        self.tree = tree
        self.usage = Usage()
        self._engines = engines
        self._max_step_tokens = max_step_tokens
        self._prefixes = {0: root}

    async def events(self) -> AsyncGenerator[Event, None]:
        """Search to the end, yielding each event once the step it belongs to is decided."""
        shown = 0
        while asks := self.tree.ask():
            prefixes, children = await self._expand(asks)
            # Selection and clustering release the GIL: other problems' engines stay fed meanwhile.
            await asyncio.to_thread(self.tree.tell, children)
            self._prefixes = dict(zip(self.tree.nodes.levels[-1], prefixes, strict=True))
            while shown < len(self.tree.events):
                yield self.tree.events[shown]
                shown += 1

    async def _expand(self, asks: list[Ask]) -> tuple[list[Prefix], list[Child]]:
        """Every child asked for, in the order of the asks."""
        made = await _gather(
            [
                self._child(ask.node, index, seed)
                for ask in asks
                for index, seed in zip(ask.indices, ask.seeds, strict=True)
            ]
        )
        return [prefix for prefix, _ in made], [child for _, child in made]

    async def _child(self, parent: int, index: int, seed: int) -> tuple[Prefix, Child]:
        prefix = self._prefixes[parent]
        engines = self._engines
        step = await engines.policy.sample(prefix, seed=seed, max_tokens=self._max_step_tokens)
        self.usage.add_step(self.tree.nodes.depth[parent] + 1, step)
        prefix = prefix.extend(step)
        score, embedding = await asyncio.gather(
            engines.prm.score(prefix), self._embed(parent, step)
        )
        self.usage.add_score(self.tree.nodes.depth[parent] + 1, score)
        child = Child(
            parent=parent,
            index=index,
            tokens=len(step.token_ids),
            reward=_checked(score, engines.prm),
            finished=step.finished,
            text=step.text,
            embedding=embedding,
        )
        return prefix, child

    async def _embed(self, parent: int, step: Step) -> NDArray[np.float32] | None:
        embedder = self._engines.embedder
        needed = self.tree.needs_embedding(parent, len(step.token_ids), step.finished)
        return await embedder.embed(step.text) if needed and embedder is not None else None


def _checked(score: Score, prm: PRM) -> float:
    reward = score.reward
    if not (math.isfinite(reward) and -1e-6 <= reward <= 1 + 1e-6):
        raise EngineError(f"{type(prm).__name__} gave the reward {reward}; it must lie in [0, 1]")
    return min(1.0, max(0.0, round(reward, REWARD_DECIMALS)))


async def _gather(coroutines: list[Coroutine[Any, Any, T]]) -> list[T]:
    """All results; the first failure, or a cancellation, cancels the rest and waits for them."""
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    try:
        return await asyncio.gather(*tasks)
    finally:
        await cancel(tasks)


async def cancel(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel what still runs of `tasks` and wait until it has stopped."""
    running = [task for task in tasks if not task.done()]
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
