"""Which replica a problem goes to, and where it goes on when that one is lost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Literal

from ets.errors import EngineError, EngineLostError
from ets.rollout.stay import Progress
from ets.search.replica import Replica, Site
from ets.shown.log import Log

_LOG = Log("ets")
_AGAIN = 30.0
"""Seconds after which a lost replica is given one problem, to see whether it answers again."""
_LAST_AGAIN = 1.0
"""The same where no other is left."""
_TRIES = 3
"""Times that a problem is taken up again, at one step, where what was lost is started again."""


class Placement:
    """Spreads problems over replicas.

    The KV cache of one replica holds a problem's tree, so the problem is what is placed, and not
    the request: it goes to the replica with the fewest problems, among those to the one with the
    most free KV tokens, and stays there. A single replica takes all, whatever it says.

    Parameters
    ----------
    replicas
        At least one.
    patience
        Seconds for which problems wait when all replicas are lost.
    """

    def __init__(self, replicas: Sequence[Replica], *, patience: float) -> None:
        self.replicas = tuple(replicas)
        self._patience = patience
        self._all_lost_since: float | None = None

    @property
    def most_losses(self) -> int:
        """Replicas that a problem may be lost with, one after the other, before it is given up."""
        returns = any(replica.site.returns for replica in self.replicas)
        return max(len(self.replicas), _TRIES if returns else 0)

    def can_leave(self, replica: Replica) -> bool:
        """Whether a problem on `replica` could go on elsewhere, or waits until it can."""
        if replica.site.returns and not replica.drained:
            return True
        others = [other for other in self.replicas if other is not replica and not other.drained]
        return any(other.lost is None for other in others) or (
            bool(others) and self._waits(time.monotonic())
        )

    @asynccontextmanager
    async def problem(self, *, new: bool = True) -> AsyncIterator[Stay]:
        """A problem's time on the replica that it goes to; waits where all are lost and may return.

        A `new` one, which has been on none, is given to one of them when they are waited for no
        more: it may have come back unseen.

        # Errors
        `EngineLostError` with the last words of each if none comes back, `EngineError` if all that
        answer are drained.
        """
        replica = await self._take(new)
        key = replica.enter()
        try:
            yield Stay(self, replica, key)
        finally:
            replica.leave(key)

    async def _take(self, new: bool) -> Replica:
        if self._takes_all:
            return self.replicas[0]
        while True:
            now = time.monotonic()
            if (replica := self._best(now)) is not None:
                return replica
            if not self._waits(now):
                if new and (there := self._open()):
                    return min(there, key=lambda replica: replica.lost_at)
                raise self.none_left()
            await asyncio.sleep(_LAST_AGAIN / 2)

    def lose(self, replica: Replica, error: Exception) -> None:
        """Place no more problems on a replica, until it is back or has been tried again."""
        if self._takes_all:
            return
        if replica.lost is None:
            _LOG.warning("%s is lost, its problems go on elsewhere: %s", replica.name, error)
        replica.lose(error)
        if self._all_lost_since is None and all(r.lost is not None for r in self._open()):
            self._all_lost_since = replica.lost_at

    def answers(self, replica: Replica, begin: float) -> None:
        """Note that a replica has done what it was asked for at `begin`, on the monotonic clock."""
        if replica.lost is None:
            self._all_lost_since = None
        elif begin > replica.lost_at:
            self._returned(replica)

    def _returned(self, replica: Replica) -> None:
        _LOG.warning("%s answers again", replica.name)
        replica.answers()
        self._all_lost_since = None

    def none_left(self) -> EngineError:
        """The error of a problem that no replica takes."""
        if all(replica.drained for replica in self.replicas):
            return EngineError("no replica takes problems: all of them are drained")
        words = "; ".join(
            f"{replica.name}: {'drained' if replica.lost is None else replica.lost}"
            for replica in self.replicas
        )
        return EngineLostError(f"all {len(self.replicas)} replicas are lost: {words}")

    @property
    def _takes_all(self) -> bool:
        """Whether there is but one, and nothing to wait for when it is lost."""
        return len(self.replicas) == 1 and not self.replicas[0].site.returns

    def _open(self) -> list[Replica]:
        return [replica for replica in self.replicas if not replica.drained]

    def _best(self, now: float) -> Replica | None:
        there = self._open()
        for replica in there:
            if replica.lost is not None and replica.site.is_back:
                self._returned(replica)
        up = [replica for replica in there if replica.lost is None]
        pause = _AGAIN if up else _LAST_AGAIN
        # One problem alone tries a lost replica; the others go where they are safe.
        lost = [r for r in there if r.lost is not None and not r.site.returns]
        tried = [r for r in lost if now - r.lost_at >= pause]
        up += [replica for replica in tried if not replica.in_flight]
        return min(up, key=lambda replica: (replica.in_flight, -replica.kv_free), default=None)

    def _waits(self, now: float) -> bool:
        since = self._all_lost_since
        there = self._open()
        return any(replica.site.returns for replica in there) or (
            bool(there) and (since is None or now - since < self._patience)
        )


class Stay:
    """A problem's time on a replica."""

    def __init__(self, placement: Placement, replica: Replica, key: object) -> None:
        self.replica = replica
        self.was_up = replica.lost is None
        """Whether it answered when the problem came."""
        self._placement = placement
        self._key = key

    @property
    def name(self) -> str:
        """The replica's."""
        return self.replica.name

    def holds(self, progress: Progress) -> None:
        """The problem is searched there from now on."""
        self.replica.holds(self._key, progress)

    def can_end(self) -> bool:
        """Whether the problem can go on elsewhere."""
        return self._placement.can_leave(self.replica)

    def should_end(self) -> bool:
        """Whether it is to, between two steps."""
        return self.replica.drained and self.can_end()

    def lose(self, error: EngineError) -> EngineError:
        """The replica's engines have failed; the error of a problem that cannot go on elsewhere."""
        self._placement.lose(self.replica, error)
        alone = len(self._placement.replicas) == 1
        return error if alone or self.can_end() else self._placement.none_left()

    def answered(self, begin: float, tokens: int) -> None:
        """They have done a step that began then, on the monotonic clock, with so many tokens."""
        self.replica.policy_tokens += tokens
        self._placement.answers(self.replica, begin)


async def at_once(
    replicas: Sequence[Replica], sites: Sequence[Site], concurrency: int | Literal["auto"]
) -> Callable[[], int]:
    """How many problems may be in flight on all replicas, each on its site; asked anew for each.

    # Errors
    As `KVBudgets.at_once`.
    """
    limits = [
        (replica, await site.at_once(concurrency))
        for replica, site in zip(replicas, sites, strict=True)
    ]

    def limit() -> int:
        there = [of() for replica, of in limits if replica.lost is None and not replica.drained]
        each = there or [of() for _, of in limits]
        return sum(each) if concurrency == "auto" else min(concurrency, sum(each))

    return limit
