"""Answers: find one in a solution, compare two, pool equal ones, vote.

`docs/answers.md` has the rules. `extraction` finds an answer (`boxes`, `clause`, `structured` for
JSON), `reading` says what it is (`fold`, `numbers`, `units`, `expression`), `equality` compares
two, with math-verify in a process of its own (`verifier`) for what the grammar does not read,
`vote` pools many, and `mode` tests whether the winner is the likeliest.
"""

from ets.answer.equality import same_answer
from ets.answer.extraction import extract_answer, reads_as_answer
from ets.answer.mode import Standing, standing
from ets.answer.vote import (
    Aggregation,
    Pooling,
    Vote,
    VoteMethod,
    aggregate,
    pool,
    pool_answers,
    vote,
    votes_of,
)
from ets.answer.worth import worth_of_votes

__all__ = [
    "Aggregation",
    "Pooling",
    "Standing",
    "Vote",
    "VoteMethod",
    "aggregate",
    "extract_answer",
    "pool",
    "pool_answers",
    "reads_as_answer",
    "same_answer",
    "standing",
    "vote",
    "votes_of",
    "worth_of_votes",
]
