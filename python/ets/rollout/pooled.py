"""One result of several searches of one problem: their votes in one ballot, tested and counted."""

from __future__ import annotations

from collections.abc import Sequence

from ets.answer import VoteMethod, pool_answers, votes_of
from ets.answer.mode import Standing, standing
from ets.answer.tally import Outcome, Solution
from ets.rollout.result import SearchResult
from ets.rollout.usage import Usage
from ets.strategy import BestOfN


def tested(
    searches: Sequence[SearchResult], *, error: float, vote: VoteMethod, seconds: float | None
) -> tuple[list[str | None], Standing | None]:
    """The answers of searches that each came to its own end, pooled, and how certain they are.

    `seconds` is what comparing answers may take.
    """
    if not searches:
        return [], None
    ballots = _ballots(searches)
    answers = pool_answers([answer for answer, _ in ballots], seconds).answers
    weights = [score for _, score in ballots] if vote == "weighted" else None
    return answers, standing(answers, weights, error=error)


def pooled(
    searches: Sequence[SearchResult],
    *,
    vote: VoteMethod,
    certainty: Standing | None = None,
    ended: str | None = None,
    lost: str | None = None,
    seconds: float | None = None,
    elapsed: float = 0.0,
) -> SearchResult:
    """The result of searches of one problem, at least one, in the order in which they were begun.

    `vote` weighs the solutions of independent samples; searches by steps have a vote each.
    `seconds` is what comparing answers may take, `elapsed` what all took.
    """
    first = searches[0]
    ballots = _ballots(searches)
    pooling = pool_answers([answer for answer, _ in ballots], seconds)
    how = vote if _are_samples(searches) else "majority"
    votes = votes_of(pooling, [score for _, score in ballots], how)
    solutions = [solution for search in searches for solution in _as_asked(search)]
    outcome = Outcome(solutions, votes, pooling.undecided)
    usage = Usage.total(search.usage for search in searches)
    usage.seconds = elapsed
    return SearchResult(
        problem=first.problem,
        answer=outcome.answer,
        score=outcome.score,
        votes=votes,
        trajectories=solutions,
        tree=first.tree,
        usage=usage,
        lost=lost,
        undecided=pooling.undecided,
        searches=tuple(searches),
        certainty=certainty,
        ended=ended,
    )


def _are_samples(searches: Sequence[SearchResult]) -> bool:
    return isinstance(searches[0].tree.strategy, BestOfN)


def _ballots(searches: Sequence[SearchResult]) -> list[tuple[str | None, float]]:
    """Answers and weights of the votes, in the order in which they were asked for."""
    if not _are_samples(searches):
        return [(search.answer, 1.0) for search in searches]
    solutions = [solution for search in searches for solution in _as_asked(search)]
    return [(solution.answer, solution.score) for solution in solutions]


def _as_asked(search: SearchResult) -> list[Solution]:
    """The solutions by which of the root's continuations they begin with: the first to be asked for
    first, not the shortest."""
    nodes = search.tree.nodes

    def place(solution: Solution) -> int:
        node = solution.node
        while nodes.depth[node] > 1:
            node = nodes.parent[node]
        return nodes.index[node]

    return sorted(search.trajectories, key=place)
