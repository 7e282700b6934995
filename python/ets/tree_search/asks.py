"""What one step of a search asked for, and the children told so far."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from ets.certainty import Certainty
from ets.checks import integer, shown
from ets.errors import InputError
from ets.pickled import Pickled
from ets.tree.seeds import child_seed
from ets.tree.trajectory import Limit

Key = tuple[int, int]
"""A continuation: its parent, and which of the parent's continuations it is."""


class Ask(NamedTuple):
    """Continuations wanted of one node."""

    node: int
    n: int
    """How many are still wanted, >= 1."""
    seeds: tuple[int, ...]
    """[n]: the seed to sample each with, 63 bits, a function of the search's seed and the path."""
    indices: tuple[int, ...]
    """[n], ascending: which of the node's continuations they are, counted from 0."""


@dataclass(frozen=True, slots=True, eq=False)
class Child(Pickled):
    """One continuation: a step that the policy wrote and the PRM scored."""

    parent: int
    tokens: int
    """Tokens of the step, >= 0."""
    reward: float
    """In [0, 1]."""
    finished: bool = False
    """Whether the solution ends with it."""
    embedding: NDArray[np.float32] | None = None
    """float32[d], finite, not zero; of use only where `TreeSearch.needs_embedding` says so."""
    text: str | None = None
    index: int | None = None
    """Which of the parent's continuations it is (`Ask.indices`); None: the lowest not yet told."""
    cut: Limit | None = None
    """The limit of an engine that cut the solution there; such a solution is not finished."""
    certainty: Certainty | None = None
    """How certain the policy was of the step's tokens, where it says; kept with the tree."""

    _later: ClassVar[frozenset[str]] = frozenset({"certainty"})


class OpenStep:
    """The asks of one step, what of them is untold, and the children that were told."""

    __slots__ = ("_untold", "asks", "missing", "told")

    def __init__(self) -> None:
        self.asks: list[Ask] = []
        """All of the step, in order."""
        self.told: dict[Key, Child] = {}
        self.missing = 0
        """Continuations not told yet; counted, since each of them may be told by itself."""
        self._untold: dict[int, dict[int, None]] = {}  # node -> indices, ascending

    def want(self, node: int, seed: int, first: int, count: int) -> None:
        """Ask for the continuations `first` to `first + count - 1` of a node with seed `seed`."""
        indices = tuple(range(first, first + count))
        self.asks.append(Ask(node, count, tuple(child_seed(seed, i) for i in indices), indices))
        untold = self._untold.setdefault(node, {})
        self.missing += len(indices) - len(untold.keys() & indices)
        untold.update(dict.fromkeys(indices))

    def still_wanted(self) -> list[Ask]:
        """The asks, less what was told."""
        asks = []
        for ask in self.asks:
            untold = self._untold[ask.node]
            wanted = [k for k, index in enumerate(ask.indices) if index in untold]
            if len(wanted) == ask.n:
                asks.append(ask)
            elif wanted:
                seeds = tuple(ask.seeds[k] for k in wanted)
                indices = tuple(ask.indices[k] for k in wanted)
                asks.append(Ask(ask.node, len(wanted), seeds, indices))
        return asks

    def check(
        self, children: Iterable[Child], needs_embedding: Callable[[int, int, bool], bool]
    ) -> dict[Key, Child]:
        """Children by what they continue, with their values checked; takes none.

        Raises `InputError` that names the child and the value, for one not asked for or told
        already, and for tokens, reward or embedding that are not as `Child` says.
        """
        accepted: dict[Key, Child] = {}
        free: dict[int, Iterator[int]] = {}
        with np.errstate(over="ignore", invalid="ignore"):  # by the dot products
            for at, child in enumerate(children):
                key = self._place(at, child, accepted, free)
                accepted[key] = _checked(f"children[{at}]", child, key, needs_embedding)
        return accepted

    def take(self, accepted: dict[Key, Child]) -> None:
        """Count checked children as told."""
        for (parent, index), child in accepted.items():
            del self._untold[parent][index]
            self.missing -= 1
            self.told[parent, index] = child

    def in_order(self) -> list[tuple[int, int, int, Child]]:
        """The children told, in the order of the asks, whatever order they came in: parent, index,
        seed, child."""
        return [
            (ask.node, index, seed, child)
            for ask in self.asks
            for index, seed in zip(ask.indices, ask.seeds, strict=True)
            if (child := self.told.get((ask.node, index))) is not None
        ]

    def _place(
        self, at: int, child: Child, accepted: dict[Key, Child], free: dict[int, Iterator[int]]
    ) -> Key:
        """Find which continuation a child is."""
        if not isinstance(child, Child):
            raise InputError(f"children[{at}] must be a Child, got {type(child).__name__}")
        parent = integer(f"children[{at}].parent", child.parent, None)
        untold = self._untold.get(parent)
        if untold is None:
            asked = _short(self._untold)
            raise InputError(
                f"children[{at}].parent must be a node asked for, one of {asked}, got {parent}"
                if self._untold
                else f"children[{at}]: nothing is asked for"
            )
        if child.index is None:
            for index in free.setdefault(parent, iter(untold)):
                if (parent, index) not in accepted:
                    return parent, index
            total = sum(ask.n for ask in self.asks if ask.node == parent)
            raise InputError(
                f"children[{at}]: node {parent} was asked for {total} continuations, "
                f"of which {len(untold)} were not told yet; this is one too many"
            )
        index = integer(f"children[{at}].index", child.index, 0)
        if index not in untold or (parent, index) in accepted:
            left = _short(i for i in untold if (parent, i) not in accepted)
            raise InputError(
                f"children[{at}].index must be a continuation of node {parent} that was asked for "
                f"and not told yet, one of {left}, got {index}"
            )
        return parent, index


