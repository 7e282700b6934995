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
        while not poll.is_certain and poll.ended is None:
            votes = self._until.next_votes(poll.asked, self._options.strategy)
            if not votes:
                break
            await poll.ask(votes)
        return await poll.result("certain" if poll.is_certain else "uncertain")

    def poll(self, problem: object, name: str) -> Poll:
        """The votes of one problem, of which none are asked for yet."""
        return Poll(self._solver, self._options, self._until, self._voting, problem, name)


def opening(options: SearchOptions) -> SearchOptions:
    """What the first search of each problem is made with."""
    if options.until is None:
        return options
    return replace(options, strategy=options.until.opening(options.strategy))


def solver_for(solver: ProblemSolver, options: SearchOptions, voting: Threads) -> Solver:
    """What searches a problem once, or until its answer is certain."""
    return solver if options.until is None else Repeated(solver, options, options.until, voting)
