"""One problem from its text to its result: the prompt, the tree, the rollout, the votes."""

from __future__ import annotations

import math
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from ets.checks import check_text
from ets.engines.protocols import Policy
from ets.engines.values import checked_root
from ets.errors import EngineError, EngineLostError, InputError
from ets.loop.engine_call import EngineCall
from ets.policy.limits import Limits, context_of, thinking_of
from ets.search.belongings import Belongings
from ets.search.budget import Budget
from ets.search.engines import Engines, names_of, patience_of
from ets.search.kv_budgets import KVBudgets, KVPart
from ets.search.options import SearchOptions
from ets.search.placement import Placement, Stay, at_once
from ets.search.replica import Replica
from ets.search.result import Answered, SearchResult
from ets.search.rollout import Pace, Rollout
from ets.search.sampler import Sampler
from ets.search.saved_tree import prefixes_of
from ets.search.usage import Usage
from ets.step import Prefix
from ets.tree.events import Event
from ets.tree.seeds import problem_seed
from ets.tree_search.search import TreeSearch

_Opened: TypeAlias = tuple[TreeSearch, dict[int, Prefix]]
"""A tree that is searched from here on, and what is known of its nodes."""


class ProblemSolver:
    """Searches problems, any number at once, with the replicas and options of one `ets.Search`."""

    def __init__(
        self, engines: Sequence[Engines], options: SearchOptions, belongings: Belongings
    ) -> None:
        self._options = options
        self._has = belongings
        self._mark = belongings.loop.mark
        first = engines[0]
        self._limits = Limits.settle(
            min((e.policy for e in engines), key=_context),
            min((e.prm for e in engines), key=_context),
            max_step_tokens=options.max_step_tokens,
            max_tokens=options.max_tokens,
            max_depth=options.max_depth,
            prm_thinking=options.prm_thinking,
        )
        self._tally = options.tally()
        if (thinking := thinking_of(first.policy)) is not None:
            self._tally = self._tally.reading(thinking.answer_of)
        self._pace = Pace(
            budget=options.budget or Budget(),
            straggler=options.straggler,
            request_order=options.request_order,
        )
        self.replicas = tuple(
            Replica(name, of, self._kv_budgets(of.policy))
            for name, of in zip(names_of(engines), engines, strict=True)
        )
        self._placement = Placement(self.replicas, patience=patience_of(engines))

    def _kv_budgets(self, policy: Policy) -> KVBudgets:
        return KVBudgets(
            policy,
            stated=self._options.stated_kv_budget,
            shared=self._options.shares_kv,
            max_tokens=self._limits.max_tokens,
            max_step_tokens=self._limits.max_step_tokens,
            mark=self._mark,
        )

    async def at_once(self, concurrency: int | Literal["auto"]) -> Callable[[], int]:
        """How many problems may be in flight, to be asked anew for each.

        # Errors
        As `KVBudgets.at_once`.
        """
        return await at_once(self.replicas, concurrency)

    async def solve(
        self, problem: str, name: str = "problem", saved: TreeSearch | None = None
    ) -> SearchResult:
        """The result of `events`, whose last event carries it."""
        async with aclosing(self.events(problem, name, saved=saved)) as events:
            async for event in events:
                if isinstance(event, Answered):
                    return event.result
        raise RuntimeError("a search ended without an answer event")

    async def events(
        self,
        problem: str,
        name: str = "problem",
        seen: Callable[[TreeSearch], None] = lambda tree: None,
        saved: TreeSearch | None = None,
    ) -> AsyncGenerator[Event | Answered, None]:
        """Search a problem, from the root or on in a `saved` tree, which becomes its own.

        `name` is what an error calls the problem; `seen` is given the tree before its first event.

        # Errors
        `InputError` for a problem that is no text, and for a saved tree of another problem or
        policy; those of the engines.
        """
        check_text(name, problem)
        course = _Course(problem, saved)
        while course.goes_on:
            try:
                async with (
                    self._placement.problem(new=course.stays == 0) as stay,
                    aclosing(self._on_replica(course, stay, seen)) as events,
                ):
                    async for event in events:
                        yield event
                course.check(stay, most_losses=len(self.replicas))
            except EngineLostError as error:  # noqa: PERF203  of a replica each
                if course.rollout is None:
                    raise
                course.rollout.give_up(error)
        yield Answered(await self._answered(course))

    async def _on_replica(
        self, course: _Course, stay: Stay, seen: Callable[[TreeSearch], None]
    ) -> AsyncGenerator[Event, None]:
        """Search on one replica: to the end, or until the problem is to go on elsewhere."""
        course.stays += 1
        engines = stay.replica.engines
        with EngineCall(engines.policy, self._mark):
            started = self._has.prompts.run(engines.policy.start, course.problem)
            root = checked_root(await started, engines.policy)
        # Before the clock: a start takes minutes, and is neither this problem's nor its strategy's.
        try:
            await engines.started()
        except EngineError as error:
            told = stay.lose(error)
            if stay.can_end():
                return
            raise told from error
        async with stay.replica.kv.problem() as kv:
            if course.rollout is None:
                course.begin = time.perf_counter()
                course.rollout = await self._begun(course, root, engines, kv)
                seen(course.rollout.tree)
            else:
                self._move(course.rollout, root, stay, kv)
            rollout = course.rollout
            kv.holds(rollout.tree)
            stay.holds(rollout.tree)
            if self.replicas[1:]:
                rollout.usage.replicas.append(stay.replica.name)
            async with aclosing(rollout.events(stay, kv)) as events:
                async for event in events:
                    yield event

    async def _begun(self, course: _Course, root: Prefix, engines: Engines, kv: KVPart) -> Rollout:
        has, saved = self._has, course.saved
        with EngineCall(self._options.strategy if saved is None else engines.policy, self._mark):
            tree, prefixes = await (
                has.deciding.run(self._new_tree, course.problem, root, kv)
                if saved is None
                else has.prompts.run(self._taken_up, saved, root, engines, kv)
            )
        sampler = Sampler(
            engines,
            tree,
            prefixes,
            max_step_tokens=self._limits.max_step_tokens,
            reads_thoughts=self._limits.reads_thoughts,
            mark=self._mark,
        )
        return Rollout(tree, sampler, self._pace, has.deciding, mark=self._mark)

    def _move(self, rollout: Rollout, root: Prefix, stay: Stay, kv: KVPart) -> None:
        """Go on with another replica's engines."""
        if root.token_ids != rollout.sampler.root.token_ids:
            raise EngineError(
                f"{stay.replica.name} reads this problem as other tokens than the replica before "
                "it: replicas must be the same model, with the same prompt"
            )
        rollout.sampler.use(stay.replica.engines)
        if self._options.shares_kv:
            rollout.tree.kv_budget = kv.limit

    async def _answered(self, course: _Course) -> SearchResult:
        rollout = course.rollout
        if rollout is None:
            raise RuntimeError("a search ended before it began")
        # The budget's time is for the answer, not only for the search.
        left = None if self._pace.budget.seconds is None else max(0.0, rollout.seconds_left())
        voting = self._has.voting
        result = await voting.run(self._result, course.problem, rollout.tree, rollout.usage, left)
        result.usage.seconds = time.perf_counter() - course.begin
        return result if rollout.lost is None else replace(result, lost=str(rollout.lost))

    def _result(
        self, problem: str, tree: TreeSearch, usage: Usage, seconds: float | None
    ) -> SearchResult:
        return SearchResult.of(tree, self._tally, problem=problem, usage=usage, seconds=seconds)

    def _new_tree(self, problem: str, root: Prefix, kv: KVPart) -> _Opened:
        tree = TreeSearch(
            self._options.strategy,
            prompt_tokens=root.prompt_tokens,
            seed=problem_seed(self._options.seed, problem),
            max_tokens=self._limits.max_tokens,
            max_depth=self._limits.max_depth,
            kv_budget=kv.limit,
        )
        return tree, {0: root}

    def _taken_up(self, tree: TreeSearch, root: Prefix, engines: Engines, kv: KVPart) -> _Opened:
        if tree.prompt_tokens != root.prompt_tokens:
            raise InputError(
                f"tree must be of this problem and policy: its prompt has {tree.prompt_tokens} "
                f"tokens, this one {root.prompt_tokens}"
            )
        if tree.strategy.needs_embeddings and engines.embedder is None:
            raise InputError(
                f"tree: its strategy {tree.strategy!r} needs an embedder, and this search has none"
            )
        if self._options.shares_kv:
            tree.kv_budget = kv.limit
        return tree, prefixes_of(tree, root, engines.policy)


def _context(engine: object) -> float:
    context = context_of(engine)
    return math.inf if context is None else context


@dataclass(slots=True)
class _Course:
    """How far a problem has come, on whichever replicas."""

    problem: str
    saved: TreeSearch | None
    rollout: Rollout | None = None
    begin: float = 0.0
    """Of its first step, in seconds of the performance counter."""

    stays: int = 0
    """Replicas that it has been on, each time it came to one."""
    losses: int = 0
    """Replicas that were lost with it since its newest step."""
    depth: int = 0
    """Of that step."""

    @property
    def goes_on(self) -> bool:
        return self.rollout is None or self.rollout.tree.end is None

    def check(self, stay: Stay, most_losses: int) -> None:
        """Give up a problem with which replica after replica is lost: it may be what ends them.

        # Errors
        `EngineLostError`, the last one.
        """
        rollout = self.rollout
        if rollout is None or rollout.lost is None or not stay.was_up:
            return
        if rollout.tree.depth > self.depth:
            self.losses, self.depth = 0, rollout.tree.depth
        self.losses += 1
        if self.losses > most_losses:
            raise rollout.lost
