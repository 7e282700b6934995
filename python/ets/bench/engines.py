"""The engines of a benchmark: policy, PRM and embedder, loaded once for all of its searches."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from typing import Any, TypeVar

from ets.bench.bank import SampleBank, identity
from ets.bench.banked import BankedEmbedder, BankedPolicy, BankedPRM, embedder_identity
from ets.bench.grid import Cell, Grid
from ets.bench.measure import measure
from ets.bench.packed_tree import pack_tree
from ets.embed import load_embedder
from ets.engines.local.prefix_cache import ForgetsPrefixes
from ets.engines.name import each_server
from ets.engines.protocols import PRM, Embedder, InstantEmbedder, Policy
from ets.engines.vllm.load import EngineLoad
from ets.errors import EngineError, EngineLostError
from ets.memory import shared_options
from ets.policy import load_policy
from ets.prm import load_prm
from ets.problems.problem import Problem
from ets.rollout.engines import leave_waiting_to_search
from ets.search.search import Search
from ets.search.toml import search_arguments

T = TypeVar("T", Policy, PRM)
Row = dict[str, Any]
Todo = dict[tuple[Cell, int], list[Problem]]
"""[cell, seed]: the problems that are still to be searched."""
Found = tuple[Row, bytes | None]
"""The row of a search, and its tree, packed, where trees are kept."""
_WAITS = (0.1, 0.5, 2.0, 10.0)
"""Seconds between the tries to empty a cache: aborted requests leave an engine a moment later."""


class Engines:
    """Policy, PRM and embedder, loaded once for the searches of `todo`.

    `with Engines(grid, todo) as engines` loads them, and raises what that raises.
    """

    def __init__(self, grid: Grid, todo: Todo) -> None:
        self._grid, self._todo = grid, todo
        self._arguments = search_arguments(grid.search)
        self._wants_vectors = any(cell.strategy().needs_embeddings for cell, _ in todo)
        self._parts: dict[str, object] = {}
        self._end = ExitStack()

    def __enter__(self) -> Engines:
        with ExitStack() as stack:  # which, if one cannot be loaded, closes those before it
            self._load(stack)
            self._end = stack.pop_all()
        return self

    def _load(self, stack: ExitStack) -> None:
        given, grid = self._arguments, self._grid
        bank = None
        if grid.bank is not None:
            size = int(grid.bank_gib * (1 << 30))
            bank = SampleBank(grid.bank, read_only=grid.bank_read_only, max_bytes=size)
            stack.enter_context(bank)
        # The bank knows engines by what the user says of them, without their shares of a GPU.
        of_policy, of_prm, of_embedder = shared_options(
            given, width=max(grid.widths), embeds=self._wants_vectors
        )
        name, options = given.pop("policy", "demo"), given.pop("policy_options", {})
        policies = self._loaded(name, load_policy, of_policy, stack)
        model = identity(name, options)
        given["policy"] = [p if bank is None else BankedPolicy(p, bank, model) for p in policies]
        name, options = given.pop("prm", "demo"), given.pop("prm_options", {})
        prms = self._loaded(name, load_prm, of_prm, stack)
        model = identity(name, options)
        given["prm"] = [p if bank is None else BankedPRM(p, bank, model) for p in prms]
        if max(len(policies), len(prms)) > 1:
            leave_waiting_to_search([*policies, *prms])
        self._parts = _named("policy", policies) | _named("PRM", prms)
        name = given.pop("embedder", "lexical")
        given.pop("embedder_options", None)
        if self._wants_vectors:
            embedder = load_embedder(name, policy=policies[0], **of_embedder)
            stack.callback(_close, embedder)
            # One that answers at once is faster than a bank.
            if bank is not None and not isinstance(embedder, InstantEmbedder):
                whose = embedder_identity(grid.search)
                embedder = BankedEmbedder(embedder, bank, whose)
            given["embedder"] = embedder

    @staticmethod
    def _loaded(
        name: str, load: Callable[..., T], options: dict[str, Any], stack: ExitStack
    ) -> list[T]:
        """One for each address in the name, which `stack` closes."""
        engines = []
        for one in each_server(name):
            engines.append(load(one, **options))
            stack.callback(_close, engines[-1])
        return engines

    def __exit__(self, *exc: object) -> None:
        self._end.close()

    def found(self) -> Iterator[Found]:
        """What comes of each search, as it is finished."""
        for number, ((cell, seed), problems) in enumerate(self._todo.items()):
            if number:
                asyncio.run(self._forget_prefixes())
            yield from self._search(cell, seed, problems)

    async def _forget_prefixes(self) -> None:
        """Empty the prefix caches: the cell before has left the same problems' prefixes there, and
        which cell reads them first must not show in anyone's tokens and times. A server's cannot
        be emptied from here.

        # Errors
        `EngineError` if an engine still works on what the cell before has given up.
        """
        for part in self._parts.values():
            if not isinstance(part, ForgetsPrefixes):
                continue
            for wait in (*_WAITS, None):
                try:
                    await part.forget_prefixes()
                    break
                except EngineError:
                    if wait is None:
                        raise
                    await asyncio.sleep(wait)

    def _search(self, cell: Cell, seed: int, problems: list[Problem]) -> Iterator[Found]:
        waiting: dict[str, list[Problem]] = {}
        for problem in problems:
            waiting.setdefault(problem.text, []).append(problem)
        with Search(strategy=cell.strategy(), seed=seed, **self._arguments) as search:
            texts = [problem.text for problem in problems]
            for result in search.map(texts, concurrency=self._grid.concurrency, ordered=False):
                if result.lost is not None:  # a run that goes on later searches it again
                    raise EngineLostError(result.lost)
                # Two problems of one text have one search twice, so either may have either.
                problem = waiting[result.problem].pop()
                tree = pack_tree(result.tree) if self._grid.trees else None
                row = measure(cell, seed, problem, result)
                if loads := self._engine_loads():
                    row["engines"] = loads
                yield row, tree

    def _engine_loads(self) -> dict[str, dict[str, int]]:
        """What the engines on vLLM work on at once, and their busiest moment so far."""
        loads = {name: EngineLoad.of(part) for name, part in self._parts.items()}
        return {name: asdict(load) for name, load in loads.items() if load is not None}


def _named(part: str, engines: Sequence[object]) -> dict[str, object]:
    if len(engines) == 1:
        return {part: engines[0]}
    return {f"{part} {number}": engine for number, engine in enumerate(engines, 1)}


def _close(engine: Policy | PRM | Embedder) -> None:
    asyncio.run(engine.aclose())
