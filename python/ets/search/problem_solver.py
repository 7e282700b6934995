"""One problem from its text to its result: the prompt, the tree, the rollout, the votes."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import replace
from typing import TypeAlias

from ets.checks import check_text
from ets.engines.values import checked_root
from ets.errors import InputError
from ets.loop.engine_call import EngineCall
from ets.policy.limits import Limits, thinking_of
from ets.search.belongings import Belongings
from ets.search.budget import Budget
from ets.search.engines import Engines
from ets.search.kv_budgets import KVBudgets, KVPart
from ets.search.options import SearchOptions
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
    """Searches problems, any number at once, with the engines and options of one `ets.Search`."""

    def __init__(self, engines: Engines, options: SearchOptions, belongings: Belongings) -> None:
        self._engines = engines
        self._options = options
        self._has = belongings
        self._mark = belongings.loop.mark
        self._limits = Limits.settle(
            engines.policy,
            engines.prm,
            max_step_tokens=options.max_step_tokens,
            max_tokens=options.max_tokens,
            max_depth=options.max_depth,
            prm_thinking=options.prm_thinking,
        )
        self._tally = options.tally()
        if (thinking := thinking_of(engines.policy)) is not None:
            self._tally = self._tally.reading(thinking.answer_of)
        self._pace = Pace(
            budget=options.budget or Budget(),
            straggler=options.straggler,
            request_order=options.request_order,
        )
        self.kv = KVBudgets(
            engines.policy,
            stated=options.stated_kv_budget,
            shared=options.shares_kv,
            max_tokens=self._limits.max_tokens,
            max_step_tokens=self._limits.max_step_tokens,
            mark=self._mark,
        )

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
        has, policy = self._has, self._engines.policy
        with EngineCall(policy, self._mark):
            root = checked_root(await has.prompts.run(policy.start, problem), policy)
        # Before the clock: a start takes minutes, and is neither this problem's nor its strategy's.
        await self._engines.started()
        async with self.kv.problem() as kv:
            begin = time.perf_counter()
            with EngineCall(self._options.strategy if saved is None else policy, self._mark):
                tree, prefixes = await (
                    has.deciding.run(self._begun, problem, root, kv)
                    if saved is None
                    else has.prompts.run(self._taken_up, saved, root, kv)
                )
            kv.holds(tree)
            seen(tree)
            sampler = Sampler(
                self._engines,
                tree,
                prefixes,
                max_step_tokens=self._limits.max_step_tokens,
                reads_thoughts=self._limits.reads_thoughts,
                mark=self._mark,
            )
            rollout = Rollout(tree, sampler, self._pace, has.deciding, kv, mark=self._mark)
            async with aclosing(rollout.events()) as events:
                async for event in events:
                    yield event
        # The budget's time is for the answer, not only for the search.
        left = None if self._pace.budget.seconds is None else max(0.0, rollout.seconds_left())
        result = await has.voting.run(self._result, problem, tree, rollout.usage, left)
        result.usage.seconds = time.perf_counter() - begin
        if rollout.lost is not None:
            result = replace(result, lost=str(rollout.lost))
        yield Answered(result)

    def _result(
        self, problem: str, tree: TreeSearch, usage: Usage, seconds: float | None
    ) -> SearchResult:
        return SearchResult.of(tree, self._tally, problem=problem, usage=usage, seconds=seconds)

    def _begun(self, problem: str, root: Prefix, kv: KVPart) -> _Opened:
        tree = TreeSearch(
            self._options.strategy,
            prompt_tokens=root.prompt_tokens,
            seed=problem_seed(self._options.seed, problem),
            max_tokens=self._limits.max_tokens,
            max_depth=self._limits.max_depth,
            kv_budget=kv.limit,
        )
        return tree, {0: root}

    def _taken_up(self, tree: TreeSearch, root: Prefix, kv: KVPart) -> _Opened:
        if tree.prompt_tokens != root.prompt_tokens:
            raise InputError(
                f"tree must be of this problem and policy: its prompt has {tree.prompt_tokens} "
                f"tokens, this one {root.prompt_tokens}"
            )
        if tree.strategy.needs_embeddings and self._engines.embedder is None:
            raise InputError(
                f"tree: its strategy {tree.strategy!r} needs an embedder, and this search has none"
            )
        if self._options.shares_kv:
            tree.kv_budget = kv.limit
        return tree, prefixes_of(tree, root, self._engines.policy)
