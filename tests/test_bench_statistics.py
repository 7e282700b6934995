"""Statistics against scipy, brute force and cases made by hand."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from ets.answer import VoteMethod, vote
from ets.bench.statistics import (
    bootstrap_means,
    mcnemar,
    paired_bootstrap,
    paired_ratio,
    pass_at_k,
    vote_at_k,
    wilson,
)
from ets.errors import InputError


@given(st.integers(1, 2000), st.data())
def test_wilson_is_scipys(total: int, data: st.DataObject) -> None:
    right = data.draw(st.integers(0, total))
    expected = stats.binomtest(right, total).proportion_ci(method="wilson")
    found = wilson(right, total)
    assert found.value == right / total
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-12)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=400))
def test_mcnemar_is_a_binomial_test_of_those_that_differ(pairs: list[tuple[bool, bool]]) -> None:
    a, b = zip(*pairs, strict=True)
    only_a = sum(x and not y for x, y in pairs)
    only_b = sum(y and not x for x, y in pairs)
    n = only_a + only_b
    expected = stats.binomtest(only_a, n).pvalue if n else 1.0
    assert mcnemar(a, b) == pytest.approx(expected, abs=1e-12)
    assert mcnemar(a, b) == mcnemar(b, a)


def test_mcnemar_of_many_that_differ_is_finite() -> None:
    a = np.arange(3000) % 2 == 0
    assert mcnemar(a, ~a) == pytest.approx(1.0, abs=0.01)
    assert mcnemar(np.ones(3000, bool), np.zeros(3000, bool)) == 0.0


@pytest.mark.parametrize("samples", range(1, 8))
def test_pass_at_k_counts_subsets(samples: int) -> None:
    for right in range(samples + 1):
        hits = [i < right for i in range(samples)]
        for k in range(1, samples + 1):
            subsets = list(itertools.combinations(hits, k))
            assert pass_at_k(samples, right, k) == pytest.approx(
                sum(map(any, subsets)) / len(subsets)
            )


@given(st.data())
def test_vote_of_all_is_the_vote(data: st.DataObject) -> None:
    n = data.draw(st.integers(1, 12))
    classes = data.draw(st.lists(st.integers(-1, 3), min_size=n, max_size=n))
    scores = data.draw(st.lists(st.integers(0, 8), min_size=n, max_size=n))
    weights = [score / 8 for score in scores]  # sums of eighths are exact
    right = data.draw(st.integers(0, 3))
    answers = [None if k < 0 else str(k) for k in classes]
    hits = [k == right for k in classes]
    cases: tuple[tuple[VoteMethod, list[float] | None], ...] = (
        ("majority", None),
        ("weighted", weights),
    )
    for method, given_weights in cases:
        pools = vote(answers, weights, method)
        expected = bool(pools) and pools[0].answer == str(right)
        assert vote_at_k(classes, hits, n, weights=given_weights) == expected


def test_vote_of_some_is_the_mean_over_subsets() -> None:
    classes = [0, 1, 0, 2, 1, 0, -1, 1]
    hits = [k == 1 for k in classes]
    for k in (1, 3, 5):
        exact = np.mean(
            [
                vote_at_k([classes[i] for i in s], [hits[i] for i in s], k)
                for s in itertools.combinations(range(8), k)
            ]
        )
        assert vote_at_k(classes, hits, k, draws=4000) == pytest.approx(exact, abs=0.03)
        assert vote_at_k(classes, hits, k) == vote_at_k(classes, hits, k)


def test_bootstrap_of_one_seed_is_scipys() -> None:
    rng = np.random.default_rng(3)
    a = rng.random(120) < 0.7
    b = np.where(rng.random(120) < 0.8, a, rng.random(120) < 0.5)
    difference = a.astype(float) - b
    expected = stats.bootstrap(
        (difference,), np.mean, n_resamples=20_000, method="percentile", random_state=1
    ).confidence_interval
    found = paired_bootstrap(a[:, None], b[:, None], draws=20_000)
    assert found.value == pytest.approx(difference.mean())
    assert (found.low, found.high) == pytest.approx(tuple(expected), abs=0.009)


def test_bootstrap_sees_that_seeds_are_drawn_too() -> None:
    """All problems alike, half of the seeds right: what varies is the seeds alone."""
    a = np.tile([1.0, 0.0, 1.0, 0.0], (30, 1))
    found = paired_bootstrap(a, np.zeros_like(a), draws=4000)
    half = 1.96 * math.sqrt(0.25 / a.size)
    assert found.value == 0.5
    assert (found.low, found.high) == pytest.approx((0.5 - half, 0.5 + half), abs=0.02)


def test_bootstrap_of_a_constant_difference_has_no_width() -> None:
    found = paired_bootstrap(np.ones((9, 3)), np.zeros((9, 3)), draws=50)
    assert (found.low, found.value, found.high) == (1.0, 1.0, 1.0)


def test_a_ratio_of_one_seed_is_scipys() -> None:
    rng = np.random.default_rng(5)
    b = rng.integers(200, 3000, 150).astype(float)
    a = b * rng.uniform(1.0, 2.0, 150)
    expected = stats.bootstrap(
        (a, b),
        lambda x, y, axis: x.mean(axis=axis) / y.mean(axis=axis),
        paired=True,
        n_resamples=20_000,
        method="percentile",
        random_state=1,
    ).confidence_interval
    found = paired_ratio(a[:, None], b[:, None], draws=20_000)
    assert found.value == pytest.approx(a.sum() / b.sum())
    assert (found.low, found.high) == pytest.approx(tuple(expected), abs=0.004)
    # Unpaired, the sizes of the problems would drown the ratio.
    assert found.high - found.low < 0.15
    assert paired_ratio(3 * a[:, None], b[:, None]).low == pytest.approx(
        3 * paired_ratio(a[:, None], b[:, None]).low
    )


def test_a_ratio_over_every_resample_of_three_problems() -> None:
    """27 resamples: their quantiles are what 10,000 draws must come to."""
    a, b = np.array([100.0, 300.0, 900.0]), np.array([100.0, 150.0, 300.0])
    every = [
        a[list(rows)].sum() / b[list(rows)].sum() for rows in itertools.product(range(3), repeat=3)
    ]
    low, high = np.quantile(every, (0.025, 0.975), method="inverted_cdf")
    found = paired_ratio(a[:, None], b[:, None])
    assert (found.value, found.low, found.high) == pytest.approx((1300 / 550, low, high))


def test_draws_do_not_depend_on_how_many_are_in_memory() -> None:
    rng = np.random.default_rng(2)
    a, b = rng.random((7000, 1)), rng.random((7000, 1))  # 37 draws at a time
    means = bootstrap_means(a, b, draws=100, seed=8)
    drawn = np.random.default_rng(8)
    expected = [(a - b)[drawn.integers(0, 7000, 7000)].mean() for _ in range(100)]
    assert means == pytest.approx(expected)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: wilson(3, 2), "right must lie in .* 3 of 2"),
        (lambda: wilson(0, 0), "0 of 0"),
        (lambda: pass_at_k(4, 5, 1), r"right must lie in \[0, 4\], got 5"),
        (lambda: pass_at_k(4, 1, 5), r"k must lie in \[1, 4\], got 5"),
        (lambda: vote_at_k([0], [True, False], 1), "as long as classes: 1"),
        (lambda: vote_at_k([0], [True], 0), r"k must lie in \[1, 1\], got 0"),
        (lambda: mcnemar([True], [True, False]), "as long as each other"),
        (lambda: paired_bootstrap([[1]], [[1, 2]]), "alike, got"),
        (lambda: paired_bootstrap(np.zeros((0, 1)), np.zeros((0, 1))), "alike, got"),
        (lambda: paired_ratio([[1]], [[1, 2]]), "alike, got"),
        (lambda: paired_ratio([[1], [2]], [[1], [0]]), "b must be finite and > 0, got 0"),
        (lambda: paired_ratio([[1], [-2]], [[1], [1]]), "a must be finite and >= 0, got -2"),
        (lambda: paired_ratio([[math.nan]], [[1]]), "a must be finite and >= 0, got nan"),
    ],
)
def test_what_makes_no_sense_is_refused(call: Callable[[], object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        call()
