"""One of the sets of engines over which a search spreads its problems."""

from __future__ import annotations

import time

from ets.search.engines import Engines
from ets.search.kv_budgets import KVBudgets
from ets.tree_search.search import TreeSearch


class Replica:
    """A policy, a PRM and an embedder with a KV cache of their own, and the problems on them.

    A problem stays on its replica, where the KV cache holds its tree. It leaves one that is lost or
    drained, at its last complete step. What is stated here may be read from any thread.
    """

    def __init__(self, name: str, engines: Engines, kv: KVBudgets) -> None:
        self.name = name
        """A server's address, or `replica 1` and so on."""
        self.engines = engines
        self.kv = kv
        self.lost: str | None = None
        """Its last words; None while it answers."""
        self.lost_at = 0.0
        """When it said them, in seconds of the monotonic clock."""
        self.policy_tokens = 0
        """Tokens sampled on it so far, of complete steps."""
        self._drained = False
        self._problems: dict[object, TreeSearch | None] = {}

    def __repr__(self) -> str:
        state = (
            "lost" if self.lost is not None else "drained" if self._drained else "takes problems"
        )
        return f"<Replica {self.name}: {state}, {self.in_flight} problems>"

    @property
    def in_flight(self) -> int:
        """Problems that are searched on it now."""
        return len(self._problems)

    @property
    def kv_tokens(self) -> int:
        """KV tokens that the trees on it kept at their last selections."""
        trees = list(self._problems.values())
        return sum(
            tree.kv[-1].kv_after if len(tree.kv) else tree.prompt_tokens
            for tree in trees
            if tree is not None
        )

    @property
    def kv_free(self) -> int:
        """KV tokens of its cache that no tree keeps; where its size is not known, as if it were 0.

        Comparable among replicas of one kind.
        """
        return (self.kv.space_tokens or 0) - self.kv_tokens

    @property
    def drained(self) -> bool:
        """Whether it takes no more problems, and those on it leave it."""
        return self._drained

    def drain(self) -> None:
        """Take no more problems; those on it go on elsewhere at their next step, if they can."""
        self._drained = True

    def undrain(self) -> None:
        """Take problems again."""
        self._drained = False

    def enter(self) -> object:
        """A problem comes; what `leave` and `holds` know it by."""
        key = object()
        self._problems[key] = None
        return key

    def holds(self, key: object, tree: TreeSearch) -> None:
        """The problem's tree, once it is there."""
        self._problems[key] = tree

    def leave(self, key: object) -> None:
        """The problem goes."""
        del self._problems[key]

    def lose(self, error: Exception) -> None:
        """Note that it does not answer any more."""
        self.lost, self.lost_at = " ".join(str(error).split()), time.monotonic()

    def answers(self) -> None:
        """Note that it has done its work."""
        self.lost = None
