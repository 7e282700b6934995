"""Whether the leading answer of independent votes is the likeliest one: a sequential test."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ets.checks import check_number
from ets.errors import InputError
from ets.pickled import Record

_BETS = np.sin(np.pi * (2 * np.arange(64) + 1) / 256)
"""[64]: fractions of a capital that are bet on the leader, in (0, 1), equally weighted: the arcsine
prior on a share of 1/2 to 1 of the votes of two answers, cut into pieces."""
_FIRST = 0.8
"""The part of the error that the first answer to appear may spend."""


@dataclass(frozen=True, slots=True)
class Standing(Record):
    """How certain it is that the leading answer is the likeliest one."""

    answer: str
    """That with the most votes."""
    chance: float
    """The chance, at most, with which votes ever look as certain for an answer that is not the
    likeliest; in [0, 1]."""
    error: float
    """The chance that was to be undercut."""
    votes: int
    """For the answer."""
    rival: int
    """For the answer that the test could tell it from the least; 0 where there is none."""
    counted: int
    """Votes in all; who gave no answer has none."""

    @property
    def certain(self) -> bool:
        """Whether `chance` is at most `error`."""
        return self.chance <= self.error

    def __str__(self) -> str:
        is_it = "the likeliest answer" if self.certain else "not yet the likeliest answer for sure"
        return (
            f"{self.answer} is {is_it}: {self.votes} of {self.counted} votes, the nearest other "
            f"answer has {self.rival}; error {self.chance:.2g}, at most {self.error:g} allowed"
        )


def standing(
    answers: Sequence[str | None],
    weights: Sequence[float] | None = None,
    *,
    error: float = 0.05,
) -> Standing | None:
    """Test whether the leader of these votes is the likeliest answer; None where nobody answered.

    `answers` [n] are independent draws of one distribution, in the order in which they were asked
    for, equal ones by one form (`pool_answers`); None is a draw without an answer, which does not
    vote. Whenever and however often it is asked as n grows, the chance that it is ever `certain` of
    an answer that is not the likeliest is at most `error`, however many answers there are. Of
    equally likely ones each is the likeliest. With `weights` [n], in [0, 1], each independent of
    the other draws, the likeliest is that with the greatest expected weight.

    For the leader `i`, the `k`-th answer to appear, every other answer `j` and `L` 64 numbers in
    (0, 1),

    ```text
    E_ij = mean over l in L of the product of
           1 + l * w_t over the votes t for i but its first, and of 1 - l * w_t over those for j
    chance = 1 / (a_k * min over j of E_ij),    a_1 = 4/5, a_k = 1 / (5 k (k - 1)) for k > 1
    ```

    Proof. Let `m` be likeliest. From the first vote for `i` on, `E_im` is a supermartingale, as a
    draw multiplies it by 1 + l * (E[w; i] - E[w; m]) <= 1 on average, and it starts at 1 at most;
    so by Ville's inequality it ever reaches 1 / (a_k * error) with a chance of `a_k * error` at
    most, where `k` is known by then. To be certain of `i` it must. Over all `i` that may be taken
    for `m` the `k` differ, and the `a_k` sum to 1. An answer that nobody gave yet has no factor
    below 1, so those that were given bound it. With weights of 1, pairs of answers are compared as
    by PPR-1v1 (Jain et al., 2022, arXiv 2109.05047), one-sided and with an arcsine prior; that the
    union is over leaders, by their order of appearance, makes it hold for any number of answers.

    # Errors
    `InputError` for an error outside (0, 0.5], lengths that differ, or a weight outside [0, 1].
    """
    check_error("error", error)
    given = np.ones(len(answers)) if weights is None else _checked(weights, len(answers))
    found = _Votes()
    for answer, weight in zip(answers, given.tolist(), strict=True):
        if answer is not None:
            found.take(answer, weight)
    return found.standing(error) if found.order else None


def fewest_votes(error: float) -> int:
    """Votes, all for one answer, that make it certain at that error."""
    check_error("error", error)
    gain, wanted = np.log1p(_BETS), -math.log(_FIRST) - math.log(error)
    votes = 1
    while _log_mean(gain * (votes - 1)) < wanted:
        votes += 1
    return votes


def check_error(name: str, error: object) -> None:
    """Raise `InputError` unless it is an error that can be stated."""
    check_number(name, error, "in (0, 0.5]", lambda x: 0 < x <= 0.5)


class _Votes:
    """What the test needs of the votes so far, by answer."""

    def __init__(self) -> None:
        self.order: dict[str, int] = {}  # which answer it was to appear, from 1
        self._counts: dict[str, int] = {}
        self._weights: dict[str, float] = {}
        self._gains: dict[str, NDArray[np.float64]] = {}  # log of the factors of a leader
        self._losses: dict[str, NDArray[np.float64]] = {}  # log of those of a rival

    def take(self, answer: str, weight: float) -> None:
        if answer not in self.order:
            self.order[answer] = len(self.order) + 1
            self._counts[answer], self._weights[answer] = 0, 0.0
            self._gains[answer] = np.zeros(len(_BETS))
            self._losses[answer] = np.zeros(len(_BETS))
        else:
            self._gains[answer] += np.log1p(_BETS * weight)
        self._losses[answer] += np.log1p(-_BETS * weight)
        self._counts[answer] += 1
        self._weights[answer] += weight

    def standing(self, error: float) -> Standing:
        leader = max(self.order, key=lambda answer: self._weights[answer])
        gain = self._gains[leader]
        rivals = {
            answer: _log_mean(gain + loss)
            for answer, loss in self._losses.items()
            if answer != leader
        }
        nearest = min(rivals, key=lambda answer: rivals[answer], default=None)
        evidence = _log_mean(gain) if nearest is None else rivals[nearest]
        k = self.order[leader]
        part = _FIRST if k == 1 else (1.0 - _FIRST) / (k * (k - 1))
        return Standing(
            answer=leader,
            chance=math.exp(min(0.0, -math.log(part) - evidence)),
            error=error,
            votes=self._counts[leader],
            rival=0 if nearest is None else self._counts[nearest],
            counted=sum(self._counts.values()),
        )


def _log_mean(logs: NDArray[np.float64]) -> float:
    """The logarithm of the mean of numbers with these logarithms."""
    most = float(logs.max())
    return most + math.log(float(np.exp(logs - most).mean()))


def _checked(weights: Sequence[float], n: int) -> NDArray[np.float64]:
    if len(weights) != n:
        raise InputError(f"{n} answers but {len(weights)} weights")
    for at, weight in enumerate(weights):
        check_number(f"weights[{at}]", weight, "in [0, 1]", lambda x: 0 <= x <= 1)
    return np.array(weights, dtype=np.float64)
