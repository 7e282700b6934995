"""The sequential test of votes: as it is defined, and wrong as often as it says, by trial."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ets.answer.mode import Standing, fewest_votes, standing
from ets.errors import InputError

BETS = [math.sin(math.pi * (2 * k + 1) / 256) for k in range(64)]


def naive_chance(answers: list[str | None], weights: list[float], leader: str) -> float:
    """By the definition: every rival, every bet, every vote."""
    seen = list(dict.fromkeys(answer for answer in answers if answer is not None))
    k = seen.index(leader) + 1
    part = 4 / 5 if k == 1 else 1 / (5 * k * (k - 1))
    least = math.inf
    for rival in [*seen, "an answer that nobody gave"]:
        if rival == leader:
            continue
        capital = []
        for bet in BETS:
            product, first = 1.0, True
            for answer, weight in zip(answers, weights, strict=True):
                if answer == rival:
                    product *= 1 - bet * weight
                if answer == leader:
                    product *= 1.0 if first else 1 + bet * weight
                    first = False
            capital.append(product)
        least = min(least, math.fsum(capital) / len(capital))
    return min(1.0, 1 / (part * least)) if least else 1.0


votes = st.lists(st.sampled_from([*"aaabbcd", None]), min_size=1, max_size=40)


@settings(max_examples=60, deadline=None)
@given(answers=votes, data=st.data())
def test_a_chance_is_as_defined(answers: list[str | None], data: Any) -> None:
    weights = data.draw(
        st.one_of(
            st.just([1.0] * len(answers)),
            st.lists(st.floats(0, 1), min_size=len(answers), max_size=len(answers)),
        )
    )
    found = standing(answers, weights, error=0.1)
    given_by = [answer for answer in answers if answer is not None]
    if found is None:
        assert not given_by
        return
    total = {
        answer: math.fsum(w for a, w in zip(answers, weights, strict=True) if a == answer)
        for answer in given_by
    }
    assert total[found.answer] == pytest.approx(max(total.values()))
    assert found.chance == pytest.approx(
        naive_chance(answers, weights, found.answer), rel=1e-9, abs=1e-300
    )
    assert found.votes == given_by.count(found.answer)
    assert found.rival in {0, *(given_by.count(a) for a in given_by if a != found.answer)}
    assert found.counted == len(given_by)
    assert found.certain == (found.chance <= 0.1)
    if weights == [1.0] * len(answers):
        assert found == standing(answers, error=0.1)
        # Whoever has as many votes cannot be told from the leader.
        assert found.votes > found.rival or not found.certain


def test_the_fewest_votes_are_those_of_one_answer() -> None:
    assert [fewest_votes(error) for error in (0.5, 0.1, 0.05, 0.01)] == [3, 6, 7, 10]
    for error in (0.5, 0.05, 0.01, 1e-9):
        least = fewest_votes(error)
        certain = [standing(["7"] * n, error=error) for n in (least - 1, least)]
        assert [s is not None and s.certain for s in certain] == [False, True]


def test_what_it_says() -> None:
    sure = standing(["7"] * 9 + [None, "8"], error=0.2)
    assert str(sure).startswith("7 is the likeliest answer: 9 of 10 votes, the nearest other")
    split = standing(["7", "8"])
    assert split is not None
    assert not split.certain
    assert "not yet" in str(split)
    assert "\n" not in str(split)
    assert standing([None, None]) is None
    assert standing([]) is None


@pytest.mark.parametrize(
    ("weights", "error", "message"),
    [
        (None, 0.0, "error must be in"),
        (None, 0.7, "error must be in .*0.7"),
        (None, True, "error must be a number"),
        ([1.0], 0.05, "2 answers but 1 weights"),
        ([0.5, 1.5], 0.05, r"weights\[1\] must be in \[0, 1\], got 1.5"),
        ([0.5, math.nan], 0.05, r"weights\[1\]"),
    ],
)
def test_wrong_votes_are_named(weights: Any, error: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        standing(["a", "b"], weights, error=error)


# -- the stated error, by trial --------------------------------------------------------------------


def wrongly_certain(
    shares: NDArray[np.float64],
    error: float,
    *,
    runs: int,
    horizon: int,
    seed: int,
    worth: NDArray[np.float64] | None = None,
) -> int:
    """Runs in which the test is certain, at any vote, of an answer that is not the likeliest.

    `worth` [n]: the mean weight of a vote for each answer, drawn anew for each vote.
    """
    draw = np.random.default_rng(seed)
    bets = np.array(BETS)
    expected = shares if worth is None else shares * worth
    wrong = 0
    for _ in range(runs):
        votes = draw.choice(len(shares), size=horizon, p=shares)
        weights = np.ones(horizon)
        if worth is not None:
            weights = draw.beta(4 * worth[votes] + 1e-9, 4 * (1 - worth[votes]) + 1e-9)
        order: list[int] = []
        total: dict[int, float] = {}
        gains: dict[int, NDArray[np.float64]] = {}
        losses: dict[int, NDArray[np.float64]] = {}
        for vote, weight in zip(votes.tolist(), weights.tolist(), strict=True):
            if vote not in total:
                order.append(vote)
                total[vote], gains[vote], losses[vote] = 0.0, np.ones(64), np.ones(64)
            else:
                gains[vote] = gains[vote] * (1 + bets * weight)
            losses[vote] = losses[vote] * (1 - bets * weight)
            total[vote] += weight
            leader = max(total, key=lambda answer: total[answer])
            if expected[leader] == expected.max():
                continue  # whether it is certain of the likeliest is no error
            k = order.index(leader) + 1
            part = 0.8 if k == 1 else 0.2 / (k * (k - 1))
            near = max((a for a in total if a != leader), key=lambda a: total[a], default=None)
            # The rival with the most weight first: it alone refutes most leaders.
            if near is not None and (gains[leader] * losses[near]).mean() < 1 / (part * error):
                continue
            rivals = [losses[a] for a in total if a != leader] or [np.ones(64)]
            least = min(float((gains[leader] * loss).mean()) for loss in rivals)
            if least >= 1 / (part * error):
                wrong += 1
                break
    return wrong


def zipf(n: int, power: float) -> NDArray[np.float64]:
    weights = np.arange(1, n + 1) ** -power
    shares: NDArray[np.float64] = weights / weights.sum()
    return shares


def mostly_unique(most: float, n: int) -> NDArray[np.float64]:
    return np.array([most, *[(1 - most) / n] * n])


NEAR_TIES = {
    "two, nearly tied": np.array([0.505, 0.495]),
    "two, one below a half": np.array([0.45, 0.4, 0.15]),
    "three, nearly tied": np.array([0.34, 0.33, 0.33]),
    "twenty, nearly tied": np.array([0.0525, *[0.9475 / 19] * 19]),
    "a tie for the first place": np.array([0.4, 0.4, 0.2]),
    "a heavy tail": zipf(1000, 1.0),
    "all but one unique": mostly_unique(0.02, 5000),
    "easy": np.array([0.9, 0.1]),
}


def most_wrong(runs: int, error: float) -> int:
    """What a binomial of that chance exceeds once in a million times, by Chernoff's bound."""
    at = error
    while at < 1:
        at += 1 / runs
        divergence = at * math.log(at / error)
        divergence += (1 - at) * math.log((1 - at) / (1 - error)) if at < 1 else 0.0
        if runs * divergence > math.log(1e6):
            break
    return math.ceil(at * runs)


