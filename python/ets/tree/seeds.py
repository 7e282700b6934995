"""Seeds of samples: pure functions of (seed, problem, path of the node), never of order or time."""

from __future__ import annotations

from hashlib import blake2b

from ets.checks import check_text, checked_count, integer
from ets.dialogue import Dialogue, Posed, parted


def problem_seed(seed: int, problem: Posed) -> int:
    """The seed of one problem's `TreeSearch` within a run over many: 63 bits, never negative.

    That of a dialogue in which nothing comes before the problem is that of its text.
    """
    if not isinstance(problem, Dialogue):
        check_text("problem", problem)
    before, text = parted(problem)
    said = [part.encode() for turn in before for part in (turn.role, turn.content)]
    return _hash(b"problem", str(integer("seed", seed, None)).encode(), text.encode(), *said)


def search_seed(seed: int, number: int) -> int:
    """The seed of a problem's search `number` (from 0), where it is searched again and again.

    `seed` is the first one's, as `problem_seed` gave it. 63 bits, never negative.
    """
    number = checked_count("number", number, 0)
    if number == 0:
        return seed
    return _hash(b"search", str(integer("seed", seed, None)).encode(), number.to_bytes(8, "little"))


def root_seed(seed: int) -> int:
    """The seed of a tree's root: 63 bits, never negative."""
    return _hash(b"root", str(integer("seed", seed, None)).encode())


def child_seed(parent: int, index: int) -> int:
    """The seed with which a node's continuation number `index` (from 0) is sampled.

    `parent` is the node's own seed, as this function or `root_seed` gave it. 63 bits, so that it
    fits the signed 64-bit seeds of engines; two continuations share one by chance only.
    """
    parent, index = checked_count("parent", parent, 0), checked_count("index", index, 0)
    return _hash(b"child", parent.to_bytes(8, "little"), index.to_bytes(8, "little"))


def _hash(use: bytes, *parts: bytes) -> int:
    # Lengths go in, so that no two lists of parts read alike; `person` keeps the uses apart.
    text = b"".join([len(part).to_bytes(8, "little") + part for part in parts])
    digest = blake2b(text, digest_size=8, person=b"ets." + use).digest()
    return int.from_bytes(digest, "little") >> 1
