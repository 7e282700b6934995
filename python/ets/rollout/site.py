"""Engines in this process, and how a problem is searched on them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from ets.answer.tally import Tally
from ets.dialogue import Posed
from ets.engines.start import start
from ets.engines.values import checked_root
from ets.engines.whole_answers import check_steps
from ets.errors import EngineError, InputError
from ets.loop.engine_call import EngineCall
from ets.policy.limits import Limits, narrowest, thinking_of
from ets.rollout.belongings import Belongings
from ets.rollout.budget import Budget
from ets.rollout.carried import Carried
from ets.rollout.course import Course
from ets.rollout.engines import Engines
from ets.rollout.kv_budgets import KVBudgets, KVPart
from ets.rollout.options import SearchOptions
from ets.rollout.result import SearchResult
from ets.rollout.rollout import Pace, Rollout
from ets.rollout.sampler import Sampler
from ets.rollout.saved_tree import prefixes_of
from ets.rollout.stay import Stay
from ets.rollout.until import check_independent
from ets.step import Prefix
from ets.tree.events import Event
from ets.tree.seeds import problem_seed
from ets.tree_search.search import TreeSearch

_Opened: TypeAlias = tuple[TreeSearch, dict[int, Prefix]]
"""A tree that is searched from here on, and what is known of its nodes."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What holds for all problems of a search, whichever engines they are on."""

    options: SearchOptions
    limits: Limits
    pace: Pace
    tally: Tally

    @classmethod
    def of(cls, options: SearchOptions, engines: Sequence[Engines]) -> Rules:
        """As the options say, or as follows from the engines of all replicas.

        # Errors
        `InputError` for a strategy that chooses among steps, where a policy writes whole answers.
        """
        check_steps(options.strategy, [e.policy for e in engines])
        limits = Limits.settle(
            narrowest([e.policy for e in engines]),
            narrowest([e.prm for e in engines]),
            max_step_tokens=options.max_step_tokens,
            max_tokens=options.max_tokens,
            max_depth=options.max_depth,
            prm_thinking=options.prm_thinking,
        )
        if options.until is not None:
            check_independent(options.strategy, options.vote, [e.prm for e in engines])
        tally = options.tally()
        if (thinking := thinking_of(engines[0].policy)) is not None:
            tally = tally.reading(thinking.answer_of)
        pace = Pace(
            budget=options.budget or Budget(),
            straggler=options.straggler,
            request_order=options.request_order,
            engine_timeout=options.engine_timeout,
        )
        return cls(options, limits, pace, tally)


