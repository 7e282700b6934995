"""The search of one problem against engines: asks become samples, scores and embeddings."""

from __future__ import annotations

import asyncio
import inspect
import math
import time
from collections.abc import AsyncGenerator, Coroutine
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from ets._core import Interrupt
from ets.engines.protocols import PRM, Embedder, InstantEmbedder, Policy
from ets.engines.values import awaitable, checked_embedding, checked_score, checked_step
from ets.errors import ContextError, EngineLostError
from ets.loop.call import cancel
from ets.loop.engine_call import EngineCall
from ets.loop.workers import Threads
from ets.search.arrivals import Arrivals
from ets.search.budget import Budget, Spent
from ets.search.busy import BusyTime
from ets.search.kv_budgets import Gate, KVPart
from ets.search.options import RequestOrder
from ets.search.saved_tree import prefix_of
from ets.search.usage import StepUsage, Usage
from ets.step import Prefix, Score, Step
from ets.tree.seeds import child_seed
from ets.tree.trajectory import Limit
from ets.tree_search.search import Ask, Child, Event, TreeSearch

T = TypeVar("T")
U = TypeVar("U")

EngineLost = Literal["engine_lost"]
"""What `SearchResult.end` says of a search that ended with its engine."""


@dataclass(frozen=True, slots=True)
class Engines:
    """What a rollout calls; `embedder` is None where the strategy needs no embeddings."""

    policy: Policy
    prm: PRM
    embedder: Embedder | None

    async def started(self) -> None:
        """Wait for those that start in the background, as ours on vLLM do.

        # Errors
        `EngineError` of one that does not start.
        """
        for engine in (self.policy, self.prm, self.embedder):
            ready = getattr(engine, "ready", None)
            if inspect.iscoroutinefunction(ready):  # any object can be an engine here
                with EngineCall(engine):
                    await ready()


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How far and how eagerly a rollout goes; `ets.Search` has the same arguments."""

    max_step_tokens: int
    budget: Budget = field(default_factory=Budget)
    straggler: float = 0.0
    reads_thoughts: bool = True
    request_order: RequestOrder = "tree"


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


class _Spend:
    """Takes children out of the tokens that are left; True with the one that uses them up."""

    def __init__(self, tokens: float) -> None:
        self._left = tokens

    def __call__(self, made: Made) -> bool:
        self._left -= made.child.tokens
        return self._left <= 0


class Rollout:
    """One problem's search: drives a `TreeSearch` until it ends.

    Decisions are made in `threads`; `mark` is that of the loop which this runs on. `prefixes` are
    those of the nodes that the tree asks to continue and of the root, by node.
    """

    def __init__(
        self,
        engines: Engines,
        tree: TreeSearch,
        prefixes: dict[int, Prefix],
        pace: Pace,
        threads: Threads,
        kv: KVPart,
        *,
        mark: object = None,
    ) -> None:
        self.tree = tree
        self.usage = Usage()
        self.lost: EngineLostError | None = None
        """The loss of an engine that ended the search, with what was completed by then."""
        self._engines = engines
        self._pace = pace
        self._threads = threads
        self._mark = mark
        self._kv = kv
        embedder = engines.embedder
        self._vector = embedder.vector if isinstance(embedder, InstantEmbedder) else None
        self._embedding_length: int | None = None
        self._prefixes = prefixes
        self._place: dict[int, int] = {}  # of the last step's parents, in the order of their paths
        self._sampled = 0
        self._scored = 0
        self._sampling, self._scoring = BusyTime(), BusyTime()
        self._begin = time.perf_counter()

    async def events(self) -> AsyncGenerator[Event, None]:
        """Search to the end, yielding what a decision brought before its samples are begun.

        # Errors
        Those of the engines; `EngineLostError` only where no trajectory is completed by then.
        """
        shown = 0
        while True:
            while shown < len(self.tree.events):
                yield self.tree.events[shown]
                shown += 1
            asks = self.tree.ask()
            if not asks:
                return
            spent: Spent | EngineLost | None = self._spent()
            if spent is None:
                made, spent = await self._expand(asks)
                cut = len(made) < sum(ask.n for ask in asks)
                with EngineCall(self.tree.strategy, self._mark):
                    await self._decide(made, spent, cut)
                if made:
                    self._keep_prefixes(made)
                if self.lost is not None and not self.tree.trajectories:
                    raise self.lost
            else:
                self.tree.stop(spent)

    def _keep_prefixes(self, made: list[Made]) -> None:
        """Those of the newest nodes, as far as they were made here, and the root's."""
        nodes = self.tree.nodes
        places: dict[tuple[int, int | None], int] = {
            (nodes.parent[node], nodes.index[node]): node for node in nodes.levels[-1]
        }
        self._prefixes = {
            0: self._prefixes[0],
            **{places[m.child.parent, m.child.index]: m.prefix for m in made},
        }

    def _prefix(self, node: int) -> Prefix:
        return prefix_of(node, self.tree, self._prefixes, self._engines.policy)

    def _spent(self) -> Spent | None:
        """The budget that is used up."""
        budget = self._pace.budget
        if budget.tokens is not None and self._sampled >= budget.tokens:
            return "token_budget"
        if budget.prm_calls is not None and self._scored >= budget.prm_calls:
            return "prm_budget"
        return "time_budget" if self.seconds_left() <= 0 else None

    def seconds_left(self) -> float:
        """Of the budget; infinite without one."""
        seconds = self._pace.budget.seconds
        return math.inf if seconds is None else self._begin + seconds - time.perf_counter()

    async def _expand(self, asks: list[Ask]) -> tuple[list[Made], Spent | EngineLost | None]:
        """Children in the order of the asks, and what ended the search before all of them came."""
        budget = self._pace.budget
        asked = [
            Wanted(ask.node, index, seed)
            for ask in asks
            for index, seed in zip(ask.indices, ask.seeds, strict=True)
        ]
        wanted = asked
        if budget.prm_calls is not None:
            wanted = asked[: budget.prm_calls - self._scored]
        gate = self._kv.gate()
        left = math.inf if budget.tokens is None else budget.tokens - self._sampled
        usage = self.usage.at(self.tree.depth + 1)
        arrivals = Arrivals(
            [partial(self._make, want, usage, gate) for want in wanted],
            self._start_order(wanted),
            # Less a rounding error, so that a tenth of 10 is 1.
            enough=math.ceil((1 - self._pace.straggler) * len(wanted) - 1e-9),
            spend=_Spend(left),
        )
        made = list((await arrivals.wait(self.seconds_left())).values())
        self._sampled += sum(m.child.tokens for m in made)
        self._scored += len(made)
        self.usage.given_up += len(wanted) - len(made)
        self.usage.policy_seconds = self._sampling.seconds
        self.usage.prm_seconds = self._scoring.seconds
        if (lost := arrivals.lost) is not None:
            self.lost = lost
            return made, "engine_lost"
        return made, self._spent() if len(made) < len(asked) else None

    def _start_order(self, wanted: list[Wanted]) -> list[int]:
        positions = range(len(wanted))
        if self._pace.request_order == "best_first":
            return list(positions)
        # All are of one depth, so that paths are in the order of the parents' paths, then of ids.
        above = self.tree.nodes.parent
        parents = {want.parent for want in wanted}
        ordered = sorted(parents, key=lambda node: (self._place.get(above[node], 0), node))
        self._place = {node: at for at, node in enumerate(ordered)}
        return sorted(positions, key=lambda at: self._place[wanted[at].parent])

    async def _decide(self, made: list[Made], spent: Spent | EngineLost | None, cut: bool) -> None:
        """Decide the step, in a thread: selection and clustering release the GIL, so that other
        problems' engines stay fed. They end with this search, and with its time."""
        interrupt = Interrupt()
        left = self.seconds_left()
        timer = (
            asyncio.get_running_loop().call_later(max(0.0, left), interrupt.set)
            if math.isfinite(left)
            else None
        )
        try:
            await self._threads.run(self._tell, made, spent, cut, interrupt)
        finally:
            interrupt.set()
            if timer is not None:
                timer.cancel()

    def _tell(
        self,
        made: list[Made],
        spent: Spent | EngineLost | None,
        cut: bool,
        interrupt: Interrupt,
    ) -> None:
        """Decide the step; `cut` if not all of its children came."""
        self.tree.interrupt = interrupt
        try:
            self.tree.tell(m.child for m in made)
            if spent is not None:
                self.tree.stop(spent)
            elif cut:
                self.tree.close_step()
        finally:
            self.tree.interrupt = None

    async def _make(self, want: Wanted, usage: StepUsage, gate: Gate | None) -> Made:
        if gate is None:
            step = await self._sample(want)
        else:
            async with gate():
                step = await self._sample(want)
        usage.add_step(step)
        prefix = self._prefix(want.parent).extend(step)
        tokens = len(step.token_ids)
        cut: Limit | None = "context" if step.finish == "context" else None
        # A policy that writes nothing would write nothing again.
        finished = cut is None and (step.finished or tokens == 0)
        ends = finished or cut is not None
        embedder = self._engines.embedder
        embedding: NDArray[np.float32] | None = None
        if embedder is None or not self.tree.needs_embedding(want.parent, tokens, ends):
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
        )
        return Made(prefix, child)

    async def _sample(self, want: Wanted) -> Step:
        """The next step. Thoughts that the PRM does not read make one with what follows them, since
        there is nothing to choose by before that."""
        prefix = self._prefix(want.parent)
        step = await self._sample_one(prefix, want.seed)
        left = self.tree.max_tokens - self.tree.nodes.total[want.parent]
        part = 0
        while (
            not self._pace.reads_thoughts
            and step.thinking
            and not step.answer_text.strip()
            and step.finish in ("step", "length")
            and len(step.token_ids) < left
        ):
            seed = child_seed(want.seed, part)
            step = step.then(await self._sample_one(prefix.extend(step), seed))
            part += 1
        return step

    async def _sample_one(self, prefix: Prefix, seed: int) -> Step:
        """What the policy writes; nothing where the solution is longer than it can read."""
        with self._sampling, EngineCall(self._engines.policy, self._mark):
            try:
                policy = self._engines.policy
                asked = policy.sample(prefix, seed=seed, max_tokens=self._pace.max_step_tokens)
                return checked_step(await awaitable(asked, policy, "sample"), policy)
            except ContextError:
                return Step("", (), "context")

    async def _score(self, prefix: Prefix) -> Score | None:
        """The verdict; None where the solution is longer than the PRM can read."""
        with self._scoring, EngineCall(self._engines.prm, self._mark):
            try:
                read = prefix if self._pace.reads_thoughts else prefix.without_thoughts()
                prm = self._engines.prm
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