def check_comparable(children: dict[Key, Child]) -> None:
    """Refuse the candidates of a step that must be clustered and cannot be.

    Their embeddings must have one length, and each needs one, its own or that of an equal text,
    unless all texts are equal. Raises `InputError` that names the continuation.
    """
    sizes = {len(c.embedding): key for key, c in children.items() if c.embedding is not None}
    if len(sizes) > 1:
        (a, at_a), (b, at_b) = list(sizes.items())[:2]
        raise InputError(
            f"embeddings of one step must have one length, got {a} for continuation "
            f"{at_a[1]} of node {at_a[0]} and {b} for continuation {at_b[1]} of node {at_b[0]}"
        )
    if len({child.text for child in children.values()}) < 2:
        return
    known = {child.text for child in children.values() if child.embedding is not None}
    for (parent, index), child in children.items():
        if child.embedding is None and child.text not in known:
            raise InputError(
                f"continuation {index} of node {parent} has no embedding, and no other "
                f"step with the text {child.text!r} has one"
            )


def _checked(
    name: str, child: Child, key: Key, needs_embedding: Callable[[int, int, bool], bool]
) -> Child:
    """The child with its values checked, and with a copy of its embedding if that is needed."""
    parent, index = key
    tokens = integer(f"{name}.tokens", child.tokens, 0)
    if tokens >= 2**32:
        raise InputError(f"{name}.tokens must be below 2**32, got {tokens}")
    reward = child.reward
    if isinstance(reward, bool) or not isinstance(reward, int | float | np.number):
        raise InputError(f"{name}.reward must be a number in [0, 1], got {reward!r}")
    if isinstance(reward, np.complexfloating) or not 0.0 <= reward <= 1.0:  # NaN fails too
        raise InputError(f"{name}.reward must lie in [0, 1], got {reward}")
    if not isinstance(child.finished, bool | np.bool_):
        raise InputError(f"{name}.finished must be True or False, got {child.finished!r}")
    finished = bool(child.finished)
    if child.cut is not None and (finished or child.cut not in get_args(Limit)):
        raise InputError(
            f"{name}.cut must be None or, for a child that is not finished, one of "
            f"{get_args(Limit)}, got {child.cut!r}"
        )
    if not isinstance(child.text, str | None):
        raise InputError(f"{name}.text must be a text or None, got {child.text!r}")
    if not isinstance(child.certainty, Certainty | None):
        raise InputError(
            f"{name}.certainty must be an ets.engines.Certainty or None, got "
            f"{shown(child.certainty)}"
        )
    embedding = None
    if needs_embedding(parent, tokens, finished or child.cut is not None):
        if child.embedding is not None:
            embedding = _checked_embedding(f"{name}.embedding", child.embedding)
        elif child.text is None:
            raise InputError(
                f"{name} needs an embedding, since the strategy clusters the steps; "
                "got neither embedding nor text"
            )
    if embedding is None and child.embedding is None and _as_stored(child, index):
        return child
    # + 0.0 makes 0.0 of -0.0: the two are equal, but do not look equal in JSON.
    return Child(
        parent,
        tokens,
        float(reward) + 0.0,
        finished,
        embedding,
        child.text,
        index,
        child.cut,
        child.certainty,
    )


def _as_stored(child: Child, index: int) -> bool:
    """Whether the child holds plain Python values already, as most do."""
    return (
        child.index == index
        and type(child.parent) is type(child.index) is type(child.tokens) is int
        and type(child.reward) is float
        and child.reward != 0.0
        and type(child.finished) is bool
    )


def _checked_embedding(name: str, vector: NDArray[np.float32]) -> NDArray[np.float32]:
    if not isinstance(vector, np.ndarray):
        raise InputError(f"{name} must be a float32 array, got {type(vector).__name__}")
    if vector.dtype != np.float32 or vector.ndim != 1:
        raise InputError(
            f"{name} must be a 1-dimensional float32 array, got {vector.dtype} of shape "
            f"{vector.shape}"
        )
    # False for NaN, and for some values that are right, since squares overflow and vanish.
    if not 0.0 < np.dot(vector, vector) < np.inf:
        if not np.isfinite(vector).all():
            bad = int(np.flatnonzero(~np.isfinite(vector))[0])
            raise InputError(f"{name}[{bad}] must be finite, got {vector[bad]}")
        if not vector.any():
            raise InputError(
                f"{name} must not be zero, got {len(vector)} zeros: it has no direction"
            )
    copy: NDArray[np.float32] = vector.copy()
    copy.flags.writeable = False
    return copy


def _short(values: Iterable[int]) -> str:
    listed = list(values)
    return f"[{', '.join(map(str, listed[:8]))}{', ...' if len(listed) > 8 else ''}]"
