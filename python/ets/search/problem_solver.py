"""One problem from its text to its result, on one replica after the other."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from copy import copy
from typing import Any, Literal

from ets.dialogue import posed
from ets.errors import EngineLostError
from ets.rollout.carried import Carried
from ets.rollout.course import Course
from ets.rollout.result import Answered, SearchResult
from ets.search.placement import Placement, at_once
from ets.search.replica import Replica, Site
from ets.tree.events import Event
from ets.tree_search.search import TreeSearch


class ProblemSolver:
    """Searches problems, any number at once, on the replicas of one `ets.Search`.

    `patience` is as for `Placement`.
    """

    def __init__(self, replicas: Sequence[Replica], *, patience: float) -> None:
        self.replicas = tuple(replicas)
        self._placement = Placement(self.replicas, patience=patience)
        self._sites = [replica.site for replica in replicas]

    def beside(self, sites: Sequence[Site]) -> ProblemSolver:
        """One that places its problems together with those of this one, on sites of its own."""
        other = copy(self)
        other._sites = list(sites)
        return other

    async def at_once(self, concurrency: int | Literal["auto"]) -> Callable[[], int]:
        """How many problems may be in flight, to be asked anew for each.

        # Errors
        As `KVBudgets.at_once`.
        """
        return await at_once(self.replicas, self._sites, concurrency)

    async def solve(
        self, problem: object, name: str = "problem", carried: Carried | None = None
    ) -> SearchResult:
        """The result of `events`, whose last event carries it."""
        async with aclosing(self.events(problem, name, carried=carried)) as events:
            async for event in events:
                if isinstance(event, Answered):
                    return event.result
        raise RuntimeError("a search ended without an answer event")

    async def events(
        self,
        problem: object,
        name: str = "problem",
        seen: Callable[[TreeSearch], None] = lambda tree: None,
        carried: Carried | None = None,
        watched: bool = False,
    ) -> AsyncGenerator[Event | Answered, None]:
        """Search a problem, from the root or on in a tree that is `carried` there.

        `name` is what an error calls the problem; `seen` is given the tree before its first event.
        What workers do is told step by step only where it is `watched`.

        # Errors
        `InputError` for a problem that is neither a text nor messages, and for a saved tree of
        another problem or policy; those of the engines.
        """
        given = posed(name, problem)
        course: Course[Any] = Course(given, carried, watched)
        site = self._sites[0]
        while course.goes_on:
            try:
                async with (
                    self._placement.problem(new=course.stays == 0) as stay,
                    aclosing(self._site(stay.replica).search(course, stay, seen)) as events,
                ):
                    course.stays += 1
                    site = self._site(stay.replica)
                    async for event in events:
                        yield event
                if stay.was_up:
                    course.check(most_losses=self._placement.most_losses)
            except EngineLostError as error:  # noqa: PERF203  of a replica each
                if course.searched is None:
                    raise
                course.searched.give_up(error)
        result = await site.result(course)
        if self.replicas[1:]:
            result.usage.replicas[:] = course.replicas
        yield Answered(result)

    def _site(self, replica: Replica) -> Site:
        return self._sites[self.replicas.index(replica)]
