"""Width allocation: exact, in full, ties in a fixed order, bad input by name."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

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


GOOD = np.array([0.5, 0.25])
BAD = [
    (lambda: _core.rebase_weights([0.5], 4), "rewards is of type list"),  # type: ignore[arg-type]
    (lambda: _core.rebase_weights(GOOD.astype(np.float32), 4), "rewards is a float32 array"),  # type: ignore[arg-type]
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
]


@pytest.mark.parametrize(("call", "message"), BAD)
def test_bad_input_is_named(call, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(_core.InputError, match=message):
        call()
