"""Many problems, each by itself or all over one budget: what is asked for, and its results."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Coroutine, Iterable, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Literal

from ets.checks import check_flag, checked_count, iterated, shown
from ets.errors import InputError
from ets.rollout.result import SearchResult
from ets.rollout.shared_budget import SharedBudget
from ets.search.many import in_flight
from ets.search.problem_solver import ProblemSolver
from ets.search.repeated import Repeated, Solver
from ets.search.shared import shared


@dataclass(frozen=True, slots=True)
class Mapped:
    """What `ets.Search.map` was asked for, checked."""

    problems: Iterator[Any]
    solver: Solver
    concurrency: int | Literal["auto"]
    ordered: bool
    budget: SharedBudget | None

    @classmethod
    def of(
        cls,
        problems: Iterable[Any],
        solver: Solver,
        *,
        concurrency: int | Literal["auto"],
        ordered: bool,
        budget: SharedBudget | None,
    ) -> Mapped:
        """These arguments.

        # Errors
        As `ets.Search.map`.
        """
        if not (isinstance(concurrency, str) and concurrency == "auto"):
            concurrency = checked_count("concurrency", concurrency, note=", or 'auto'")
        check_flag("ordered", ordered)
        if isinstance(problems, str):
            raise InputError("problems must be an iterable of problems, got one string; use solve")
        if budget is not None and not isinstance(budget, SharedBudget):
            raise InputError(
                f"budget must be an ets.SharedBudget or None, got {shown(budget)}; what one "
                "problem may cost is an argument of ets.Search"
            )
        if budget is not None and not isinstance(solver, Repeated):
            raise InputError(
                "budget needs a search that asks for votes until they are certain: make it with "
                "until=ets.Certain(...)"
            )
        return cls(iterated("problems", problems), solver, concurrency, ordered, budget)

    async def results(self, places: ProblemSolver) -> AsyncGenerator[SearchResult, None]:
        """Of all problems, as many at once as `places` have room for.

        # Errors
        Those of the engines and of the problems.
        """
        limit = await places.at_once(self.concurrency)

        def solve(index: int, problem: Any) -> Coroutine[Any, Any, SearchResult]:
            return self.solver.solve(problem, f"problems[{index}]")

        every = (
            shared(self.problems, self.solver, self.budget, limit, ordered=self.ordered)
            if self.budget is not None and isinstance(self.solver, Repeated)
            else in_flight(self.problems, solve, limit, ordered=self.ordered)
        )
        async with aclosing(every) as results:
            async for result in results:
                yield result
