"""What all searches on one engine know of its KV cache."""

from __future__ import annotations

import weakref

from ets.engines.kv_space import HasKVSpace, KVSpace
from ets.engines.values import awaitable, checked_space
from ets.fork_lock import ForkLock
from ets.rollout.kv_admission import KVAdmission


class KVLedger:
    """Counts the problems in flight on an engine, and what those before them needed.

    Safe to use from several threads: every search has an event loop of its own.
    """

    def __init__(self, space: KVSpace) -> None:
        self.space = space
        """The engine's KV cache."""
        self.room = KVAdmission(space.tokens)
        """What is taken of the cache now, for samples that wait for room."""
        self.door = KVAdmission(space.tokens)
        """What the problems in flight might need at most, for problems that wait to begin."""
        self._lock = ForkLock()
        self._in_flight = 0
        self._ended = 0
        self._needed = 0

    @property
    def in_flight(self) -> int:
        """Problems that are searched now."""
        return self._in_flight

    def enter(self) -> None:
        """A problem begins."""
        with self._lock:
            self._in_flight += 1

    def leave(self, needed: int | None) -> None:
        """A problem has ended; it needed so many KV tokens, or nobody knows."""
        with self._lock:
            self._in_flight -= 1
            if needed is not None:
                self._ended += 1
                self._needed += needed

    def mean_need(self) -> float | None:
        """KV tokens that a problem needed, in the mean; None before the first has ended."""
        with self._lock:
            return self._needed / self._ended if self._ended else None


_LEDGERS: dict[int, KVLedger] = {}
"""By the identity of the policy: a property of an object that is anybody's, and goes with it."""
_LOCK = ForkLock()


async def ledger_of(policy: HasKVSpace) -> KVLedger:
    """The one ledger of a policy's engine; waits until the engine has started."""
    space = checked_space(await awaitable(policy.kv_space(), policy, "kv_space"), policy)
    with _LOCK:
        ledger = _LEDGERS.get(id(policy))
        if ledger is None:
            ledger = KVLedger(space)
            try:
                weakref.finalize(policy, _LEDGERS.pop, id(policy), None)
            except TypeError:  # nobody can tell when it goes: a ledger for each search
                return ledger
            _LEDGERS[id(policy)] = ledger
        return ledger
