"""Seeds of samples: pure functions of (seed, problem, path of the node), never of order or time."""

from __future__ import annotations

from hashlib import blake2b

from ets.errors import InputError


def problem_seed(seed: int, problem: str) -> int:
    """The seed of one problem's `TreeSearch` within a run over many: 63 bits, never negative."""
    return _hash(b"problem", str(int(seed)).encode(), problem.encode())


def root_seed(seed: int) -> int:
    """The seed of a tree's root: 63 bits, never negative."""
    return _hash(b"root", str(int(seed)).encode())


def child_seed(parent: int, index: int) -> int:
    """The seed with which a node's continuation number `index` (from 0) is sampled.

    `parent` is the node's own seed, as this function or `root_seed` gave it. 63 bits, so that it
    fits the signed 64-bit seeds of engines; two continuations share one by chance only.
    """
    if parent < 0 or index < 0:
        raise InputError(f"parent and index must be >= 0, got {parent} and {index}")
    return _hash(b"child", parent.to_bytes(8, "little"), index.to_bytes(8, "little"))


def _hash(use: bytes, *parts: bytes) -> int:
    # Lengths go in, so that no two lists of parts read alike; `person` keeps the uses apart.
    text = b"".join([len(part).to_bytes(8, "little") + part for part in parts])
    digest = blake2b(text, digest_size=8, person=b"ets." + use).digest()
    return int.from_bytes(digest, "little") >> 1
