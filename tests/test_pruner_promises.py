"""What leaf selection and clustering promise of odd arrays: an answer or an error of one line."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ets
from ets import _core
from scripted_search import script

N = 60_000
"""Leaves of a star: a call reads its arrays for long enough to be written to meanwhile."""


@contextmanager
def written_to(write: Callable[[], None]) -> Iterator[None]:
    """Write again and again while the block runs."""
    over = threading.Event()

    def work() -> None:
        while not over.is_set():
            write()

    writer = threading.Thread(target=work)
    writer.start()
    try:
        yield
    finally:
        over.set()
        writer.join()


def answer(call: Callable[[], Any]) -> Any:
    """What a call returns, or how it refuses."""
    try:
        return call()
    except ets.InputError as error:
        return str(error)


def star() -> dict[str, np.ndarray]:
    return {
        "parents": np.concatenate([[-1], np.zeros(N, dtype=np.int64)]),
        "leaves": np.arange(1, N + 1),
        "weights": np.ones(N),
        "clusters": np.arange(N) % 100,
        "cluster_worth": np.ones(100),
        "node_costs": np.ones(N + 1),
        "node_tokens": np.ones(N + 1, dtype=np.int64),
    }


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("parents", 2**62),
        ("parents", -5),
        ("leaves", 2**62),
        ("weights", np.nan),
        ("clusters", 2**62),
        ("clusters", -(2**62)),
        ("cluster_worth", np.nan),
        ("cluster_worth", -1.0),
        ("node_costs", np.nan),
        ("node_tokens", 2**62),
        ("node_tokens", -(2**62)),
    ],
)
def test_arrays_written_to_meanwhile_are_an_answer_or_an_error(name: str, other: float) -> None:
    arrays = star()
    changing, right = arrays[name], arrays[name].copy()
    more: dict[str, Any] = {**arrays}

    def write() -> None:
        # One entry, the last to be read, so that most looks at the array see another value there.
        changing[-1] = other
        changing[-1] = right[-1]

    with written_to(write):
        for _ in range(60):
            found = answer(
                lambda: _core.select_leaves(
                    **more, lambda_b=1.0, lambda_d=1.0, rho=0.5, kv_budget=N // 2, time_limit=0.0
                )
            )
            if isinstance(found, str):
                assert name in found
                assert "\n" not in found
            else:
                assert found.keep.any()
                assert np.isfinite(found.objective)


def test_embeddings_and_rewards_written_to_meanwhile_do_no_harm() -> None:
    rng = np.random.default_rng(0)
    embeddings, rewards = rng.standard_normal((600, 40)), rng.random(2000)
    calls: list[Callable[[], object]] = [
        lambda: len(ets.cluster_steps(embeddings, 0.4)),
        lambda: len(ets.rebase_weights(rewards, 64)),
        lambda: len(_core.dora_weights(rewards[:600], embeddings, 64)),
        lambda: len(_core.beam_weights(rewards, 64)),
    ]

    def write() -> None:
        for array in (embeddings, rewards):
            before = array.copy()
            array[10:] = np.nan
            array[:] = before

    with written_to(write):
        for call in calls * 40:
            assert "\n" not in str(answer(call))


def test_arrays_with_a_mask_are_refused() -> None:
    tree = ets.Tree(1)
    leaves = tree.extend(np.zeros(2, np.int64), np.ones(2, np.int64))

    def masked(array: np.ndarray) -> Any:
        return array.view(np.ma.MaskedArray)

    arrays: dict[str, Any] = {
        "parents": tree.parents, "leaves": leaves, "weights": np.ones(2), "clusters": leaves,
        "cluster_worth": np.ones(3), "node_costs": np.ones(3), "node_tokens": tree.tokens,
    }  # fmt: skip
    calls: dict[str, Callable[[], object]] = {
        name: partial(ets.select_leaves, **{**arrays, name: masked(array)}, lambda_b=1.0)
        for name, array in arrays.items()
    }
    calls["embeddings"] = lambda: ets.cluster_steps(masked(np.ones((2, 2))))
    calls["rewards"] = lambda: ets.rebase_weights(masked(np.ones(2)), 4)
    for name, call in calls.items():
        says = f"^{name} is a masked array: it must be one without a mask, {name}.filled"
        with pytest.raises(ets.InputError, match=says):
            call()

    class Named(np.ndarray):
        """Any other subclass is an array."""

    same = {name: array.view(Named) for name, array in arrays.items()}
    assert ets.select_leaves(**same, lambda_b=1.0).keep.any()


def test_empty_leaves_are_named_whoever_selects() -> None:
    tree, none = ets.Tree(1), np.zeros(0, dtype=np.int64)
    calls: list[Callable[[], object]] = [
        lambda: tree.select(none, np.zeros(0), lambda_b=1.0),
        lambda: tree.select(none, np.ones(1), none, lambda_b=1.0, kv_budget=3),
        lambda: ets.select_leaves(np.array([-1]), none, np.zeros(0), lambda_b=1.0),
    ]
    for call in calls:
        with pytest.raises(ets.InputError, match=r"^leaves is empty: it must hold"):
            call()


def test_a_component_that_memory_does_not_hold_is_an_error_of_one_line() -> None:
    """A ring of rows, each next to the one before it: one component, of 0.6 GB."""
    if not Path("/proc/self/statm").exists():
        pytest.skip("needs Linux's /proc")
    ran = script("""
    import resource
    import numpy as np

    used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 2**28, used + 2**28))
    angles = np.linspace(0, 2 * np.pi, 12_000)
    rows = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    try:
        ets.cluster_steps(rows, 0.05)
    except MemoryError as error:
        print(error)
    print(ets.cluster_steps(rows[:3], 0.05))
    """)
    first, second = ran.stdout.splitlines()
    assert first == (
        "embeddings: 12000 rows hang together within the threshold, and to part them takes "
        "576768000 bytes of memory, which are not to be had: give fewer rows or a smaller threshold"
    )
    assert second == "[0 0 0]"


@pytest.mark.parametrize("n", [100, 1000, 5000])
def test_a_chain_of_candidates_is_proven(n: int) -> None:
    """Only its n prefixes can be kept; the reductions see that, however long it is."""
    rng = np.random.default_rng(n)
    weights, clusters = rng.random(n), rng.integers(0, n // 3, n)
    kinds = len(np.unique(clusters))
    first = np.unique(clusters, return_index=True)[1]
    covered = np.cumsum(np.isin(np.arange(n), first))
    nodes = np.arange(1, n + 1)
    for lambda_b, lambda_d in ((1.0, 1.4), (3.0, 1.4), (6.0, 3.0)):
        found = ets.select_leaves(
            np.arange(n) - 1, np.arange(n), weights, clusters, lambda_b=lambda_b, lambda_d=lambda_d
        )
        profit = np.cumsum(weights) / weights.sum()
        values = profit - lambda_b * nodes / n + lambda_d * covered / kinds
        assert found.optimal
        assert found.objective == pytest.approx(values.max(), abs=1e-9)
        assert found.stats["branch_nodes"] == 0