class LocalSite:
    """Searches problems, any number at once, with one set of engines in this process."""

    def __init__(self, engines: Engines, rules: Rules, belongings: Belongings) -> None:
        self.engines = engines
        self._rules = rules
        self._has = belongings
        self._mark = belongings.loop.mark
        self.kv = KVBudgets(
            engines.policy,
            stated=rules.options.stated_kv_budget,
            shared=rules.options.shares_kv,
            max_tokens=rules.limits.max_tokens,
            max_step_tokens=rules.limits.max_step_tokens,
            mark=self._mark,
        )

    @property
    def kv_space(self) -> int | None:
        """Tokens of its KV cache; None until somebody has asked the engine."""
        return self.kv.space_tokens

    @property
    def returns(self) -> bool:
        """Nobody starts it again."""
        return False

    @property
    def is_back(self) -> bool:
        """Not known before it is tried."""
        return False

    async def at_once(self, concurrency: int | Literal["auto"]) -> Callable[[], int]:
        """How many problems may be in flight, to be asked anew for each.

        # Errors
        As `KVBudgets.at_once`.
        """
        return await self.kv.at_once(concurrency)

    async def search(
        self, course: Course[Rollout], stay: Stay, seen: Callable[[TreeSearch], None]
    ) -> AsyncGenerator[Event, None]:
        """Search to the end, or until the problem is to go on elsewhere.

        `seen` is given the tree before its first event.

        # Errors
        `InputError` for a saved tree of another problem or policy; those of the engines.
        """
        with EngineCall(self.engines.policy, self._mark):
            started = self._has.prompts.run(start, self.engines.policy, course.posed)
            root = checked_root(await started, self.engines.policy)
        # Before the clock: a start takes minutes, and is neither this problem's nor its strategy's.
        try:
            await self.engines.started()
        except EngineError as error:
            told = stay.lose(error)
            if stay.can_end():
                return
            raise told from error
        async with self.kv.problem() as kv:
            rollout = course.searched
            if rollout is None:
                rollout = course.searched = await self._begun(course, root, stay.name, kv)
                seen(rollout.tree)
            else:
                self._take_over(rollout, root, stay.name, kv)
            kv.holds(rollout.tree)
            stay.holds(rollout)
            course.replicas.append(stay.name)
            async with aclosing(rollout.events(stay, kv)) as events:
                async for event in events:
                    yield event

    async def result(self, course: Course[Rollout]) -> SearchResult:
        """That of a search that is over: the votes are counted."""
        rollout = course.searched
        if rollout is None:
            raise RuntimeError("a search ended before it began")
        # The budget's time is for the answer, not only for the search.
        left = None if self._rules.pace.budget.seconds is None else max(0.0, rollout.seconds_left())
        result = await self._has.voting.run(self._counted, course.posed, rollout, left)
        result.usage.seconds = rollout.seconds
        return result if rollout.lost is None else replace(result, lost=str(rollout.lost))

    def _counted(self, posed: Posed, rollout: Rollout, seconds: float | None) -> SearchResult:
        return SearchResult.of(
            rollout.tree, self._rules.tally, problem=posed, usage=rollout.usage, seconds=seconds
        )

    async def _begun(self, course: Course[Rollout], root: Prefix, name: str, kv: KVPart) -> Rollout:
        options, has, carried = self._rules.options, self._has, course.carried
        with EngineCall(options.strategy if carried is None else self.engines.policy, self._mark):
            tree, prefixes = await (
                has.deciding.run(self._new_tree, course.posed, root, kv)
                if carried is None
                else has.prompts.run(self._taken_up, carried, root, name, kv)
            )
        sampler = Sampler(
            self.engines,
            tree,
            prefixes,
            max_step_tokens=self._rules.limits.max_step_tokens,
            reads_thoughts=self._rules.limits.reads_thoughts,
            mark=self._mark,
            before=None if carried is None else carried.usage,
        )
        return Rollout(
            tree, sampler, self._rules.pace, has.deciding, mark=self._mark, carried=carried
        )

    def _take_over(self, rollout: Rollout, root: Prefix, name: str, kv: KVPart) -> None:
        """Go on with what another site of this process has begun."""
        _check_same(name, root, rollout.sampler.root)
        rollout.sampler.use(self.engines)
        if self._rules.options.shares_kv:
            rollout.tree.kv_budget = kv.limit

    def _new_tree(self, posed: Posed, root: Prefix, kv: KVPart) -> _Opened:
        tree = TreeSearch(
            self._rules.options.strategy,
            prompt_tokens=root.prompt_tokens,
            seed=problem_seed(self._rules.options.seed, posed),
            max_tokens=self._rules.limits.max_tokens,
            max_depth=self._rules.limits.max_depth,
            kv_budget=kv.limit,
        )
        return tree, {0: root}

    def _taken_up(self, carried: Carried, root: Prefix, name: str, kv: KVPart) -> _Opened:
        tree = carried.tree
        if tree.prompt_tokens != root.prompt_tokens:
            raise InputError(
                f"tree must be of this problem and policy: its prompt has {tree.prompt_tokens} "
                f"tokens, this one {root.prompt_tokens}"
            )
        if tree.strategy.needs_embeddings and self.engines.embedder is None:
            raise InputError(
                f"tree: its strategy {tree.strategy!r} needs an embedder, and this search has none"
            )
        if self._rules.options.shares_kv:
            tree.kv_budget = kv.limit
        if carried.prefixes is None:
            return tree, prefixes_of(tree, root, self.engines.policy)
        _check_same(name, root, carried.prefixes[0])
        return tree, carried.prefixes


def _check_same(name: str, root: Prefix, before: Prefix) -> None:
    if root.token_ids != before.token_ids:
        raise EngineError(
            f"{name} reads this problem as other tokens than the replica before it: replicas "
            "must be the same model, with the same prompt"
        )
