"""The GIL is released for as long as a call into the Rust core computes."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable

import numpy as np
import pytest

from ets import _core

LONG = 0.05  # seconds that a call must take before it can be judged

Work = Callable[[], object]


def runs_beside(work: Work) -> bool | None:
    """Whether this thread kept running while another was in `work`; None for a short `work`."""
    span: list[float] = []

    def timed() -> None:
        span.append(time.perf_counter())
        work()
        span.append(time.perf_counter())

    worker = threading.Thread(target=timed)
    beats = []
    worker.start()
    while worker.is_alive():
        time.sleep(0.001)
        beats.append(time.perf_counter())
    worker.join()
    started, ended = span
    if ended - started < LONG:
        return None
    inside = [started, *(beat for beat in beats if started < beat < ended), ended]
    longest = max(b - a for a, b in itertools.pairwise(inside))
    return longest < (ended - started) / 2


def wide_tree(leaves: int) -> tuple[_core.Tree, np.ndarray]:
    """A root, as many steps below it as leaves, one leaf below each step; leaves shuffled."""
    tree = _core.Tree(1)
    ones = np.ones(leaves, dtype=np.int64)
    steps = tree.extend(np.zeros(leaves, dtype=np.int64), ones)
    # In no order, so that a walk over them is slow for its size.
    return tree, np.random.default_rng(1).permutation(tree.extend(steps, ones))


def rewards(n: int) -> np.ndarray:
    return np.random.default_rng(0).random(n)


def rows(n: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((n, 128), dtype=np.float32)


def rebase(scale: int) -> Work:
    values = rewards(100_000 * scale)
    return lambda: _core.rebase_weights(values, 2**32)


def beam(scale: int) -> Work:
    values = rewards(100_000 * scale)
    return lambda: _core.beam_weights(values, 2**32)


def dvts(scale: int) -> Work:
    values = rewards(500_000 * scale)
    subtrees = np.random.default_rng(1).permutation(len(values))
    shares = np.ones(len(values), dtype=np.int64)
    return lambda: _core.dvts_weights(values, subtrees, shares)


def particle(scale: int) -> Work:
    values = rewards(1000)
    return lambda: _core.particle_weights(values, 2_000_000 * scale, seed=0)


def particle_systematic(scale: int) -> Work:
    values = rewards(500_000 * scale)
    return lambda: _core.particle_weights(values, 2**32, seed=0, method="systematic")


def dora(scale: int) -> Work:
    embeddings = rows(400 * scale)
    values = rewards(len(embeddings))
    return lambda: _core.dora_weights(values, embeddings, 64)


def cluster(scale: int) -> Work:
    embeddings = rows(400 * scale)
    return lambda: _core.cluster_steps(embeddings)


def select_leaves(scale: int) -> Work:
    tree, leaves = wide_tree(100_000 * scale)
    parents, weights = tree.parents, np.ones(len(leaves))
    return lambda: _core.select_leaves(parents, leaves, weights, lambda_b=1.0)


def tree_extend(scale: int) -> Work:
    ones = np.ones(1_000_000 * scale, dtype=np.int64)
    parents = np.arange(len(ones))
    return lambda: _core.Tree(1).extend(parents, ones)


def tree_kv_tokens(scale: int) -> Work:
    tree, leaves = wide_tree(500_000 * scale)
    return lambda: tree.kv_tokens(leaves)


def tree_held(scale: int) -> Work:
    tree, leaves = wide_tree(500_000 * scale)
    return lambda: tree.held(leaves)


def tree_select(scale: int) -> Work:
    tree, leaves = wide_tree(100_000 * scale)
    weights = np.ones(len(leaves))
    return lambda: tree.select(leaves, weights, lambda_b=1.0)


CALLS = [
    rebase,
    beam,
    dvts,
    particle,
    particle_systematic,
    dora,
    cluster,
    select_leaves,
    tree_extend,
    tree_kv_tokens,
    tree_held,
    tree_select,
]


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.__name__)
def test_the_gil_is_released(call: Callable[[int], Work]) -> None:
    """While one thread computes, another runs on; a call that is too short to tell is made larger.

    A call that held the GIL would fail every time; a busy machine may fail a few tries.
    """
    scale, tries = 1, 5
    while tries:
        beside = runs_beside(call(scale))
        if beside:
            return
        if beside is None:
            assert scale < 64, "the call stays too short to judge"
            scale *= 2
        else:
            tries -= 1
    pytest.fail("no other thread ran during the call")
