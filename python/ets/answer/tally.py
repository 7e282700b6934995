"""From completed trajectories to an answer: solutions, their answers, votes."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ets.answer.extraction import extract_answer
from ets.answer.thoughts import behind_thoughts
from ets.answer.vote import Aggregation, Vote, VoteMethod, aggregate, pool_answers, votes_of
from ets.checks import check_choice, shown
from ets.errors import InputError
from ets.pickled import Record
from ets.tree.trajectory import Cut, Trajectory

_OWN = ("vote", "score", "answer_pattern")


@dataclass(frozen=True, slots=True)
class Solution(Record):
    """A completed trajectory: its text, its answer and its vote."""

    node: int
    """Its last node in the tree."""
    text: str
    answer: str | None
    """None where a limit cut it before an answer."""
    score: float
    """Its step rewards, aggregated."""
    rewards: tuple[float, ...]
    tokens: int
    finished: bool
    """False where a limit cut it."""
    cut: Cut | None
    """The limit that cut it: `max_tokens`, `max_depth`, `context` (what the policy can read) or
    `prm_context` (what the PRM can); `refused` where the model or a filter would not answer; None
    where the policy ended it."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the completed trajectories of a search say together."""

    solutions: list[Solution]
    votes: list[Vote]
    """Answers that are equal mathematically pool their votes; best first."""
    undecided: int
    """Pairs of answers that there was no time to compare, and that count as different."""

    @property
    def answer(self) -> str | None:
        """The answer with the most votes; None where no trajectory came to one."""
        return self.votes[0].answer if self.votes else None

    @property
    def score(self) -> float:
        """That answer's share of the votes' weight, in [0, 1]."""
        weight = sum(vote.weight for vote in self.votes)
        return self.votes[0].weight / weight if weight > 0 else 0.0


class Tally:
    """How answers are read and votes are weighed.

    Parameters as those of `ets.Search`; `behind` gives what of a solution's text stands behind the
    policy's thoughts, None where they do not end: by default behind any that are known. Raises
    `InputError` for an unknown `vote` or `score` and for a pattern that is none.
    """

    def __init__(
        self,
        vote: VoteMethod = "weighted",
        score: Aggregation = "last",
        answer_pattern: str | re.Pattern[str] | None = None,
        behind: Callable[[str], str | None] = behind_thoughts,
    ) -> None:
        check_choice("vote", vote, VoteMethod)
        check_choice("score", score, Aggregation)
        self._vote: VoteMethod = vote
        self._score: Aggregation = score
        self._behind = behind
        self._pattern = None if answer_pattern is None else _compiled(answer_pattern)

    @classmethod
    def of(cls, arguments: Mapping[str, Any]) -> Tally:
        """The tally of a search with these arguments of `ets.Search`, of which it takes its own."""
        return cls(**{name: arguments[name] for name in _OWN if name in arguments})

    def reading(self, behind: Callable[[str], str | None]) -> Tally:
        """The same for answers that stand behind other thoughts."""
        return Tally(self._vote, self._score, self._pattern, behind)

    def count(self, trajectories: Sequence[Trajectory], seconds: float | None = None) -> Outcome:
        """Read the answers and count the votes.

        `seconds` is what the comparisons of the vote may take, by default `VOTE_SECONDS`.
        """
        solutions = [self.solution(trajectory) for trajectory in trajectories]
        pooling = pool_answers([solution.answer for solution in solutions], seconds)
        votes = votes_of(pooling, [solution.score for solution in solutions], self._vote)
        return Outcome(solutions, votes, pooling.undecided)

    def solution(self, trajectory: Trajectory) -> Solution:
        """One of them with its answer, before any vote."""
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
        said = self._behind(text)
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
