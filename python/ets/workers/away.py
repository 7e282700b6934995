"""A problem that is searched in other processes, as far as this one knows."""

from __future__ import annotations

import pickle

from ets.errors import EngineError
from ets.rollout.carried import Carried
from ets.rollout.result import SearchResult
from ets.tree_search.search import TreeSearch
from ets.workers.messages import Done, Sent, Stepped


class Away:
    """Follows a problem by what its workers send."""

    def __init__(self, carried: bytes | None) -> None:
        self.carried = carried
        """From where another worker goes on; None: from the root."""
        self.depth = 0
        self.kv_tokens = 0
        self.shown = 0
        """Events that were handed out."""
        self.lost: EngineError | None = None
        self.given_up: Carried | None = None
        """What a search came to that nobody goes on with."""
        self._answered = False
        self._done: bytes | None = None
        self._result: SearchResult | None = None

    @property
    def ended(self) -> bool:
        """Whether the search is over."""
        return self._done is not None or self.given_up is not None

    def take(self, sent: Sent) -> None:
        """Note what a worker says."""
        if isinstance(sent, Done):
            self._done = sent.result
            return
        if isinstance(sent, Stepped):
            self.depth, self.kv_tokens = sent.depth, sent.kv_tokens
            self._answered = sent.answered
        self.carried = sent.carried or self.carried

    def tree(self) -> TreeSearch:
        """A copy of the tree, as it was when it was packed last.

        # Errors
        `RuntimeError` before its first step.
        """
        if self._done is not None:
            return self.result().tree
        if self.carried is None:
            raise RuntimeError("nothing is known of the tree yet")
        return Carried.unpacked(self.carried).tree

    def result(self) -> SearchResult:
        """That of a search that a worker has ended.

        # Errors
        `RuntimeError` for one that goes on.
        """
        if self._result is None:
            if self._done is None:
                raise RuntimeError("the search is not over")
            self._result = pickle.loads(self._done)
        return self._result

    def give_up(self, error: EngineError) -> None:
        """End the search, as nobody is left to go on with it.

        # Errors
        `error`, where no trajectory is completed.
        """
        if self.carried is None or not self._answered:
            raise error
        carried = Carried.unpacked(self.carried)
        if not carried.tree.trajectories:
            raise error
        carried.tree.stop("engine_lost")
        self.given_up, self.lost = carried, error
