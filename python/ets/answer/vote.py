"""Votes: pool the answers that are equal, and weigh the pools."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from ets.answer.equality import compare_within, is_rounded
from ets.answer.kinds import Key, Reading
from ets.answer.reading import read
from ets.errors import InputError
from ets.pickled import Record

VoteMethod = Literal["weighted", "majority", "best"]
Aggregation = Literal["last", "min", "prod", "mean"]

VOTE_SECONDS = 30.0
"""What a whole vote may take of comparisons that need math-verify."""


@dataclass(frozen=True, slots=True)
class Vote(Record):
    """What one answer got."""

    answer: str
    """The answer as most of its trajectories wrote it."""
    weight: float
    """Sum of scores (weighted), number of votes (majority) or highest score (best)."""
    count: int
    """How many trajectories gave it."""


@dataclass(frozen=True, slots=True)
class Pooling:
    """Answers and the pools that they are in."""

    answers: list[str | None]
    """For each answer the form that stands for its pool: its commonest, of equals the first."""
    undecided: int
    """Pairs of answers that were not compared to an end: time ran out. They count as different."""
    seconds: float | None
    """The deadline that ended the comparisons, if one did."""


def vote(
    answers: Sequence[str | None],
    scores: Sequence[float],
    method: VoteMethod = "weighted",
    *,
    seconds: float | None = None,
) -> list[Vote]:
    """Pool the trajectories' answers, the best first; ties in order of first appearance.

    Mathematically equal answers pool under the commonest form of them. A trajectory without an
    answer (None, or no text) does not vote. `seconds` is what the comparisons may take, by default
    30; what is not compared by then counts as different, and `pool_answers` says how much that was.

    Raises `InputError` for an unknown method, lengths that differ, or a score that is not finite.
    """
    return votes_of(pool_answers(answers, seconds), scores, method)


def votes_of(pooling: Pooling, scores: Sequence[float], method: VoteMethod) -> list[Vote]:
    """`vote` of answers that are pooled already: n of them, with n scores.

    Raises `InputError` for an unknown method, lengths that differ, or a score that is not finite.
    """
    answers = pooling.answers
    if method not in get_args(VoteMethod):
        raise InputError(f"method must be one of {get_args(VoteMethod)}, got {method!r}")
    if len(answers) != len(scores):
        raise InputError(f"{len(answers)} answers but {len(scores)} scores")
    for i, score in enumerate(scores):
        if not math.isfinite(score):
            raise InputError(f"scores[{i}] must be finite, got {score}")

    pools: dict[str, list[float]] = {}
    for form, score in zip(answers, scores, strict=True):
        if form is not None:
            pools.setdefault(form, []).append(float(score))

    votes = [Vote(answer, _weight(got, method), len(got)) for answer, got in pools.items()]
    return sorted(votes, key=lambda v: -v.weight)  # stable: ties stay in order of appearance


def _weight(scores: Sequence[float], method: VoteMethod) -> float:
    if method == "weighted":
        return math.fsum(scores)
    return float(len(scores)) if method == "majority" else max(scores)


def aggregate(rewards: Sequence[float], how: Aggregation = "last") -> float:
    """A trajectory's score from its steps' rewards.

    Raises `InputError` for an unknown `how` or no rewards.
    """
    if how not in get_args(Aggregation):
        raise InputError(f"how must be one of {get_args(Aggregation)}, got {how!r}")
    numbers = [float(reward) for reward in rewards]
    if not numbers:
        raise InputError("rewards must not be empty")
    if how == "last":
        return numbers[-1]
    if how == "min":
        return min(numbers)
    if how == "prod":
        return math.prod(numbers)
    return math.fsum(numbers) / len(numbers)


def pool(answers: Sequence[str | None]) -> list[str | None]:
    """For each answer the form that stands for its pool; None for one without text."""
    return pool_answers(answers).answers


def pool_answers(answers: Sequence[str | None], seconds: float | None = None) -> Pooling:
    """Pool answers by what they were read as, so that pools do not depend on who came first.

    1. Equal keys pool: a key is what the grammar makes of an answer, 50% being a half, and an
       equation what it has in common with its multiples.
    2. What the grammar does not read is compared by math-verify, with the others of its kind that
       it does not read, until `seconds` (by default 30) have passed.
    3. A pool without a unit or a name joins the greatest one that has one and is else equal; a
       rounded decimal the exact number that it rounds.
    """
    limit = VOTE_SECONDS if seconds is None else seconds
    counts = Counter(answer for answer in answers if answer is not None and answer.strip())
    readings = {answer: read(answer) for answer in counts}
    groups: dict[object, list[str]] = {}
    opened: list[str] = []
    for answer, reading in readings.items():  # in order of appearance
        if reading.key is not None:
            groups.setdefault(reading.key, []).append(answer)
        elif (same := _open(reading)) in groups:
            groups[same].append(answer)
        else:
            groups[same] = [answer]
            opened.append(answer)
    undecided = _join_open(groups, opened, readings, time.monotonic() + limit)
    _join_bare(groups, readings, counts)
    _join_rounded(groups, readings, counts)

    stands_for: dict[str, str] = {}
    for members in groups.values():
        form = max(members, key=lambda answer: counts[answer])  # of equals the first
        stands_for.update(dict.fromkeys(members, form))
    forms = [stands_for.get(answer) if answer is not None else None for answer in answers]
    return Pooling(forms, undecided, limit if undecided else None)


Groups = dict[object, list[str]]


def _join_open(
    groups: Groups, opened: list[str], readings: dict[str, Reading], deadline: float
) -> int:
    """Pools what only math-verify can compare, and counts the pairs that it had no time for."""
    undecided = 0
    firsts: dict[object, list[str]] = {}
    for answer in sorted(opened):  # not who came first: math-verify is not transitive
        bucket = firsts.setdefault(_bucket(readings[answer]), [])
        for first in bucket:
            verdict = compare_within(readings[first], readings[answer], deadline)
            if verdict is None:
                undecided += 1
            elif verdict:
                _join(groups, _open(readings[answer]), _open(readings[first]), readings)
                break
        else:
            bucket.append(answer)
    return undecided


def _open(reading: Reading) -> object:
    return ("open", reading.text)


def _bucket(reading: Reading) -> object:
    """What two answers that only math-verify can compare must have in common."""
    return (reading.kind, len(reading.entries), reading.shape, "=" in reading.text)


def _votes(members: list[str], counts: Counter[str]) -> int:
    return sum(counts[answer] for answer in members)


def _join_bare(groups: Groups, readings: dict[str, Reading], counts: Counter[str]) -> None:
    dressed: dict[Key, set[object]] = {}
    for key, members in groups.items():
        for bare in {readings[answer].bare() for answer in members} - {None, key}:
            if bare is not None:
                dressed.setdefault(bare, set()).add(key)
    for bare in [bare for bare in groups if bare in dressed]:
        keys = [key for key in dressed[bare] if key in groups]
        if keys:
            _join(groups, bare, _greatest(groups, keys, counts), readings)


def _join_rounded(groups: Groups, readings: dict[str, Reading], counts: Counter[str]) -> None:
    decimals = {
        key for key, members in groups.items() if all(_is_decimal(readings[a]) for a in members)
    }
    exact = [key for key in groups if key not in decimals]
    near = {
        key: [e for e in exact if _rounds_any(groups[key], groups[e], readings)] for key in decimals
    }
    for key in [key for key in groups if near.get(key)]:
        _join(groups, key, _greatest(groups, near[key], counts), readings)


def _rounds_any(members: list[str], others: list[str], readings: dict[str, Reading]) -> bool:
    return any(is_rounded(readings[a], readings[b]) for a in members for b in others)


def _is_decimal(reading: Reading) -> bool:
    return reading.number is not None and reading.number.decimals is not None


def _greatest(groups: Groups, keys: list[object], counts: Counter[str]) -> object:
    """The pool of the most votes; of equals the same one, whoever came first."""
    return max(keys, key=lambda key: (_votes(groups[key], counts), repr(key)))


def _join(groups: Groups, key: object, other: object, readings: dict[str, Reading]) -> None:
    order = {answer: i for i, answer in enumerate(readings)}
    groups[other] = sorted(groups[other] + groups.pop(key), key=order.__getitem__)
