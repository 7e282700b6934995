"""One of the sets of engines over which a search spreads its problems."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable
from typing import Any, Literal, Protocol

from ets.rollout.course import Course
from ets.rollout.result import SearchResult
from ets.rollout.stay import Progress, Stay
from ets.tree.events import Event
from ets.tree_search.search import TreeSearch


class Site(Protocol):
    """Where a replica's problems are searched: engines in this process, or a worker's."""

    @property
    def kv_space(self) -> int | None:
        """Tokens of its KV cache; None while that is not known."""
        ...

    @property
    def returns(self) -> bool:
        """Whether it is started again by itself when it is lost, and will be there again."""
        ...

    @property
    def is_back(self) -> bool:
        """Whether it is, since it was lost last. One that does not return by itself is tried."""
        ...

    async def at_once(self, concurrency: int | Literal["auto"], /) -> Callable[[], int]:
        """How many problems may be in flight there, to be asked anew for each."""
        ...

    def search(
        self, course: Course[Any], stay: Stay, seen: Callable[[TreeSearch], None], /
    ) -> AsyncGenerator[Event, None]:
        """Search a problem to its end, or until it is to go on elsewhere."""
        ...

    async def result(self, course: Course[Any], /) -> SearchResult:
        """That of a search that is over."""
        ...


class Replica:
    """A policy, a PRM and an embedder with a KV cache of their own, and the problems on them.

    A problem stays on its replica, where the KV cache holds its tree. It leaves one that is lost or
    drained, at its last complete step. What is stated here may be read from any thread.
    """

    def __init__(self, name: str, site: Site) -> None:
        self.name = name
        """A server's address, or `replica 1` and so on."""
        self.site = site
        self.lost: str | None = None
        """Its last words; None while it answers."""
        self.lost_at = 0.0
        """When it said them, in seconds of the monotonic clock."""
        self.policy_tokens = 0
        """Tokens sampled on it so far, of complete steps."""
        self._drained = False
        self._problems: dict[object, Progress | None] = {}

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
        problems = list(self._problems.values())
        return sum(progress.kv_tokens for progress in problems if progress is not None)

    @property
    def kv_space(self) -> int | None:
        """Tokens of its KV cache; None while that is not known."""
        return self.site.kv_space

    @property
    def kv_free(self) -> int:
        """KV tokens of its cache that no tree keeps; where its size is not known, as if it were 0.

        Comparable among replicas of one kind.
        """
        return (self.kv_space or 0) - self.kv_tokens

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

    def holds(self, key: object, progress: Progress) -> None:
        """How far the problem has come, once its search has begun."""
        self._problems[key] = progress

    def leave(self, key: object) -> None:
        """The problem goes."""
        del self._problems[key]

    def lose(self, error: Exception) -> None:
        """Note that it does not answer any more."""
        self.lost, self.lost_at = " ".join(str(error).split()), time.monotonic()

    def answers(self) -> None:
        """Note that it has done its work."""
        self.lost = None
