"""The engines of one search: who writes, who scores, who embeds."""

from __future__ import annotations

import inspect
from dataclasses import dataclass

from ets.embed import load_embedder
from ets.engines.protocols import PRM, Embedder, Policy
from ets.loop.engine_call import EngineCall
from ets.memory import Engine, with_shares
from ets.policy import load_policy
from ets.prm import load_prm
from ets.search.options import SearchOptions


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
        for engine in (self.policy, self.prm, self.embedder):
            ready = getattr(engine, "ready", None)
            if inspect.iscoroutinefunction(ready):  # any object can be an engine here
                with EngineCall(engine):
                    await ready()

    @classmethod
    def load(cls, options: SearchOptions, owned: list[Policy | PRM | Embedder]) -> Engines:
        """Those that `options` holds, and those that it names, which are loaded.

        Each that was loaded is in `owned` at once, also where a later one fails.
        """
        embedding = options.strategy.needs_embeddings
        of_policy, of_prm, of_embedder = with_shares(
            Engine(options.policy, options.policy_options or {}),
            Engine(options.prm, options.prm_options or {}),
            Engine(options.embedder if embedding else None, options.embedder_options or {}),
            width=options.strategy.width,
            max_tokens=options.max_tokens,
        )
        policy = load_policy(options.policy, **of_policy)
        if policy is not options.policy:
            owned.append(policy)
        prm = load_prm(options.prm, **of_prm)
        if prm is not options.prm:
            owned.append(prm)
        if not embedding:
            return cls(policy, prm, None)
        embedder = load_embedder(options.embedder, policy=policy, **of_embedder)
        if embedder is not options.embedder:
            owned.append(embedder)
        return cls(policy, prm, embedder)
