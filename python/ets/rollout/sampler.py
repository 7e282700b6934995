"""The continuations of one problem's tree: sampled, scored and embedded by the engines."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from ets.engines.protocols import Embedder, InstantEmbedder, JudgesSteps
from ets.engines.values import (
    awaitable,
    checked_embedding,
    checked_rewards,
    checked_score,
    checked_step,
)
from ets.engines.whole_answers import writes_whole_answers
from ets.errors import ContextError
from ets.loop.call import cancel
from ets.loop.engine_call import EngineCall
from ets.rollout.busy_time import BusyTime
from ets.rollout.engines import Engines
from ets.rollout.kv_budgets import Gate
from ets.rollout.saved_tree import prefix_of
from ets.rollout.usage import StepUsage, Usage
from ets.step import Finish, Prefix, Score, Step
from ets.tree.seeds import child_seed
from ets.tree.trajectory import Limit
from ets.tree_search.search import Child, TreeSearch

T = TypeVar("T")
U = TypeVar("U")
_CUTS: dict[Finish, Limit] = {"context": "context", "refused": "refused"}
_UNSCORED: tuple[Limit, ...] = ("prm_context", "refused")
"""What the PRM has not read."""


@dataclass(slots=True)
class Wanted:
    """One continuation that the search asks for."""

    parent: int
    index: int
    seed: int


class Made(NamedTuple):
    """One continuation as the engines gave it."""

    prefix: Prefix
    child: Child


class Sampler:
    """Makes the continuations that a tree asks for.

    `prefixes` are those of the nodes that the tree asks to continue and of the root, by node.
    `max_step_tokens` and `reads_thoughts` are as in `ets.policy.limits.Limits`; `mark` is that of
    the loop which this runs on; `before` is what the search asked for elsewhere.
    """

    def __init__(
        self,
        engines: Engines,
        tree: TreeSearch,
        prefixes: dict[int, Prefix],
        *,
        max_step_tokens: int,
        reads_thoughts: bool = True,
        mark: object = None,
        before: Usage | None = None,
    ) -> None:
        before = before or Usage()
        self.sampling = BusyTime(seconds=before.policy_seconds)
        self.scoring = BusyTime(seconds=before.prm_seconds)
        self._tree = tree
        self._prefixes = prefixes
        self._max_step_tokens = max_step_tokens
        self._reads_thoughts = reads_thoughts
        self._mark = mark
        self._embedding_length: int | None = None
        self.use(engines)

    @property
    def root(self) -> Prefix:
        """The empty solution."""
        return self._prefixes[0]

    def use(self, engines: Engines) -> None:
        """Go on with engines of the same models."""
        self._engines = engines
        embedder = engines.embedder
        self._vector = embedder.vector if isinstance(embedder, InstantEmbedder) else None
        self._whole = writes_whole_answers(engines.policy)

    async def make(self, want: Wanted, usage: StepUsage, gate: Gate | None) -> Made:
        """One continuation; its sample runs in a `gate`, where there is one.

        # Errors
        Those of the engines.
        """
        if gate is None:
            step = await self._sample(want)
        else:
            async with gate():
                step = await self._sample(want)
        usage.add_step(step)
        prefix = self.prefix(want.parent).extend(step)
        tokens = step.tokens
        cut = _CUTS.get(step.finish)
        if self._whole and step.finish == "length":
            cut = "max_tokens"
        # A policy that writes nothing would write nothing again.
        finished = cut is None and (step.finished or tokens == 0)
        ends = finished or cut is not None
        embedder = self._engines.embedder
        embedding: NDArray[np.float32] | None = None
        score: Score | None = None
        if cut == "refused":
            pass  # there is nothing to judge
        elif embedder is None or not self._tree.needs_embedding(want.parent, tokens, ends):
            score = await self._score(prefix)
        elif self._vector is not None:
            embedding = self._embedding(self._vector(step.text))
            score = await self._score(prefix)
        else:
            embedding, score = await _both(self._embed(embedder, step.text), self._score(prefix))
        if score is None:
            finished, cut, embedding = False, cut or "prm_context", None
        else:
            usage.add_score(score)
        child = Child(
            parent=want.parent,
            index=want.index,
            tokens=tokens,
            reward=0.0 if score is None else score.reward,
            finished=finished,
            cut=cut,
            text=step.text,
            embedding=embedding,
            certainty=step.certainty,
        )
        return Made(prefix, child)

    def judged(self, made: list[Made]) -> list[Child]:
        """The children of a step, beside each other where the PRM judges them so.

        # Errors
        `EngineError` where it gives other rewards than one in [0, 1] for each.
        """
        children, prm = [m.child for m in made], self._engines.prm
        if not isinstance(prm, JudgesSteps):
            return children
        told = [child.reward for child in children if child.cut not in _UNSCORED]
        rewards = iter(checked_rewards(prm.judge_step(told), len(told), prm))
        return [
            child if child.cut in _UNSCORED else replace(child, reward=next(rewards))
            for child in children
        ]

    def keep(self, made: list[Made]) -> None:
        """Keep the partial solutions of the newest nodes, as far as they were made here, and the
        root's; forget the others."""
        nodes = self._tree.nodes
        places: dict[tuple[int, int | None], int] = {
            (nodes.parent[node], nodes.index[node]): node for node in nodes.levels[-1]
        }
        self._prefixes = {
            0: self._prefixes[0],
            **{places[m.child.parent, m.child.index]: m.prefix for m in made},
        }

    def prefix(self, node: int) -> Prefix:
        """The partial solution that ends in a node which the tree asks to continue."""
        return prefix_of(node, self._tree, self._prefixes, self._engines.policy)

    async def _sample(self, want: Wanted) -> Step:
        """The next step. Thoughts that the PRM does not read make one with what follows them, since
        there is nothing to choose by before that."""
        prefix = self.prefix(want.parent)
        step = await self._sample_one(prefix, want.seed)
        left = self._tree.max_tokens - self._tree.nodes.total[want.parent]
        part = 0
        while (
            not (self._reads_thoughts or self._whole)
            and step.thinking
            and not step.answer_text.strip()
            and step.goes_on
            and len(step.token_ids) < left
        ):
            seed = child_seed(want.seed, part)
            step = step.then(await self._sample_one(prefix.extend(step), seed))
            part += 1
        return step

    async def _sample_one(self, prefix: Prefix, seed: int) -> Step:
        """What the policy writes; nothing where the solution is longer than it can read."""
        policy = self._engines.policy
        with self.sampling, EngineCall(policy, self._mark):
            try:
                asked = policy.sample(prefix, seed=seed, max_tokens=self._max_step_tokens)
                return checked_step(await awaitable(asked, policy, "sample"), policy)
            except ContextError:
                return Step("", (), "context")

    async def _score(self, prefix: Prefix) -> Score | None:
        """The verdict; None where the solution is longer than the PRM can read."""
        prm = self._engines.prm
        with self.scoring, EngineCall(prm, self._mark):
            try:
                read = prefix if self._reads_thoughts else prefix.without_thoughts()
                if self._whole:
                    read = read.parted(getattr(self._engines.policy, "delimiter", "\n\n"))
                return checked_score(await awaitable(prm.score(read), prm, "score"), prm)
            except ContextError:
                return None

    async def _embed(self, embedder: Embedder, text: str) -> NDArray[np.float32]:
        with EngineCall(embedder, self._mark):
            return self._embedding(await awaitable(embedder.embed(text), embedder, "embed"))

    def _embedding(self, given: object) -> NDArray[np.float32]:
        vector = checked_embedding(given, self._engines.embedder, self._embedding_length)
        self._embedding_length = len(vector)
        return vector


async def _both(one: Coroutine[Any, Any, T], other: Coroutine[Any, Any, U]) -> tuple[T, U]:
    """Both results; the first failure ends the other one."""
    first, second = asyncio.create_task(one), asyncio.create_task(other)
    try:
        await asyncio.wait([first, second], return_when=asyncio.FIRST_EXCEPTION)
        for task in (first, second):
            if task.done():
                task.result()
        return first.result(), second.result()
    finally:
        await cancel([first, second])
