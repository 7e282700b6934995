"""Width allocation: exact, in full, ties in a fixed order, bad input by name."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ets import _core

rewards_lists = st.lists(
    st.one_of(st.integers(0, 10).map(lambda t: t / 10), st.floats(0, 1)), min_size=1, max_size=60
)


def rebase_exact(rewards: list[float], width: int, temperature: float) -> list[int] | None:
    """REBASE in rational arithmetic on the float shares; None where a quotient nears an integer."""
    order = sorted(range(len(rewards)), key=lambda i: -rewards[i])
    share = [Fraction(math.exp((rewards[i] - rewards[order[0]]) / temperature)) for i in order]
    counts, left = [0] * len(rewards), width
    for at, leaf in enumerate(order):
        exact = left * share[at] / sum(share[at:])
        if 0 < abs(exact - round(exact)) < Fraction(1, 10**8):
            return None
        counts[leaf] = min(math.ceil(exact), left)
        left -= counts[leaf]
    return counts


@given(rewards_lists, st.integers(1, 300), st.sampled_from([0.1, 0.2, 1.0]))
def test_rebase_is_its_definition(rewards: list[float], width: int, temperature: float) -> None:
    counts = _core.rebase_weights(np.array(rewards), width, temperature)
    assert counts.dtype == np.int64
    assert counts.sum() == width
    expected = rebase_exact(rewards, width, temperature)
    if expected is not None:
        assert counts.tolist() == expected


@given(rewards_lists, st.integers(1, 2**32))
def test_rebase_hands_out_any_width_in_full(rewards: list[float], width: int) -> None:
    counts = _core.rebase_weights(np.array(rewards), width)
    assert counts.sum() == width
    assert (counts >= 0).all()


def test_rebase_gives_ties_to_the_first_and_takes_any_finite_reward() -> None:
    assert _core.rebase_weights(np.full(4, 0.5), 6).tolist() == [2, 2, 1, 1]
    assert _core.rebase_weights(np.array([0.0, -0.0, 0.0]), 4).tolist() == [2, 1, 1]
    assert _core.rebase_weights(np.array([-1e308, 1e308]), 5).tolist() == [0, 5]
    assert _core.rebase_weights(np.array([0.3]), 2**31).tolist() == [2**31]
    for n in range(1, 200):  # an even split is even, whatever the rounding
        assert _core.rebase_weights(np.full(n, 0.7), 3 * n).tolist() == [3] * n


@given(rewards_lists, st.integers(1, 300), st.none() | st.integers(1, 80))
def test_beam_keeps_the_best(rewards: list[float], width: int, keep: int | None) -> None:
    counts = _core.beam_weights(np.array(rewards), width, keep).tolist()
    beam = keep if keep is not None else math.isqrt(width - 1) + 1
    kept = sorted(range(len(rewards)), key=lambda i: -rewards[i])[:beam]
    each = -(-width // beam)
    assert counts == [each if i in kept else 0 for i in range(len(rewards))]


@given(st.data())
def test_dvts_gives_each_subtree_to_its_best_leaf(data: st.DataObject) -> None:
    rewards = data.draw(rewards_lists)
    shares = data.draw(st.lists(st.integers(0, 50), min_size=1, max_size=9))
    subtree = st.integers(0, len(shares) - 1)
    subtrees = data.draw(st.lists(subtree, min_size=len(rewards), max_size=len(rewards)))
    counts = _core.dvts_weights(np.array(rewards), np.array(subtrees), np.array(shares))
    expected = [0] * len(rewards)
    for label, share in enumerate(shares):
        members = [i for i, own in enumerate(subtrees) if own == label]
        if members:
            expected[max(members, key=lambda i: rewards[i])] = share
    assert counts.tolist() == expected


def odds_shares(rewards: list[float], temperature: float) -> NDArray[np.float64]:
    """softmax(logit(reward) / T) as it reads."""
    clipped = np.clip(np.array(rewards), 1e-7, 1 - 1e-7)
    logits = np.log(clipped / (1 - clipped)) / temperature
    shares = np.exp(logits - logits.max())
    return np.asarray(shares / shares.sum())


@given(
    rewards_lists,
    st.integers(1, 300) | st.just(2**32),
    st.sampled_from([1.0, 0.3, 2.0]),
    st.integers(0, 2**64 - 1),
)
def test_systematic_counts_are_expectations_rounded_down_or_up(
    rewards: list[float], width: int, temperature: float, seed: int
) -> None:
    counts = _core.particle_weights(
        np.array(rewards), width, temperature, seed=seed, method="systematic"
    )
    assert counts.dtype == np.int64
    assert counts.sum() == width
    expected = width * odds_shares(rewards, temperature)
    assert (np.abs(counts - expected) < 1 + 1e-12 * width).all()


@given(rewards_lists, st.integers(1, 300), st.integers(0, 2**64 - 1))
def test_multinomial_counts_sum_to_the_width(rewards: list[float], width: int, seed: int) -> None:
    counts = _core.particle_weights(np.array(rewards), width, seed=seed)
    assert counts.sum() == width
    assert (counts >= 0).all()
    assert counts.tolist() == _core.particle_weights(np.array(rewards), width, seed=seed).tolist()


@pytest.mark.parametrize("temperature", [1.0, 0.5, 3.0])
def test_multinomial_draws_fall_as_the_probabilities_say(temperature: float) -> None:
    rng = np.random.default_rng(4)
    rewards = rng.uniform(0.05, 0.95, size=200)
    expected = 65_536 * odds_shares(rewards.tolist(), temperature)
    counts = _core.particle_weights(rewards, 65_536, temperature, seed=11)
    big = expected >= 5
    chi_square = ((counts - expected)[big] ** 2 / expected[big]).sum()
    degrees = int(big.sum())
    assert abs(chi_square - degrees) < 6 * math.sqrt(2 * degrees)


def test_particles_at_certain_rewards_and_large_widths() -> None:
    certain = np.array([1.0, 0.0, 1.0, 0.5])
    for method in ("multinomial", "systematic"):
        counts = _core.particle_weights(certain, 65_536, seed=3, method=method)
        assert counts[1] == counts[3] == 0
        assert abs(counts[0] - counts[2]) < 2000
        wide = _core.particle_weights(np.full(65_536, 0.5), 65_536, seed=3, method=method)
        assert wide.sum() == 65_536
    assert wide.tolist() == [1] * 65_536  # systematic: an even split is even


def dora_exact(
    rewards: NDArray[np.float64], rows: NDArray[np.float64], width: int, t: float, t_s: float
) -> list[int] | None:
    """DORA as it reads, over whole matrices; None where rounding decides a count."""
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    soft = np.exp((unit @ unit.T - 1) / t_s)
    soft /= soft.sum(axis=1, keepdims=True)
    share = np.exp((rewards - rewards.max()) / t) * np.diag(soft)
    order = np.argsort(-share, kind="stable")
    gaps = -np.diff(share[order]) / share[order][:-1]
    if ((gaps > 0) & (gaps < 1e-8)).any():
        return None
    counts, left = [0] * len(share), width
    for at, leaf in enumerate(order):
        exact = left * share[leaf] / share[order[at:]].sum()
        if 0 < abs(exact - round(exact)) < 1e-6:
            return None
        counts[leaf] = min(math.ceil(exact), left)
        left -= counts[leaf]
    return counts


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("seed", range(50))
def test_dora_is_its_definition(seed: int, dtype: type) -> None:
    rng = np.random.default_rng(seed)
    n, d = int(rng.integers(1, 200)), int(rng.integers(1, 64))
    centres = rng.standard_normal((max(n // 4, 1), d))
    spread = rng.choice([0.03, 0.3])
    rows = centres[rng.integers(len(centres), size=n)] + spread * rng.standard_normal((n, d))
    rows = rows.astype(dtype)
    if seed % 2:  # steps repeat
        rows = rows[rng.integers(max(n // 8, 1), size=n)]
    rewards, width = rng.random(n), int(rng.integers(1, 500))
    t, t_s = float(rng.choice([0.1, 0.5])), float(rng.choice([0.01, 0.2]))
    counts = _core.dora_weights(rewards, rows, width, t, t_s)
    assert counts.dtype == np.int64
    assert counts.sum() == width
    expected = dora_exact(rewards, rows.astype(np.float64), width, t, t_s)
    if expected is not None:
        assert counts.tolist() == expected


def test_dora_without_likeness_is_rebase_and_likeness_costs() -> None:
    rewards = np.array([0.5, 0.9, 0.7])
    apart = _core.dora_weights(rewards, np.eye(3), 20)
    assert apart.tolist() == _core.rebase_weights(rewards, 20, 0.1).tolist()
    alike = np.array([[1.0, 2.0], [3.0, 6.0], [2.0, -1.0]], dtype=np.float32)
    assert _core.dora_weights(np.full(3, 0.5), alike, 8).tolist() == [2, 2, 4]


GOOD = np.array([0.5, 0.25])
BAD = [
    (lambda: _core.rebase_weights([0.5], 4), "rewards is of type list"),  # type: ignore[arg-type]
    (lambda: _core.rebase_weights(GOOD.astype(np.float32), 4), "rewards is a float32 array"),
    (lambda: _core.rebase_weights(np.ones((2, 2)), 4), "rewards is a float64 array of 2 dim"),
    (lambda: _core.rebase_weights(np.ones(8)[::2], 4), "rewards is not C-contiguous"),
    (lambda: _core.rebase_weights(np.zeros(0), 4), "rewards is empty"),
    (lambda: _core.rebase_weights(np.array([0.1, np.nan]), 4), r"rewards\[1\] is NaN"),
    (lambda: _core.rebase_weights(np.array([np.inf]), 4), r"rewards\[0\] is inf"),
    (lambda: _core.rebase_weights(GOOD, 0), "width is 0: it must be between 1 and"),
    (lambda: _core.rebase_weights(GOOD, -3), "width is -3"),
    (lambda: _core.rebase_weights(GOOD, 2**33), "width is 8589934592"),
    (lambda: _core.rebase_weights(GOOD, 2**70), "width is 1180591620717411303424"),
    (lambda: _core.rebase_weights(GOOD, 4.0), "width is 4.0: it must be an int"),  # type: ignore[arg-type]
    (lambda: _core.rebase_weights(GOOD, 4, 0.0), "temperature is 0.0: it must be finite and"),
    (lambda: _core.rebase_weights(GOOD, 4, np.nan), "temperature is NaN"),
    (lambda: _core.beam_weights(GOOD, 4, 0), "keep is 0"),
    (lambda: _core.beam_weights(GOOD, 4, -1), "keep is -1"),
    (lambda: _core.dvts_weights(GOOD, np.array([0]), np.array([1])), "subtrees has length 1"),
    (lambda: _core.dvts_weights(GOOD, np.array([0, 2]), np.array([1, 1])), r"subtrees\[1\] is 2"),
    (lambda: _core.dvts_weights(GOOD, np.array([0, -1]), np.array([1])), r"subtrees\[1\] is -1"),
    (lambda: _core.dvts_weights(GOOD, np.array([0, 0]), np.array([-1])), r"shares\[0\] is -1"),
    (lambda: _core.particle_weights(np.array([0.5, 2.0]), 4, seed=0), r"rewards\[1\] is 2.0"),
    (lambda: _core.particle_weights(np.array([-0.5]), 4, seed=0), r"rewards\[0\] is -0.5"),
    (lambda: _core.particle_weights(np.array([np.nan]), 4, seed=0), r"rewards\[0\] is NaN"),
    (lambda: _core.particle_weights(np.zeros(0), 4, seed=0), "rewards is empty"),
    (lambda: _core.particle_weights(GOOD, 0, seed=0), "width is 0"),
    (lambda: _core.particle_weights(GOOD, 4, -1.0, seed=0), "temperature is -1.0"),
    (lambda: _core.particle_weights(GOOD, 4, seed=-1), r"seed is -1: it must be an int from 0 to"),
    (lambda: _core.particle_weights(GOOD, 4, seed=2**64), "seed is 18446744073709551616"),
    (lambda: _core.particle_weights(GOOD, 4, seed=None), "seed is None"),  # type: ignore[arg-type]
    (
        lambda: _core.particle_weights(GOOD, 4, seed=0, method="residual"),  # type: ignore[arg-type]
        'method is \'residual\': it must be "multinomial" or "systematic"',
    ),
    (lambda: _core.dora_weights(GOOD, np.eye(3), 4), "embeddings has length 3.* 2, like rewards"),
    (lambda: _core.dora_weights(GOOD, np.diag([1.0, 0.0]), 4), r"embeddings\[1\] is 0.0"),
    (lambda: _core.dora_weights(GOOD, np.diag([1.0, np.inf]), 4), r"embeddings\[1\] is inf"),
    (lambda: _core.dora_weights(GOOD, np.full((2, 2), np.nan), 4), r"embeddings\[0\] is NaN"),
    (lambda: _core.dora_weights(GOOD, np.zeros((2, 0)), 4), "length of an embedding is 0"),
    (lambda: _core.dora_weights(GOOD, np.eye(4)[::2], 4), "embeddings is not C-contiguous"),
    (lambda: _core.dora_weights(GOOD, GOOD, 4), "embeddings is a float64 array of 1 dim"),
    (lambda: _core.dora_weights(GOOD, np.eye(2), 0), "width is 0"),
    (lambda: _core.dora_weights(GOOD, np.eye(2), 4, 0.0), "temperature is 0.0"),
    (lambda: _core.dora_weights(GOOD, np.eye(2), 4, 0.1, np.inf), "similarity_temperature is inf"),
]


@pytest.mark.parametrize(("call", "message"), BAD)
def test_bad_input_is_named(call, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(_core.InputError, match=message):
        call()
