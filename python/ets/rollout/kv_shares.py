"""How much of an engine's KV cache each problem in flight may take."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial

from ets.rollout.kv_ledger import KVLedger
from ets.tree_search.search import TreeSearch

_MOST = 256
"""Problems in flight that a KV cache of any size gets by itself."""


class KVShares:
    """Divides an engine's KV cache evenly among the problems in flight, of whichever search.

    Parameters
    ----------
    ledger
        Of the engine.
    max_tokens, max_step_tokens
        As those of the `ets.Search` whose problems ask here.
    """

    def __init__(self, ledger: KVLedger, *, max_tokens: int, max_step_tokens: int) -> None:
        self.space = ledger.space
        self.max_tokens = max_tokens
        self.max_step_tokens = max_step_tokens
        self.room = ledger.room
        self._ledger = ledger

    def share(self) -> KVShare:
        """A part for one problem more, until its `leave`."""
        self._ledger.enter()
        return KVShare(self)

    def admitted(self) -> AbstractAsyncContextManager[None]:
        """The context in which a problem may be in flight: each has room for two trajectories."""
        return self._ledger.door.take(2 * self.max_tokens)

    @property
    def tokens(self) -> int:
        """KV tokens for each problem in flight."""
        return self.space.tokens // max(1, self._ledger.in_flight)

    @property
    def most_problems(self) -> int:
        """How many problems at once leave each of them room for two whole trajectories, >= 1."""
        return max(1, self.space.tokens // (2 * self.max_tokens))

    def problems_at_once(self) -> int:
        """How many problems fit into the KV cache by what those before them needed, 1 to 256.

        A problem's need is the most KV that its candidates took before a selection, and a block for
        each, since an engine shares whole blocks only. Before the first has ended: `most_problems`.
        """
        need = self._ledger.mean_need()
        if need is None:
            return min(_MOST, self.most_problems)
        return max(1, min(_MOST, int(self.space.tokens / need)))

    @property
    def _in_flight(self) -> int:
        return self._ledger.in_flight

    def _left(self, tree: TreeSearch | None) -> None:
        if tree is None or tree.end is None:  # given up: what it would have needed is not known
            self._ledger.leave(None)
            return
        needs = [kv.kv_before + kv.candidates * self.space.block_size for kv in tree.kv]
        self._ledger.leave(max(needs, default=1))


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

    def leave(self, tree: TreeSearch | None) -> None:
        """The problem is no longer in flight."""
        self._keep(0)
        self._shares._left(tree)

    def tokens(self, tree: TreeSearch) -> int:
        """The KV budget of the selection that the tree is about to make."""
        share = self._shares.tokens
        reserve = max(0, tree.remaining) * self._sample_tokens(tree.nodes.tokens[1:])
        one_trajectory = tree.prompt_tokens + self._shares.max_tokens
        return max(share - min(reserve, share // 2), one_trajectory)

    def gate(self, tree: TreeSearch) -> Callable[[], AbstractAsyncContextManager[None]]:
        """Contexts in which a sample of the step that is asked for has room beside all trees."""
        self._keep(tree.kv[-1].kv_after if len(tree.kv) else tree.prompt_tokens)
        return partial(self._shares.room.take, self._sample_tokens(tree.nodes.tokens[1:]))

    def _keep(self, tokens: int) -> None:
        self._shares.room.keep(tokens - self._kept)
        self._kept = tokens

    def _sample_tokens(self, steps: Sequence[int]) -> int:
        """KV tokens that one sample adds: the mean step, before the first the longest allowed,
        after a part of a block that it cannot share, in whole blocks."""
        mean = -(-sum(steps) // len(steps)) if steps else self._shares.max_step_tokens
        space = self._shares.space
        return space.rounded(max(1, mean) + space.block_size - 1)
