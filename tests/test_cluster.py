"""Clustering at a cut: scipy's partition, bad rows by index."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage

from ets import _core

Shape = Callable[[np.random.Generator, int, int], NDArray[np.float64]]


def in_order(labels: NDArray[np.int64]) -> list[int]:
    """Labels renumbered in order of first appearance."""
    number: dict[int, int] = {}
    return [number.setdefault(label, len(number)) for label in labels.tolist()]


def scipy_labels(rows: NDArray[np.float64], threshold: float) -> list[int] | None:
    """scipy's partition; None where a merge lies on the cut and rounding decides."""
    tree = linkage(rows, method="average", metric="cosine")
    if np.abs(tree[:, 2] - threshold).min() < 1e-9:
        return None
    return in_order(fcluster(tree, threshold, "distance"))


def assert_scipys(rows: NDArray[np.float64], threshold: float) -> None:
    """In both precisions, wherever scipy's partition does not hang on rounding."""
    expected = scipy_labels(rows, threshold)
    if expected is not None:
        assert _core.cluster_steps(rows, threshold).tolist() == expected
    single = rows.astype(np.float32)
    expected = scipy_labels(single.astype(np.float64), threshold)
    if expected is not None:
        assert _core.cluster_steps(single, threshold).tolist() == expected


@pytest.mark.parametrize("seed", range(150))
def test_the_partition_is_scipys(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, dim = int(rng.integers(2, 120)), int(rng.choice([1, 2, 3, 8, 17, 384]))
    centres = rng.standard_normal((int(rng.integers(1, 12)), dim))
    spread = float(rng.choice([0.02, 0.15, 0.3, 1.0]))
    rows = centres[rng.integers(len(centres), size=n)]
    rows = (rows + spread * rng.standard_normal((n, dim))) * rng.uniform(0.5, 2.0, size=(n, 1))
    threshold = float(rng.choice([0.05, rng.uniform(0.0, 1.0)]))
    assert_scipys(rows, threshold)


def blobs(rng: np.random.Generator, n: int, dim: int) -> NDArray[np.float64]:
    """Tight to loose meanings, so that small components, cliques and big ones all occur."""
    centres = rng.standard_normal((int(rng.integers(1, 6)), dim))
    spread = rng.choice([0.05, 0.15, 0.2, 0.25, 0.4], size=len(centres))[:, None]
    which = rng.integers(len(centres), size=n)
    rows = centres[which] + spread[which] * rng.standard_normal((n, dim))
    return np.asarray(rows, dtype=np.float64)


def duplicates(rng: np.random.Generator, n: int, dim: int) -> NDArray[np.float64]:
    """Few distinct rows, each many times and at several lengths."""
    rows = blobs(rng, max(2, n // 8), dim)
    again = rows[rng.integers(len(rows), size=n)] * rng.choice([0.5, 1.0, 4.0], size=(n, 1))
    return np.asarray(again, dtype=np.float64)


def dense(rng: np.random.Generator, n: int, dim: int) -> NDArray[np.float64]:
    """One component in which all pairs are at about the same distance."""
    distance = rng.uniform(0.03, 0.08)
    centre = rng.standard_normal(dim)
    rows = centre + np.sqrt(distance / (1 - distance)) * rng.standard_normal((n, dim))
    return np.asarray(rows, dtype=np.float64)


def walk(rng: np.random.Generator, n: int, dim: int) -> NDArray[np.float64]:
    """A chain: each row is near the next, the ends are far apart."""
    step = rng.uniform(0.02, 0.3)
    rows = [rng.standard_normal(dim)]
    for _ in range(n - 1):
        rows.append(np.sqrt(1 - step**2) * rows[-1] + step * rng.standard_normal(dim))
    return np.stack(rows)[rng.permutation(n)]


def arc(rng: np.random.Generator, n: int, dim: int) -> NDArray[np.float64]:
    """Points along an arc in a random plane: neighbours are close, the ends are not."""
    angle = np.sort(rng.uniform(0, rng.uniform(0.3, 3.0), size=n))
    rows = np.stack([np.cos(angle), np.sin(angle)], axis=1) @ rng.standard_normal((2, dim))
    return np.asarray(rows[rng.permutation(n)], dtype=np.float64)


def bridge(rng: np.random.Generator, n: int, dim: int) -> NDArray[np.float64]:
    """Two tight blobs and a thin line of rows between them."""
    ends = rng.standard_normal((2, dim))
    ends[1] = ends[0] + 0.7 * ends[1]
    share = rng.permutation(np.concatenate([np.zeros(n), np.ones(n), rng.random(n // 4)]))[:n]
    rows = ends[0] + share[:, None] * (ends[1] - ends[0])
    return np.asarray(rows + 0.1 * rng.standard_normal((n, dim)), dtype=np.float64)


@pytest.mark.parametrize("seed", range(60))
@pytest.mark.parametrize("shape", [blobs, duplicates, dense, walk, arc, bridge])
def test_every_shape_is_scipys(shape: Shape, seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, dim = int(rng.integers(2, 300)), int(rng.choice([2, 3, 16, 63, 64, 65, 130, 384]))
    rows = shape(rng, n, dim)
    for threshold in (0.05, rng.uniform(0.0, 0.2), rng.uniform(0.0, 2.0)):
        assert_scipys(rows, threshold)


def test_equal_rows_share_a_label() -> None:
    rows = np.random.default_rng(0).standard_normal((5, 7))
    again = np.concatenate([rows, 3.0 * rows, rows[::-1]])
    labels = _core.cluster_steps(again)
    assert labels.dtype == np.int64
    assert labels.tolist() == [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 4, 3, 2, 1, 0]
    assert _core.cluster_steps(again, 0.0).tolist() == labels.tolist()
    assert _core.cluster_steps(np.zeros((0, 3))).tolist() == []
    assert _core.cluster_steps(np.array([[1e300, 1e300], [1e-300, 1e-300]])).tolist() == [0, 0]


ROWS = np.ones((3, 2))
BAD = [
    (ROWS.tolist(), 0.05, "embeddings is of type list: it must be a float32 or float64"),
    (np.ones(3), 0.05, "embeddings is a float64 array of 1 dimensions"),
    (ROWS.astype(np.float16), 0.05, "embeddings is a float16 array"),
    (ROWS.astype(np.int64), 0.05, "embeddings is a int64 array"),
    (np.asfortranarray(np.random.default_rng(0).random((3, 2))), 0.05, "not C-contiguous"),
    (np.array([[1.0, 0.0], [0.0, 0.0]]), 0.05, r"embeddings\[1\] is 0.0: .* zero vector"),
    (np.array([[1.0, 0.0], [np.nan, 0.0]]), 0.05, r"embeddings\[1\] is NaN"),
    (np.array([[-np.inf, 0.0]], dtype=np.float32), 0.05, r"embeddings\[0\] is -inf"),
    (np.zeros((3, 0)), 0.05, "the length of an embedding is 0"),
    (ROWS, -0.1, "threshold is -0.1"),
    (ROWS, np.nan, "threshold is NaN"),
    (ROWS, "0.05", "threshold is '0.05': it must be a float"),
]


@pytest.mark.parametrize(("rows", "threshold", "message"), BAD)
def test_bad_input_is_named(rows, threshold, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(_core.InputError, match=message):
        _core.cluster_steps(rows, threshold)
