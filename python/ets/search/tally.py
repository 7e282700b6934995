"""From the tree of a search to its answer: solutions, their answers, votes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ets.answer import (
    Aggregation,
    VoteMethod,
    aggregate,
    extract_answer,
    pool_answers,
    votes_of,
)
from ets.answer.thoughts import behind_thoughts
from ets.checks import check_choice, shown
from ets.errors import InputError
from ets.policy.thinking import Thinking
from ets.search.result import SearchResult, Solution
from ets.search.usage import Usage
from ets.tree.trajectory import Trajectory
from ets.tree_search.search import TreeSearch

_OWN = ("vote", "score", "answer_pattern")


class Tally:
    """How answers are read and votes are weighed.

    Parameters as those of `ets.Search`; `thinking` is how the policy thinks, if it does: answers
    are read behind its thoughts. Raises `InputError` for an unknown `vote` or `score`
    and for a pattern that is none.
    """

    def __init__(
        self,
        vote: VoteMethod = "weighted",
        score: Aggregation = "last",
        answer_pattern: str | re.Pattern[str] | None = None,
        thinking: Thinking | None = None,
    ) -> None:
        check_choice("vote", vote, VoteMethod)
        check_choice("score", score, Aggregation)
        self._vote: VoteMethod = vote
        self._score: Aggregation = score
        self._thinking = thinking
        self._pattern = None if answer_pattern is None else _compiled(answer_pattern)

    @classmethod
    def of(cls, arguments: Mapping[str, Any]) -> Tally:
        """The tally of a search with these arguments of `ets.Search`, of which it takes its own."""
        return cls(**{name: arguments[name] for name in _OWN if name in arguments})

    def reading(self, thinking: Thinking | None) -> Tally:
        """The same for the answers of a policy that thinks so."""
        return Tally(self._vote, self._score, self._pattern, thinking)

    def result(
        self, problem: str, tree: TreeSearch, usage: Usage, seconds: float | None = None
    ) -> SearchResult:
        """The outcome of a search, over or not: the votes of its completed trajectories.

        `seconds` is what the comparisons of the vote may take, by default `VOTE_SECONDS`.
        """
        solutions = [self._solution(trajectory) for trajectory in tree.trajectories]
        pooling = pool_answers([solution.answer for solution in solutions], seconds)
        votes = votes_of(pooling, [solution.score for solution in solutions], self._vote)
        weight = sum(v.weight for v in votes)
        return SearchResult(
            problem=problem,
            answer=votes[0].answer if votes else None,
            score=votes[0].weight / weight if weight > 0 else 0.0,
            votes=votes,
            trajectories=solutions,
            tree=tree,
            usage=usage,
            undecided=pooling.undecided,
        )

    def _solution(self, trajectory: Trajectory) -> Solution:
        text = "".join(text or "" for text in trajectory.texts)
        return Solution(
            node=trajectory.node,
            text=text,
            # What a limit cut holds no answer, only numbers on the way to one.
            answer=self._answer(text) if trajectory.finished else None,
            score=aggregate(trajectory.rewards, self._score),
            rewards=trajectory.rewards,
            tokens=trajectory.tokens,
            finished=trajectory.finished,
            cut=trajectory.cut,
        )

    def _answer(self, text: str) -> str | None:
        how = self._thinking
        said = behind_thoughts(text) if how is None else how.answer_of(text)
        return None if said is None else extract_answer(said, self._pattern)


def _compiled(pattern: object) -> re.Pattern[str]:
    if not isinstance(pattern, str | re.Pattern):
        raise InputError(f"answer_pattern must be a regular expression, got {shown(pattern)}")
    try:
        compiled = re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        raise InputError(
            f"answer_pattern must be a regular expression, got {shown(pattern)}: {error}"
        ) from error
    if not isinstance(compiled.pattern, str):
        raise InputError(f"answer_pattern must be for texts, got {shown(compiled)}")
    return compiled
