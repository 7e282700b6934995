"""Problems searched again and again, until their answers are certain."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

from ets.loop.workers import Threads
from ets.rollout.options import SearchOptions
from ets.rollout.result import SearchResult
from ets.rollout.until import Certain
from ets.search.poll import Poll
from ets.search.problem_solver import ProblemSolver


class Solver(Protocol):
    """What makes a result of a problem, any number at once."""

    async def solve(self, problem: object, name: str = "problem") -> SearchResult:
        """The result; `name` is what an error calls the problem.

        # Errors
        `InputError` for a problem that is neither a text nor messages; those of the engines.
        """
        ...


class Repeated:
    """Searches with a solver as often as `until` says."""

    def __init__(
        self, solver: ProblemSolver, options: SearchOptions, until: Certain, voting: Threads
    ) -> None:
        self._solver, self._options, self._until = solver, options, until
        self._voting = voting

    async def solve(self, problem: object, name: str = "problem") -> SearchResult:
        """As `Solver.solve`: the votes of all searches."""
        poll = self.poll(problem, name)
        while not self.is_over(poll):
            await poll.ask(self.next_votes(poll))
        return await self.result(poll)

    def poll(self, problem: object, name: str) -> Poll:
        """The votes of one problem, of which none are asked for yet."""
        return Poll(self._solver, self._options, self._until, self._voting, problem, name)

    def next_votes(self, poll: Poll) -> int:
        """How many to ask for next; 0 where there may be no more."""
        return self._until.next_votes(poll.asked, self._options.strategy)

    def is_over(self, poll: Poll) -> bool:
        """Whether no more are to be asked for, or can be."""
        return poll.is_certain or poll.ended is not None or not self.next_votes(poll)

    async def result(self, poll: Poll, otherwise: str = "uncertain") -> SearchResult:
        """What its votes say; `otherwise` is why no more were asked for, unless that is known."""
        return await poll.result("certain" if poll.is_certain else poll.ended or otherwise)


def opening(options: SearchOptions) -> SearchOptions:
    """What the first search of each problem is made with."""
    if options.until is None:
        return options
    return replace(options, strategy=options.until.opening(options.strategy))


def solver_for(solver: ProblemSolver, options: SearchOptions, voting: Threads) -> Solver:
    """What searches a problem once, or until its answer is certain."""
    return solver if options.until is None else Repeated(solver, options, options.until, voting)