@pytest.mark.parametrize("error", [0.5, 0.05])
@pytest.mark.parametrize("name", NEAR_TIES)
def test_the_error_is_at_most_the_stated_one(name: str, error: float) -> None:
    wrong = wrongly_certain(NEAR_TIES[name], error, runs=100, horizon=100, seed=1)
    assert wrong <= most_wrong(100, error)
    assert wrong <= 100 * error  # of this seed


def test_the_error_is_no_empty_promise() -> None:
    """Where the test may be wrong half the time, it is wrong now and then."""
    wrong = wrongly_certain(NEAR_TIES["two, nearly tied"], 0.5, runs=300, horizon=200, seed=2)
    assert 10 <= wrong <= 150


@pytest.mark.parametrize("error", [0.5, 0.05])
@pytest.mark.parametrize(
    ("shares", "worth"),
    [
        ([0.5, 0.5], [0.5, 0.49]),
        ([0.3, 0.7], [0.9, 0.38]),  # the commonest answer is not the one of most weight
        ([0.4, 0.3, 0.3], [0.3, 0.39, 0.39]),
        ([0.2] * 5, [0.62, 0.6, 0.6, 0.6, 0.6]),
    ],
)
def test_the_error_holds_for_weighted_votes(
    shares: list[float], worth: list[float], error: float
) -> None:
    wrong = wrongly_certain(
        np.array(shares), error, runs=120, horizon=120, seed=3, worth=np.array(worth)
    )
    assert wrong <= 120 * error


def test_the_trial_counts_what_the_test_says() -> None:
    """The quick trial above is wrong in the very runs in which `standing` is."""
    shares, runs = np.array([0.4, 0.35, 0.25]), 40
    draw = np.random.default_rng(9)
    wrong = 0
    for _ in range(runs):
        answers = [str(v) for v in draw.choice(3, size=60, p=shares)]
        seen = [standing(answers[:n], error=0.5) for n in range(1, 61)]
        wrong += any(s is not None and s.certain and s.answer != "0" for s in seen)
    assert wrong == wrongly_certain(shares, 0.5, runs=runs, horizon=60, seed=9)
    assert wrong > 0


def test_a_standing_is_a_record() -> None:
    found = standing(["7", "7", "8"])
    assert isinstance(found, Standing)
    assert found.__reduce__()[1][0] is Standing
