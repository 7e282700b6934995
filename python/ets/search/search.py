"""The search over engines: many `TreeSearch`es, one policy, one PRM, one embedder."""

from __future__ import annotations

import asyncio
import os
import re
import time
import weakref
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Iterator, Mapping
from contextlib import aclosing, nullcontext
from dataclasses import replace
from typing import Any, Literal, TypeVar

from ets.answer import Aggregation, VoteMethod
from ets.answer.tally import Tally
from ets.checks import (
    MOST,
    as_integer,
    check_choice,
    check_flag,
    check_int,
    check_number,
    check_options,
    check_text,
    checked_count,
    integer,
    iterated,
    shown,
)
from ets.embed import Embedder, load_embedder
from ets.engines.kv_space import HasKVSpace
from ets.engines.values import checked_root
from ets.errors import InputError
from ets.loop.engine_call import EngineCall
from ets.loop.thread import Stream
from ets.memory import Engine, with_shares
from ets.pickled import Unpicklable
from ets.policy import Policy, load_policy
from ets.policy.limits import Limits, PRMThinking, thinking_of
from ets.prm import PRM, load_prm
from ets.search.belongings import Belongings
from ets.search.budget import Budget
from ets.search.kv_ledger import ledger_of
from ets.search.kv_shares import KVShares
from ets.search.many import in_flight
from ets.search.problem_stream import ProblemStream
from ets.search.result import Answered, SearchResult
from ets.search.rollout import Engines, Pace, RequestOrder, Rollout
from ets.search.toml import read_config, search_arguments
from ets.search.usage import Usage
from ets.strategy import ETS, Strategy
from ets.tree.seeds import problem_seed
from ets.tree_search.search import Event, TreeSearch
from ets.tree_search.selection import check_kv_budget, check_strategy

E = TypeVar("E", Policy, PRM, Embedder)


