"""How much of an engine's KV cache each problem in flight may take."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial

from ets.kv_room import KVRoom
from ets.kv_space import KVSpace
from ets.tree_search import Child, TreeSearch

_MOST = 256
"""Problems in flight that a KV cache of any size gets by itself."""


class KVShares:
    """Divides an engine's KV cache evenly among the problems in flight.

    Parameters
    ----------
    space
        The engine's KV cache.
    max_tokens, max_step_tokens
        As those of `ets.Search`.
    """

    def __init__(self, space: KVSpace, *, max_tokens: int, max_step_tokens: int) -> None:
        self.space = space
        self.max_tokens = max_tokens
        self.max_step_tokens = max_step_tokens
        self.room = KVRoom(space.tokens)
        """What is taken of the cache now, for samples that wait for room."""
        self._in_flight = 0
        self._ended = 0
        self._needed = 0

    def share(self) -> KVShare:
        """A part for one problem more, until its `leave`."""
        self._in_flight += 1
        return KVShare(self)

    @property
    def tokens(self) -> int:
        """KV tokens for each problem in flight."""
        return self.space.tokens // max(1, self._in_flight)

    @property
    def most_problems(self) -> int:
        """How many problems at once leave each of them room for two whole trajectories, >= 1."""
        return max(1, self.space.tokens // (2 * self.max_tokens))

    def problems_at_once(self) -> int:
        """How many problems fit into the KV cache by what those before them needed, 1 to 256.

        A problem's need is the most KV that its candidates took before a selection, and a block for
        each, since an engine shares whole blocks only. Before the first has ended: `most_problems`.
        """
        if not self._ended:
            return min(_MOST, self.most_problems)
        return max(1, min(_MOST, self.space.tokens * self._ended // self._needed))

    def _left(self, tree: TreeSearch) -> None:
        self._in_flight -= 1
        if tree.end is None:  # given up half way: what it would have needed is not known
            return
        self._ended += 1
        needs = [kv.kv_before + kv.candidates * self.space.block_size for kv in tree.kv]
        self._needed += max(needs, default=1)


class KVShare:
    """One problem's part: what its tree may keep, and when its samples have room.

    A selection is followed by samples that need KV of their own: the remaining width, times the
    blocks that the mean step so far takes up. What they need, but no more than half of the share,
    is kept free; the tree gets the rest, and at least one trajectory always fits. Trees are held to
    their shares; the room beside them goes to whichever problem's samples come first.
    """

    def __init__(self, shares: KVShares) -> None:
        self._shares = shares
        self._kept = 0

    def leave(self, tree: TreeSearch) -> None:
        """The problem is no longer in flight."""
        self._keep(0)
        self._shares._left(tree)

    def tree_tokens(self, tree: TreeSearch, children: Sequence[Child]) -> int:
        """The KV budget of the selection that follows these children."""
        share = self._shares.tokens
        steps = [*tree.nodes.tokens[1:], *(child.tokens for child in children)]
        left = tree.remaining - sum(child.finished or child.cut is not None for child in children)
        reserve = max(0, left) * self._sample_tokens(steps)
        one_trajectory = tree.prompt_tokens + self._shares.max_tokens
        return max(share - min(reserve, share // 2), one_trajectory)

    def gate(self, tree: TreeSearch) -> Callable[[], AbstractAsyncContextManager[None]]:
        """Contexts in which a sample of the step that is asked for has room beside all trees."""
        self._keep(tree.kv[-1].kv_after if len(tree.kv) else tree.prompt_tokens)
        return partial(self._shares.room.sample, self._sample_tokens(tree.nodes.tokens[1:]))

    def _keep(self, tokens: int) -> None:
        self._shares.room.keep(tokens - self._kept)
        self._kept = tokens

    def _sample_tokens(self, steps: Sequence[int]) -> int:
        """KV tokens that one sample adds: the mean step, before the first the longest allowed,
        after a part of a block that it cannot share, in whole blocks."""
        mean = -(-sum(steps) // len(steps)) if steps else self._shares.max_step_tokens
        space = self._shares.space
        return space.rounded(max(1, mean) + space.block_size - 1)
