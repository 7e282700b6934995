"""The engines of a benchmark, with its sample bank, loaded once for all of its searches."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from ets.bench.bank import SampleBank, digest, identity
from ets.bench.banked import BankedEmbedder, BankedPolicy, BankedPRM, embedder_identity
from ets.bench.grid import Grid
from ets.embed import load_embedder
from ets.engines.name import each_server
from ets.engines.protocols import PRM, Embedder, InstantEmbedder, Policy
from ets.engines.vllm.load import EngineLoad
from ets.errors import InputError
from ets.memory import shared_options
from ets.policy import load_policy
from ets.prm import load_prm
from ets.prm.policy import is_of_policy, reads_certainty, with_logprobs
from ets.rollout.belongings import Closes
from ets.rollout.engines import Engines, leave_waiting_to_search
from ets.search.toml import search_arguments

T = TypeVar("T", Policy, PRM)


@dataclass(frozen=True, slots=True)
class GridEngines:
    """What a grid's engines are; they are loaded in this process or, as a `Load`, in workers."""

    grid: Grid
    embeds: bool
    """Whether a strategy that is searched needs an embedder."""

    def __call__(self, owned: list[Closes]) -> Engines:
        """Those of a worker.

        # Errors
        `InputError` where the names stand for several; those of the engines and the bank.
        """
        stack = ExitStack()
        owned.append(_Stack(stack))
        policies, prms, embedder = self.load(stack)
        if len(policies) > 1 or len(prms) > 1:
            raise InputError(
                f"workers have one policy and one PRM each, got {len(policies)} and {len(prms)} "
                "addresses: leave workers at 1 to use them all"
            )
        return Engines(policies[0], prms[0], embedder)

    def load(self, stack: ExitStack) -> tuple[list[Policy], list[PRM], Embedder | None]:
        """One policy and one PRM for each address in their names, which `stack` closes.

        # Errors
        Those of the engines and the bank.
        """
        grid = self.grid
        given = search_arguments(grid.search)
        given["policy_options"] = with_logprobs(
            given.get("policy", "demo"), given.get("policy_options", {}), given.get("prm", "demo")
        )
        bank = None
        if grid.bank is not None:
            size = int(grid.bank_gib * (1 << 30))
            bank = SampleBank(grid.bank, read_only=grid.bank_read_only, max_bytes=size)
            stack.enter_context(bank)
        # The bank knows engines by what the user says of them, without their shares of a GPU.
        of_policy, of_prm, of_embedder = shared_options(
            given, width=max(grid.widths), embeds=self.embeds
        )
        name, options = given.get("policy", "demo"), given.get("policy_options", {})
        policies = _loaded(name, load_policy, of_policy, stack)
        model = identity(name, options)
        kept: list[Policy] = [p if bank is None else BankedPolicy(p, bank, model) for p in policies]
        name, options = given.get("prm", "demo"), given.get("prm_options", {})
        prms = _loaded(name, partial(load_prm, policy=policies[0]), of_prm, stack)
        writer = model if is_of_policy(name) else b""
        model = digest(writer, identity(name, options)) if writer else identity(name, options)
        if max(len(policies), len(prms)) > 1:
            leave_waiting_to_search([*policies, *prms])
        # The policy's own verdicts are of numbers that the bank keeps with its steps.
        texts = None if reads_certainty(name) else bank
        judges: list[PRM] = [p if texts is None else BankedPRM(p, texts, model) for p in prms]
        if not self.embeds:
            return kept, judges, None
        name = given.get("embedder", "lexical")
        embedder = load_embedder(name, policy=policies[0], **of_embedder)
        stack.callback(_close, embedder)
        # One that answers at once is faster than a bank.
        if bank is not None and not isinstance(embedder, InstantEmbedder):
            embedder = BankedEmbedder(embedder, bank, embedder_identity(grid.search))
        return kept, judges, embedder


class LocalEngines:
    """A grid's engines in this process.

    `with LocalEngines(GridEngines(...)) as engines` loads them, and raises what that raises.
    """

    def __init__(self, of_grid: GridEngines) -> None:
        self._of_grid = of_grid
        self._end = ExitStack()
        self._replicas: list[Engines] = []
        self.arguments: dict[str, Any] = {}
        """What an `ets.Search` is given."""

    def __enter__(self) -> LocalEngines:
        with ExitStack() as stack:  # which, if one cannot be loaded, closes those before it
            policies, prms, embedder = self._of_grid.load(stack)
            self._end = stack.pop_all()
        self.arguments = {"policy": policies, "prm": prms}
        if embedder is not None:
            self.arguments["embedder"] = embedder
        count = max(len(policies), len(prms))
        self._replicas = [
            Engines(policies[at % len(policies)], prms[at % len(prms)], None) for at in range(count)
        ]
        return self

    def __exit__(self, *exc: object) -> None:
        self._end.close()

    def forget_prefixes(self) -> None:
        """As `Engines.forget_prefixes`, of each."""
        for engines in self._replicas:
            asyncio.run(engines.forget_prefixes())

    def loads(self) -> dict[str, EngineLoad]:
        """As `Engines.loads`; with numbers, where there are several."""
        return numbered([engines.loads() for engines in self._replicas])


def numbered(each: Sequence[dict[str, EngineLoad]]) -> dict[str, EngineLoad]:
    """The loads of all replicas: `policy`, or `policy 1` and so on, where there are several."""
    if len(each) == 1:
        return each[0]
    return {f"{name} {at}": of for at, one in enumerate(each, 1) for name, of in one.items()}


@dataclass(frozen=True, slots=True)
class _Stack:
    """What is closed one after the other, by whoever owns engines."""

    stack: ExitStack

    async def aclose(self) -> None:
        await asyncio.to_thread(self.stack.close)  # it runs event loops of its own


def _loaded(
    name: str, load: Callable[..., T], options: dict[str, Any], stack: ExitStack
) -> list[T]:
    """One for each address in the name, which `stack` closes."""
    engines = []
    for one in each_server(name):
        engines.append(load(one, **options))
        stack.callback(_close, engines[-1])
    return engines


def _close(engine: Policy | PRM | Embedder) -> None:
    asyncio.run(engine.aclose())
