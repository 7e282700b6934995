"""The search of one problem against engines: asks become continuations, step by step."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

from ets._core import Interrupt
from ets.errors import EngineError
from ets.loop.engine_call import EngineCall
from ets.loop.workers import Threads
from ets.rollout.arrivals import Arrivals
from ets.rollout.budget import Budget, Spent
from ets.rollout.carried import Carried
from ets.rollout.kv_budgets import KVPart
from ets.rollout.options import RequestOrder
from ets.rollout.sampler import Made, Sampler, Wanted
from ets.rollout.stay import Stay
from ets.rollout.usage import Usage
from ets.tree_search.search import Ask, Event, TreeSearch

EngineLost = Literal["engine_lost"]
"""What `SearchResult.end` says of a search that ended with its engine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How far and how eagerly a rollout goes; `ets.Search` has the same arguments."""

    budget: Budget = field(default_factory=Budget)
    straggler: float = 0.0
    request_order: RequestOrder = "tree"
    engine_timeout: float | None = None


class _Spend:
    """Takes children out of the tokens that are left; True with the one that uses them up."""

    def __init__(self, tokens: float) -> None:
        self._left = tokens

    def __call__(self, made: Made) -> bool:
        self._left -= made.child.tokens
        return self._left <= 0


class Rollout:
    """One problem's search: drives a `TreeSearch` until it ends, on one replica or several.

    Decisions are made in `threads`; `mark` is that of the loop which this runs on.
    """

    def __init__(
        self,
        tree: TreeSearch,
        sampler: Sampler,
        pace: Pace,
        threads: Threads,
        *,
        mark: object = None,
        carried: Carried | None = None,
    ) -> None:
        self.tree = tree
        self.usage = Usage() if carried is None else carried.usage
        self.lost: EngineError | None = None
        """The loss of an engine that ended the last `events`, and the search where `tree.end` says
        so: with what was completed by then."""
        self.sampler = sampler
        """Makes the continuations, with the engines of the replica that the problem is on."""
        self._pace = pace
        self._threads = threads
        self._mark = mark
        self._place: dict[int, int] = {}  # of the last step's parents, in the order of their paths
        self._shown = 0
        self._sampled = 0 if carried is None else carried.sampled
        self._scored = 0 if carried is None else carried.scored
        self._begin = time.perf_counter() - (0.0 if carried is None else carried.seconds)

    @property
    def ended(self) -> bool:
        """Whether the search is over."""
        return self.tree.end is not None

    @property
    def depth(self) -> int:
        """Complete steps."""
        return self.tree.depth

    @property
    def kv_tokens(self) -> int:
        """KV tokens that the tree kept at its last selection."""
        return self.tree.kv[-1].kv_after if len(self.tree.kv) else self.tree.prompt_tokens

    @property
    def seconds(self) -> float:
        """Since the search began, wherever it was."""
        return time.perf_counter() - self._begin

    def carried(self) -> Carried:
        """What another process needs in order to go on from here; between two steps."""
        wanted = [0, *(ask.node for ask in self.tree.ask())]
        return Carried(
            tree=self.tree,
            prefixes={node: self.sampler.prefix(node) for node in wanted},
            usage=self.usage,
            sampled=self._sampled,
            scored=self._scored,
            seconds=self.seconds,
        )

    async def events(self, stay: Stay, kv: KVPart) -> AsyncGenerator[Event, None]:
        """Search on, yielding what a decision brought before its samples are begun.

        To the end; or until an engine is lost, or the replica is drained, where the problem can go
        on elsewhere: `tree.end` is None then, the tree is as it was after its last complete step,
        and another call goes on from there.

        # Errors
        Those of the engines; `EngineLostError` only where no trajectory is completed by then.
        """
        self.lost = None
        while True:
            while self._shown < len(self.tree.events):
                self._shown += 1
                yield self.tree.events[self._shown - 1]
            asks = self.tree.ask()
            if not asks:
                return
            if stay.should_end():
                return
            spent: Spent | EngineLost | None = self._spent()
            if spent is None:
                begin = time.monotonic()
                made, spent = await self._expand(asks, kv)
                if self.lost is not None:
                    self.lost = stay.lose(self.lost)
                    if stay.can_end():
                        self.usage.given_up += len(made)
                        return
                self._sampled += sum(m.child.tokens for m in made)
                self._scored += len(made)
                cut = len(made) < sum(ask.n for ask in asks)
                with EngineCall(self.tree.strategy, self._mark):
                    await self._decide(made, spent, cut)
                if made:
                    self.sampler.keep(made)
                if self.lost is None:
                    stay.answered(begin, sum(m.child.tokens for m in made))
                elif not self.tree.trajectories:
                    raise self.lost
            else:
                self.tree.stop(spent)

    def give_up(self, error: EngineError) -> None:
        """End the search, as nobody is left to go on with it.

        # Errors
        `error`, where no trajectory is completed.
        """
        if not self.tree.trajectories:
            raise error
        self.lost = error
        self.tree.stop("engine_lost")

    def _spent(self, tokens: int = 0, scored: int = 0) -> Spent | None:
        """The budget that is used up, with so much more."""
        budget = self._pace.budget
        if budget.tokens is not None and self._sampled + tokens >= budget.tokens:
            return "token_budget"
        if budget.prm_calls is not None and self._scored + scored >= budget.prm_calls:
            return "prm_budget"
        return "time_budget" if self.seconds_left() <= 0 else None

    def seconds_left(self) -> float:
        """Of the budget; infinite without one."""
        seconds = self._pace.budget.seconds
        return math.inf if seconds is None else self._begin + seconds - time.perf_counter()

    async def _expand(
        self, asks: list[Ask], kv: KVPart
    ) -> tuple[list[Made], Spent | EngineLost | None]:
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
        gate = kv.gate()
        left = math.inf if budget.tokens is None else budget.tokens - self._sampled
        usage = self.usage.at(self.tree.depth + 1)
        arrivals = Arrivals(
            [partial(self.sampler.make, want, usage, gate) for want in wanted],
            self._start_order(wanted),
            # Less a rounding error, so that a tenth of 10 is 1.
            enough=math.ceil((1 - self._pace.straggler) * len(wanted) - 1e-9),
            spend=_Spend(left),
            silence=self._pace.engine_timeout,
        )
        made = list((await arrivals.wait(self.seconds_left())).values())
        self.usage.given_up += len(wanted) - len(made)
        self.usage.policy_seconds = self.sampler.sampling.seconds
        self.usage.prm_seconds = self.sampler.scoring.seconds
        if (lost := arrivals.lost) is not None:
            self.lost = lost
            return made, "engine_lost"
        tokens = sum(m.child.tokens for m in made)
        return made, self._spent(tokens, len(made)) if len(made) < len(asked) else None

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
            self.tree.tell(self.sampler.judged(made))
            if spent is not None:
                self.tree.stop(spent)
            elif cut:
                self.tree.close_step()
        finally:
            self.tree.interrupt = None
