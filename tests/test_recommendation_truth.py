"""What a recommendation states, held against the truth: problems drawn from known accuracies.

Everything is seeded, so that what holds here always does. In a ladder of fourteen candidates eight
are far behind and six close to each other, which is what grids look like; of the flat field no
candidate is any better.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from candidate_cases import candidate, candidates, drawn
from ets.bench.candidates import Floats
from ets.bench.recommendation import Limit, recommend

REPEATS, PROBLEMS, DRAWS = 60, 100, 600
LOSS = 0.02


@dataclass(frozen=True, slots=True)
class Told:
    """Over the repeats, one number each."""

    confidence: Floats
    cautious: Floats
    is_within: Floats
    apparent: Floats
    outcome: Floats
    outcome_holds: Floats
    truth: Floats
    shortfall_holds: Floats
    falsely_apart: Floats
    """Whether any pair with the chosen one was told apart the wrong way round, or for nothing."""


def told(accuracies: list[list[float]], loss: float, seed: int) -> Told:
    rng = np.random.default_rng(seed)
    rows = []
    for truths in accuracies:
        right = drawn(truths, PROBLEMS, rng)
        each = [
            candidate("rebase" if at % 2 else "best-of-n", hits, 100.0 + at, width=at + 1)
            for at, hits in enumerate(right)
        ]
        by_label = {one.label: truth for one, truth in zip(each, truths, strict=True)}
        luck = int(rng.integers(2**31))
        found = recommend(candidates(each), Limit(within=loss), draws=DRAWS, seed=luck)
        truth = by_label[found.chosen.candidate.label]
        wrong = any(
            standing.told_apart
            and (by_label[standing.candidate.label] - truth) * standing.against.value <= 0
            for standing in found.standings
        )
        rows.append(
            (
                found.confidence,
                found.cautious,
                truth >= max(truths) - loss - 1e-12,
                found.chosen.accuracy.value,
                found.outcome.value,
                found.outcome.low <= truth <= found.outcome.high,
                truth,
                max(truths) - truth <= found.shortfall + 1e-12,
                wrong,
            )
        )
    return Told(*np.array(rows, dtype=np.float64).T)


@pytest.fixture(scope="module")
def ladder() -> Told:
    rng = np.random.default_rng(5)
    fields = [
        [*(0.5 + 0.1 * rng.random(8)), *np.clip(0.8 + 0.03 * rng.normal(size=6), 0.05, 0.95)]
        for _ in range(REPEATS)
    ]
    return told(fields, LOSS, 6)


@pytest.fixture(scope="module")
def flat() -> Told:
    return told([[0.6] * 10] * REPEATS, 0.0, 11)


def test_the_confidence_is_about_the_truth(ladder: Told) -> None:
    share = ladder.is_within.mean()
    assert ladder.cautious.mean() <= share + 0.05
    assert abs(ladder.confidence.mean() - share) < 0.1
    sure = ladder.confidence >= 0.9
    assert sure.sum() > 15
    assert ladder.is_within[sure].mean() >= 0.85


def test_nothing_is_better_by_more_than_is_said(ladder: Told, flat: Told) -> None:
    assert ladder.shortfall_holds.mean() >= 0.95
    assert flat.shortfall_holds.mean() >= 0.95


def test_the_outcome_is_not_flattered(ladder: Told, flat: Told) -> None:
    """Where all are alike, being the best is luck, and the outcome says so."""
    assert flat.apparent.mean() > flat.truth.mean() + 0.04
    for field in (ladder, flat):
        assert abs(field.outcome.mean() - field.truth.mean()) < 0.015
        assert field.outcome_holds.mean() >= 0.88


def test_what_is_alike_is_not_told_apart(ladder: Told, flat: Told) -> None:
    """Once in twenty times, of all pairs together: of sixty repeats more than nine would be luck of
    one in a thousand."""
    assert flat.falsely_apart.sum() <= 9
    assert ladder.falsely_apart.sum() <= 9
