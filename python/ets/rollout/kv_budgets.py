"""What each problem's tree may keep in the KV cache: a number, its share of the engine's, or all.

`Search` asks here and nowhere else whether there is a limit.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from typing import Literal, TypeAlias

from ets.engines.kv_space import HasKVSpace
from ets.engines.protocols import Policy
from ets.errors import InputError
from ets.loop.engine_call import EngineCall
from ets.rollout.kv_ledger import ledger_of
from ets.rollout.kv_shares import KVShare, KVShares
from ets.tree_search.search import KVLimit, TreeSearch

Gate: TypeAlias = Callable[[], AbstractAsyncContextManager[None]]
"""Makes the context in which a sample may run."""


class KVBudgets:
    """The KV budgets of one search's problems.

    Parameters
    ----------
    policy
        Whose engine holds the cache.
    stated
        The most KV tokens of each tree; None: no limit.
    shared
        Whether the trees divide the engine's cache among them instead.
    max_tokens, max_step_tokens
        As those of the `ets.Search`.
    mark
        Of its event loop, as for `EngineCall`.
    """

    def __init__(
        self,
        policy: Policy,
        *,
        stated: int | None,
        shared: bool,
        max_tokens: int,
        max_step_tokens: int,
        mark: object,
    ) -> None:
        self._policy = policy
        self._stated = stated
        self._shared = shared
        self._max_tokens = max_tokens
        self._max_step_tokens = max_step_tokens
        self._mark = mark
        self._shares: KVShares | None = None

    @property
    def space_tokens(self) -> int | None:
        """Tokens of the engine's cache; None until somebody has asked the engine."""
        return None if self._shares is None else self._shares.space.tokens

    @asynccontextmanager
    async def problem(self) -> AsyncIterator[KVPart]:
        """The part of one problem, while it is in flight; where cache is shared, when it has room.

        # Errors
        `InputError` where the cache is shared and the policy does not say how much it has.
        """
        # Counted too where only `map` looks at what problems need.
        shares = await self.shares() if self._shared else self._shares
        async with shares.admitted() if self._shared and shares is not None else nullcontext():
            share = None if shares is None else shares.share()
            part = KVPart(share if self._shared else self._stated, share)
            try:
                yield part
            finally:
                part.leave()

    async def at_once(self, concurrency: int | Literal["auto"]) -> Callable[[], int]:
        """How many problems may be in flight, to be asked anew for each."""
        if concurrency == "auto":
            return (await self.shares()).problems_at_once
        if not self._shared:
            return lambda: concurrency
        most = (await self.shares()).most_problems
        return lambda: min(concurrency, most)

    async def shares(self) -> KVShares:
        """How the policy's KV cache is divided; waits until its engine has started.

        # Errors
        `InputError` for a policy that does not say how much it has.
        """
        if self._shares is None:
            policy = self._policy
            if not isinstance(policy, HasKVSpace):
                raise InputError(
                    "'auto' needs a policy whose KV cache is known, as that of vllm:PATH is, "
                    f"got {type(policy).__name__}; give numbers as kv_budget and concurrency"
                )
            with EngineCall(policy, self._mark):
                ledger = await ledger_of(policy)
            self._shares = self._shares or KVShares(
                ledger, max_tokens=self._max_tokens, max_step_tokens=self._max_step_tokens
            )
        return self._shares


class KVPart:
    """One problem's: the limit of its tree, and the room of its samples."""

    def __init__(self, limit: int | KVLimit | None, share: KVShare | None) -> None:
        self.limit = limit
        """The tree's `kv_budget`."""
        self._share = share
        self._tree: TreeSearch | None = None

    def holds(self, tree: TreeSearch) -> None:
        """This tree, from now on."""
        self._tree = tree

    def gate(self) -> Gate | None:
        """In which a sample of the step that is asked for runs; None: it need not wait for room."""
        if self._tree is None or self._share is None or self.limit is not self._share:
            return None
        return self._share.gate(self._tree)

    def leave(self) -> None:
        """The problem is no longer in flight; its tree keeps the number that it was last given."""
        if self._tree is not None:
            self._tree.kv_budget = self._tree.kv_budget
        if self._share is not None:
            self._share.leave(self._tree)