class Search(Unpicklable):
    """Tree search with a policy, a PRM and a strategy.

    Parameters
    ----------
    policy, prm, embedder
        A name (`vllm:PATH`, `transformers:PATH`, `demo`, ...; see `ets.policy.load_policy`,
        `ets.prm.load_prm`, `ets.embed.load_embedder`) or an object with the protocol; a PRM may be
        a plain function `f(problem, steps) -> reward`. The embedder is loaded only where the
        strategy needs one; the default `lexical` needs no model.
    strategy
        What to keep and to continue: `ets.ETS`, `ets.REBASE`, `ets.BeamSearch`, `ets.DVTS`,
        `ets.BestOfN`, or an object with the `ets.strategy.Strategy` protocol.
    seed
        Every sample's seed comes from (seed, problem, path of the node), so a result does not
        depend on how many problems are in flight, as far as the engine itself is reproducible.
    policy_options, prm_options, embedder_options
        Passed to the backend that a name stands for.
    max_step_tokens, max_tokens, max_depth
        Tokens of one step, tokens of a trajectory (prompt not counted), steps of a trajectory. By
        default 256, 1024 and 25, and for a policy that thinks first 512, 32,768 and 128. What the
        engines can read limits `max_tokens`, with one line in the log.
    prm_thinking
        Of a policy that thinks first (`ets.policy.thinking`): `read`, the PRM is given the thoughts
        step by step; `skip`, it is given what follows them, and the thoughts make one step with the
        first paragraph of the answer. By default `read`, unless the PRM's context is known to be
        shorter than `max_tokens`.
    vote, score
        How completed trajectories vote (`weighted`, `majority`, `best`), and how step rewards make
        a trajectory's score (`last`, `min`, `prod`, `mean`).
    answer_pattern
        A regular expression whose first group is the answer, in place of `ets.answer`'s rules.
    budget
        `ets.Budget`: tokens, seconds or PRM calls at which a problem's search ends, with its best
        answer so far; `SearchResult.end` says which of them ended it.
    kv_budget
        The most KV tokens that the tree kept by a selection may hold, the prompt once; for
        strategies that prune to it (`ets.ETS`). `"auto"`: the KV cache of the policy's engine,
        divided evenly among the problems in flight, less what the next samples need; no more
        problems are in flight than leave each room for two trajectories of `max_tokens`, and no
        more samples than have room. What is kept then depends on what else is in flight.
    straggler
        The share of a step's samples, in [0, 1), that need not be waited for: the step closes
        without the last ones, which are aborted and counted in `Usage.given_up`. 0 waits for all;
        anything above makes a result depend on timing.
    request_order
        `tree`: a step's requests go out with siblings and cousins together, so that what is in the
        engine's cache is used before it is evicted; `best_first`: the best leaf's first.

    A search owns the engines that it loaded by name and closes them in `close`, which a `with`
    block calls; objects that were passed in stay their owner's. One that is never closed is closed
    when nobody refers to it any more, or at the interpreter's end.

    Any number of threads and event loops may call one search at once. In a forked process it
    refuses to be used. A policy, PRM, embedder or strategy must not call the search that it serves:
    that is an `EngineError`, as is anything it raises that is no `Exception`.
    """

    _pickle_instead = (
        "its results can, and a Search is made from the same arguments in each process"
    )

    def __init__(
        self,
        policy: str | Policy = "demo",
        prm: str | PRM | Callable[[str, list[str]], float] = "demo",
        strategy: Strategy | None = None,
        *,
        embedder: str | Embedder = "lexical",
        seed: int = 0,
        policy_options: Mapping[str, Any] | None = None,
        prm_options: Mapping[str, Any] | None = None,
        embedder_options: Mapping[str, Any] | None = None,
        max_step_tokens: int | None = None,
        max_tokens: int | None = None,
        max_depth: int | None = None,
        prm_thinking: PRMThinking | None = None,
        vote: VoteMethod = "weighted",
        score: Aggregation = "last",
        answer_pattern: str | re.Pattern[str] | None = None,
        budget: Budget | None = None,
        kv_budget: int | Literal["auto"] | None = None,
        straggler: float = 0.0,
        request_order: RequestOrder = "tree",
    ) -> None:
        max_step_tokens = _limit("max_step_tokens", max_step_tokens)
        max_tokens = _limit("max_tokens", max_tokens)
        max_depth = _limit("max_depth", max_depth)
        for name, options in (
            ("policy_options", policy_options),
            ("prm_options", prm_options),
            ("embedder_options", embedder_options),
        ):
            if options is not None:
                check_options(name, options)
        if prm_thinking is not None:
            check_choice("prm_thinking", prm_thinking, PRMThinking)
        check_choice("request_order", request_order, RequestOrder)
        check_number("straggler", straggler, "in [0, 1)", lambda x: 0 <= x < 1)
        auto = isinstance(kv_budget, str) and kv_budget == "auto"
        if kv_budget is not None and not auto:
            right = as_integer(kv_budget) or kv_budget
            check_int("kv_budget", right, 1, MOST, ", 'auto', or None")
        if budget is not None and not isinstance(budget, Budget):
            raise InputError(f"budget must be an ets.Budget or None, got {shown(budget)}")
        if strategy is not None:
            check_strategy(strategy)
        if not isinstance(embedder, str | Embedder) or isinstance(embedder, type):
            raise InputError(f"embedder must be a name or an ets Embedder, got {shown(embedder)}")
        self.strategy: Strategy = ETS(width=16) if strategy is None else strategy
        check_kv_budget(self.strategy, 1 if auto else kv_budget)
        self._seed = integer("seed", seed, None)
        if not -MOST <= self._seed <= MOST:
            raise InputError(f"seed must be an integer of 64 bits, got {shown(seed)}")
        self._kv_budget = kv_budget
        self._kv_shares: KVShares | None = None
        self._tally = Tally(vote, score, answer_pattern)
        self._belongings = Belongings()
        self._loop = self._belongings.loop
        self._owned = self._belongings.engines
        weakref.finalize(self, self._belongings.abandon).atexit = False
        embedding = self.strategy.needs_embeddings
        of_policy, of_prm, of_embedder = with_shares(
            Engine(policy, policy_options or {}),
            Engine(prm, prm_options or {}),
            Engine(embedder if embedding else None, embedder_options or {}),
            width=self.strategy.width,
            max_tokens=max_tokens,
        )
        try:
            writer = self._own(policy, load_policy(policy, **of_policy))
            self._engines = Engines(
                policy=writer,
                prm=self._own(prm, load_prm(prm, **of_prm)),
                embedder=self._own(embedder, load_embedder(embedder, policy=writer, **of_embedder))
                if embedding
                else None,
            )
            self._limits = Limits.settle(
                writer,
                self._engines.prm,
                max_step_tokens=max_step_tokens,
                max_tokens=max_tokens,
                max_depth=max_depth,
                prm_thinking=prm_thinking,
            )
        except BaseException:
            self._belongings.close_quietly()
            raise
        if (thinking := thinking_of(writer)) is not None:
            self._tally = self._tally.reading(thinking.answer_of)
        self._pace = Pace(
            max_step_tokens=self._limits.max_step_tokens,
            budget=budget or Budget(),
            straggler=straggler,
            reads_thoughts=self._limits.reads_thoughts,
            request_order=request_order,
        )

    @classmethod
    def from_toml(cls, path: str | os.PathLike[str], **arguments: Any) -> Search:
        """A search whose arguments stand in a TOML file; `arguments` win over those of the file.

        The keys are the arguments above; `strategy` is a table of a `name` (`ets`, `ets-kv`,
        `rebase`, `beam`, `dvts`, `particle`, `dora`, `best-of-n`) and the fields of that strategy,
        `budget` one of the fields of `ets.Budget`. Paths are relative to the working directory,
        as elsewhere.

        Raises `InputError` for a file that is no TOML, or an unknown key; `OSError` if it cannot
        be read.
        """
        return cls(**{**search_arguments(read_config(path)), **arguments})

    def solve(self, problem: str) -> SearchResult:
        """Search one problem and wait for the result.

        An interrupt (Ctrl-C) ends it within a second, whatever an engine is doing.

        # Errors
        `InputError` for a problem that is no text; those of the engines; `EngineError` if the
        search is closed, before or meanwhile.
        """
        return self._loop.run(self._solve(problem))

    async def asolve(self, problem: str) -> SearchResult:
        """`solve` for asynchronous callers, on whatever loop they run."""
        return await self._loop.call(self._solve(problem))

    def map(
        self,
        problems: Iterable[str],
        *,
        concurrency: int | Literal["auto"] = 8,
        ordered: bool = True,
    ) -> Stream[SearchResult]:
        """Search many problems, `concurrency` of them at once; for `for` and for `async for`.

        With `"auto"` as many as fit into the KV cache of the policy's engine, by what the problems
        before them needed.

        Lazy: a problem is taken from `problems` only when there is room for it. With `ordered`,
        results come in the order of the problems (at most 4 * `concurrency` wait for an earlier
        one), otherwise as they are completed. An error of a problem is raised in its place and ends
        the map; one of `problems` itself is raised behind the results of the problems before it.
        `problems` is read in a thread of its own, and may wait for a result of this very map.
        """
        if not (isinstance(concurrency, str) and concurrency == "auto"):
            concurrency = checked_count("concurrency", concurrency, note=", or 'auto'")
        check_flag("ordered", ordered)
        if isinstance(problems, str):
            raise InputError("problems must be an iterable of problems, got one string; use solve")
        source = iterated("problems", problems)
        return Stream(self._loop, self._map(source, concurrency, ordered))

    def stream(self, problem: str) -> ProblemStream:
        """The events of one search as they happen, for `for` and for `async for`.

        It begins with the first event that is asked for, and then goes on whether or not anybody
        reads. The last event is `Answered`, which carries the result. `ProblemStream.tree` is the
        tree as it grows.
        """
        return ProblemStream(self._loop, lambda seen: self._events(problem, seen=seen))

    def close(self) -> None:
        """Abort what still runs and free the engines that this search loaded.

        What others still wait for is an `EngineError`. What does not end when it is told to (an
        engine that swallows its cancellation, a function that never returns) is left behind after
        some seconds, with a line in the log.

        # Errors
        That of the first engine that fails to close, when all have been closed.
        """
        self._belongings.close(self._owned)

    async def aclose(self) -> None:
        """`close` for asynchronous callers: their event loop goes on meanwhile."""
        await asyncio.get_running_loop().run_in_executor(None, self.close)

    def __enter__(self) -> Search:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    async def __aenter__(self) -> Search:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()

    async def _solve(self, problem: str, name: str = "problem") -> SearchResult:
        async with aclosing(self._events(problem, name)) as events:
            async for event in events:
                if isinstance(event, Answered):
                    return event.result
        raise RuntimeError("a search ended without an answer event")

    async def _events(
        self,
        problem: str,
        name: str = "problem",
        seen: Callable[[TreeSearch], None] = lambda tree: None,
    ) -> AsyncGenerator[Event | Answered, None]:
        check_text(name, problem)
        has = self._belongings
        policy = self._engines.policy
        with EngineCall(policy, self._loop.mark):
            root = checked_root(await has.prompts.run(policy.start, problem), policy)
        # Before the clock: a start takes minutes, and is neither this problem's nor its strategy's.
        await self._engines.started()
        auto = self._kv_budget == "auto"
        shares = await self._shares() if auto else self._kv_shares
        async with shares.admitted() if auto and shares is not None else nullcontext():
            begin = time.perf_counter()
            with EngineCall(self.strategy, self._loop.mark):
                tree = await has.deciding.run(self._tree, problem, root.prompt_tokens)
            seen(tree)
            share = None if shares is None else shares.share()
            rollout = Rollout(
                self._engines,
                tree,
                root,
                self._pace,
                has.deciding,
                share if auto else None,
                mark=self._loop.mark,
            )
            try:
                async with aclosing(rollout.events()) as events:
                    async for event in events:
                        yield event
            finally:
                if share is not None:
                    share.leave(tree)
        # The budget's time is for the answer, not only for the search.
        left = None if self._pace.budget.seconds is None else max(0.0, rollout.seconds_left())
        result = await has.voting.run(self._result, problem, tree, rollout.usage, left)
        result.usage.seconds = time.perf_counter() - begin
        if rollout.lost is not None:
            result = replace(result, lost=str(rollout.lost))
        yield Answered(result)

    def _result(
        self, problem: str, tree: TreeSearch, usage: Usage, seconds: float | None
    ) -> SearchResult:
        return SearchResult.of(tree, self._tally, problem=problem, usage=usage, seconds=seconds)

    def _tree(self, problem: str, prompt_tokens: int) -> TreeSearch:
        return TreeSearch(
            self.strategy,
            prompt_tokens=prompt_tokens,
            seed=problem_seed(self._seed, problem),
            max_tokens=self._limits.max_tokens,
            max_depth=self._limits.max_depth,
            kv_budget=None if self._kv_budget == "auto" else self._kv_budget,
        )

    async def _map(
        self, problems: Iterator[str], concurrency: int | Literal["auto"], ordered: bool
    ) -> AsyncGenerator[SearchResult, None]:
        limit = await self._limit(concurrency)

        def solve(index: int, problem: str) -> Coroutine[Any, Any, SearchResult]:
            return self._solve(problem, f"problems[{index}]")

        async with aclosing(in_flight(problems, solve, limit, ordered=ordered)) as results:
            async for result in results:
                yield result

    async def _limit(self, concurrency: int | Literal["auto"]) -> Callable[[], int]:
        """How many problems may be in flight, asked anew for each."""
        if concurrency == "auto":
            return (await self._shares()).problems_at_once
        if self._kv_budget == "auto":
            most = (await self._shares()).most_problems
            return lambda: min(concurrency, most)
        return lambda: concurrency

    async def _shares(self) -> KVShares:
        """How the policy's KV cache is divided; waits until its engine has started."""
        if self._kv_shares is None:
            policy = self._engines.policy
            if not isinstance(policy, HasKVSpace):
                raise InputError(
                    "'auto' needs a policy whose KV cache is known, as that of vllm:PATH is, "
                    f"got {type(policy).__name__}; give numbers as kv_budget and concurrency"
                )
            with EngineCall(policy, self._loop.mark):
                ledger = await ledger_of(policy)
            self._kv_shares = self._kv_shares or KVShares(
                ledger,
                max_tokens=self._limits.max_tokens,
                max_step_tokens=self._pace.max_step_tokens,
            )
        return self._kv_shares

    def _own(self, given: object, engine: E) -> E:
        """Note an engine that was loaded here: it is closed with the search."""
        if engine is not given:
            self._owned.append(engine)
        return engine


def _limit(name: str, value: int | None) -> int | None:
    """A limit of the search, >= 1 or None."""
    return None if value is None else checked_count(name, value)
