"""The votes of one problem, asked for a few at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator, Sequence
from dataclasses import replace
from typing import Any, TypeVar, get_args

from ets.answer.mode import Standing
from ets.errors import EngineLostError
from ets.loop.call import cancel
from ets.loop.workers import Threads
from ets.rollout.budget import Spent
from ets.rollout.carried import Carried
from ets.rollout.options import SearchOptions
from ets.rollout.pooled import pooled, tested
from ets.rollout.result import SearchResult
from ets.rollout.until import Certain
from ets.search.problem_solver import ProblemSolver
from ets.strategy import BestOfN, Strategy
from ets.tree.seeds import search_seed
from ets.tree_search.search import TreeSearch

T = TypeVar("T")


class Poll:
    """Asks one problem's votes of a solver whose first search is `until.opening` of the strategy.

    With `BestOfN` the votes that are asked for together are the solutions of one tree, whose
    samples are those behind the samples of the tree before; else each is a search. A budget of
    tokens or PRM calls is spent search by search, so that the same one is the last on every run.
    """

    def __init__(
        self,
        solver: ProblemSolver,
        options: SearchOptions,
        until: Certain,
        voting: Threads,
        problem: object,
        name: str,
    ) -> None:
        self.asked = 0
        """Votes that were asked for."""
        self.standing: Standing | None = None
        """How certain the votes are: those of searches that came to their own end, and that none
        was cut beside, as what is cut is what is long."""
        self.answers: list[str | None] = []
        """Those of the votes that were tested, equal ones by one form."""
        self.ended: str | None = None
        """Why no more can be asked for: a budget, or `engine_lost`."""
        self._solver = solver
        self._options, self._until = options, until
        self._voting = voting
        self._problem, self._name = problem, name
        self._searches: list[SearchResult] = []
        self._whole = 0  # searches that, with all beside them, came to their own end
        self._lost: str | None = None
        self._seconds = 0.0
        budget = options.budget
        counts = (None, None) if budget is None else (budget.tokens, budget.prm_calls)
        self._one_by_one = counts != (None, None)

    @property
    def is_certain(self) -> bool:
        """Whether the test has come to an end."""
        return self.standing is not None and self.standing.certain

    @property
    def tokens(self) -> int:
        """Tokens that were sampled, as budgets count them."""
        return sum(sum(search.tree.nodes.tokens[1:]) for search in self._searches)

    async def ask(self, votes: int) -> None:
        """Ask for so many more votes, >= 1, and test all that came.

        # Errors
        Those of the engines; not the loss of one where there are votes to show.
        """
        for trees in self._planned(votes):
            begin = self._seconds
            try:
                found = await _together([self._search(tree) for tree in trees])
            except EngineLostError as error:
                if not self._searches:
                    raise
                self._lost, self.ended = str(error), "engine_lost"
                return
            for search in found:
                search.usage.seconds -= begin
                self._seconds = max(self._seconds, begin + search.usage.seconds)
            self._searches += found
            self._note_ends(found)
            if self.ended is not None:
                break
            self._whole = len(self._searches)
        self.asked += votes
        self.answers, self.standing = await self._voting.run(self._tested)

    async def result(self, ended: str) -> SearchResult:
        """What the votes say, where no more are asked for; `ended` says why."""
        return await self._voting.run(self._pooled, ended)

    def _planned(self, votes: int) -> Iterator[list[TreeSearch | None]]:
        """Trees to search beside each other, one list after the other; None: the very first."""
        strategy = self._options.strategy
        if isinstance(strategy, BestOfN):
            yield [self._tree(replace(strategy, width=votes), skip=self.asked)]
            return
        numbers = range(self.asked, self.asked + votes)
        # What the others are made like is known when the first one is over.
        alone = votes if self._one_by_one else int(self.asked == 0)
        for number in numbers[:alone]:
            yield [self._tree(strategy, number=number)]
        if rest := numbers[alone:]:
            yield [self._tree(strategy, number=number) for number in rest]

    def _tree(self, strategy: Strategy, *, number: int = 0, skip: int = 0) -> TreeSearch | None:
        if not self._searches:
            return None
        like = self._searches[0].tree
        return TreeSearch(
            strategy,
            like.prompt_tokens,
            seed=search_seed(like.seed, number),
            max_tokens=like.max_tokens,
            max_depth=like.max_depth,
            kv_budget=like.kv_budget,
            skip=skip,
        )

    async def _search(self, tree: TreeSearch | None) -> SearchResult:
        carried = None
        if tree is not None:
            carried = Carried(
                tree,
                sampled=self.tokens,
                scored=sum(len(search.tree.nodes) - 1 for search in self._searches),
                seconds=self._seconds,
            )
        return await self._solver.solve(self._problem, self._name, carried)

    def _note_ends(self, found: Sequence[SearchResult]) -> None:
        for search in found:
            if search.lost is not None:
                self._lost, self.ended = search.lost, "engine_lost"
            elif search.end in get_args(Spent) and self.ended is None:
                self.ended = search.end

    def _seconds_left(self) -> float | None:
        budget = self._options.budget
        if budget is None or budget.seconds is None:
            return None
        return max(0.0, budget.seconds - self._seconds)

    def _tested(self) -> tuple[list[str | None], Standing | None]:
        return tested(
            self._searches[: self._whole],
            error=self._until.error,
            vote=self._options.vote,
            seconds=self._seconds_left(),
        )

    def _pooled(self, ended: str) -> SearchResult:
        return pooled(
            self._searches,
            vote=self._options.vote,
            certainty=self.standing,
            ended=ended,
            lost=self._lost,
            seconds=self._seconds_left(),
            elapsed=self._seconds,
        )


async def _together(searches: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """What all of them come to; the first failure ends the others."""
    tasks = [asyncio.create_task(search) for search in searches]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        for task in done:
            task.result()
        return [task.result() for task in tasks]
    finally:
        await cancel(tasks)
