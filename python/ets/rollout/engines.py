"""The engines of one search: who writes, who scores, who embeds; of several replicas perhaps."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from ets.embed import load_embedder
from ets.engines.local.prefix_cache import ForgetsPrefixes
from ets.engines.name import each_server
from ets.engines.protocols import PRM, Embedder, HasRanks, Policy, TellsLoss, WaitsForServer
from ets.engines.vllm.load import EngineLoad
from ets.errors import EngineError, InputError
from ets.loop.engine_call import EngineCall
from ets.memory import Engine, with_shares
from ets.policy import load_policy
from ets.prm import load_prm
from ets.prm.policy import with_logprobs
from ets.rollout.belongings import Closes
from ets.rollout.options import SearchOptions

T = TypeVar("T", Policy, PRM, Embedder)
_WAITS = (0.1, 0.5, 2.0, 10.0)
"""Seconds between the tries to empty a cache: aborted requests leave an engine a moment later."""
_WAIT = 10.0
"""Seconds that one replica's server is waited for, while the problem can go on elsewhere."""


@dataclass(frozen=True, slots=True)
class Engines:
    """What a rollout calls; `embedder` is None where the strategy needs no embeddings."""

    policy: Policy
    prm: PRM
    embedder: Embedder | None

    async def started(self) -> None:
        """Wait for those that start in the background, as ours on vLLM do.

        # Errors
        `EngineError` of one that does not start.
        """
        for engine in self._all:
            ready = getattr(engine, "ready", None)
            if inspect.iscoroutinefunction(ready):  # any object can be an engine here
                with EngineCall(engine):
                    await ready()

    async def until_lost(self) -> str:
        """Wait until one of those that can tell is lost, and say what it says of it; where none can
        for ever.

        # Errors
        `EngineError` if it is closed.
        """
        told = [one for one in self._all if isinstance(one, TellsLoss)]
        if not told:
            never: asyncio.Future[str] = asyncio.get_running_loop().create_future()
            return await never
        tasks = [asyncio.ensure_future(_loss(one)) for one in told]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            return done.pop().result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    async def forget_prefixes(self) -> None:
        """Empty the prefix caches, of those that can: as if they had just started.

        # Errors
        `EngineError` if one still works on what was given up, some seconds later.
        """
        for engine in self._all:
            if not isinstance(engine, ForgetsPrefixes):
                continue
            for wait in (*_WAITS, None):
                try:
                    await engine.forget_prefixes()
                    break
                except EngineError:
                    if wait is None:
                        raise
                    await asyncio.sleep(wait)

    @property
    def _all(self) -> tuple[object, ...]:
        return self.policy, self.prm, self.embedder

    def loads(self) -> dict[str, EngineLoad]:
        """What `policy` and `PRM` work on at once, and their busiest moment; of those on vLLM."""
        loads = {"policy": EngineLoad.of(self.policy), "PRM": EngineLoad.of(self.prm)}
        return {name: load for name, load in loads.items() if load is not None}

    @classmethod
    def load(cls, options: SearchOptions, owned: list[Closes]) -> list[Engines]:
        """Those of each replica: what `options` holds, and what it names, which is loaded.

        Each that was loaded is in `owned` at once, also where a later one fails. One policy beside
        several PRMs serves all of them, and the other way round.

        # Errors
        `InputError` where there are several of both, and not equally many; those of the engines.
        """
        policies, prms = _each(options.policy), _each(options.prm)
        count = max(len(policies), len(prms))
        for name, given in (("policy", policies), ("prm", prms)):
            if len(given) not in (1, count):
                raise InputError(
                    f"{name} must be one, or one for each of the {count} replicas, got {len(given)}"
                )
        embedder = options.embedder if options.strategy.needs_embeddings else None
        of_policies = [
            with_logprobs(
                policies[at % len(policies)], options.policy_options or {}, prms[at % len(prms)]
            )
            for at in range(count)
        ]
        settled = [
            with_shares(
                Engine(policies[at % len(policies)], of_policies[at]),
                Engine(prms[at % len(prms)], options.prm_options or {}),
                Engine(embedder, options.embedder_options or {}),
                width=options.strategy.width,
                max_tokens=options.max_tokens,
            )
            for at in range(count)
        ]

        def own(engine: T, given: object) -> T:
            if engine is not given:
                owned.append(engine)
                if count > 1:
                    leave_waiting_to_search([engine])
            return engine

        policies = [own(load_policy(p, **settled[at][0]), p) for at, p in enumerate(policies)]
        prms = [
            own(load_prm(p, policy=policies[at % len(policies)], **settled[at][1]), p)
            for at, p in enumerate(prms)
        ]
        embedders: list[Embedder | None] = [None]
        if embedder is not None:
            of_policy = isinstance(embedder, str) and embedder.partition("?")[0] == "policy"
            embedders = [
                own(load_embedder(embedder, policy=policy, **settled[at][2]), embedder)
                for at, policy in enumerate(policies if of_policy else policies[:1])
            ]
        return [
            cls(rank, prms[at % len(prms)], embedders[at % len(embedders)])
            for at in range(count)
            for rank in _ranks(policies[at % len(policies)])
        ]


def names_of(replicas: Sequence[Engines]) -> list[str]:
    """What to call each: its server's address, where each has one of its own, or its number."""
    for of_replica in ([e.policy for e in replicas], [e.prm for e in replicas]):
        urls = [getattr(getattr(engine, "server", None), "url", None) for engine in of_replica]
        if None not in urls and len(set(urls)) == len(replicas):
            return [str(url) for url in urls]
    return [f"replica {number}" for number in range(1, len(replicas) + 1)]


def leave_waiting_to_search(engines: Iterable[object]) -> None:
    """Have replicas wait for their servers for a moment only: problems can go on elsewhere."""
    for engine in engines:
        if isinstance(engine, WaitsForServer):
            engine.wait_at_most(_WAIT)


def patience_of(replicas: Sequence[Engines]) -> float:
    """Seconds for which problems wait when all replicas are lost: what their servers are given."""
    engines = [engine for e in replicas for engine in (e.policy, e.prm)]
    waits = [engine.patience for engine in engines if isinstance(engine, WaitsForServer)]
    return max(waits, default=0.0)


def _ranks(policy: Policy) -> Sequence[Policy]:
    return (policy.ranks() if isinstance(policy, HasRanks) else ()) or (policy,)


def _each(given: Any) -> list[Any]:
    """The engines of which one or a sequence is given; a name may hold several addresses."""
    every = list(given) if isinstance(given, list | tuple) else [given]
    if not every:
        raise InputError("policy and prm must be one or several, got an empty sequence")
    return [name for one in every for name in (each_server(one) if isinstance(one, str) else [one])]


async def _loss(engine: TellsLoss) -> str:
    with EngineCall(engine):
        return await engine.until_lost()
