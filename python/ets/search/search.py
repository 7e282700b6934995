"""The search over engines: many `TreeSearch`es, one policy, one PRM, one embedder."""

from __future__ import annotations

import asyncio
import os
import re
import weakref
from collections.abc import (
    Callable,
    Iterable,
    Mapping,
    Sequence,
)
from dataclasses import replace
from typing import Any, Literal, TypeAlias

from ets.answer import Aggregation, VoteMethod
from ets.checks import shown
from ets.dialogue import Dialogue, Messages
from ets.engines.protocols import Embedder, Policy
from ets.errors import InputError
from ets.loop.stream import Stream
from ets.pickled import Unpicklable
from ets.policy.limits import PRMThinking
from ets.rollout.belongings import Belongings
from ets.rollout.budget import Budget
from ets.rollout.carried import Carried
from ets.rollout.engines import Engines
from ets.rollout.options import OPTIONS, OnePRM, RequestOrder, SearchOptions
from ets.rollout.result import SearchResult
from ets.rollout.shared_budget import SharedBudget
from ets.rollout.until import Certain
from ets.search.mapped import Mapped
from ets.search.problem_solver import ProblemSolver
from ets.search.problem_stream import ProblemStream
from ets.search.repeated import opening, solver_for
from ets.search.replica import Replica, Site
from ets.search.sites import LocalSites, Sites, WorkerSites, in_workers
from ets.search.toml import read_config, search_arguments
from ets.strategy import Strategy
from ets.tree_search.search import TreeSearch
from ets.workers.fleet import Fleet, started
from ets.workers.worker import Worker

Given: TypeAlias = str | Dialogue | Messages
"""A problem: its text, or the messages of a dialogue that ends in it."""
_LOADED = (
    *("policy", "prm", "embedder"),
    *("policy_options", "prm_options", "embedder_options"),
)
"""What is loaded once for a search and all beside it."""


class Search(Unpicklable):
    """Tree search with a policy, a PRM and a strategy.

    A search owns the engines that it loaded by name and closes them in `close`, which a `with`
    block calls; objects that were passed in stay their owner's. One that is never closed is closed
    when nobody refers to it any more, or at the interpreter's end.

    With several policies or PRMs of the same model, each pair of them is a replica (one policy
    beside several PRMs serves them all, and the other way round). A problem goes to the replica
    with the fewest problems, among those to the one with the most free KV cache, and stays there:
    the tree is what shares KV. Where it is searched changes nothing of what is found. One that is
    on a replica which is lost (`EngineLostError`) or drained (`replicas[i].drain()`) goes on
    elsewhere from its last complete step. A lost replica is tried again, and while all are lost,
    problems wait as long as the engines' `patience`.

    Any number of threads and event loops may call one search at once. In a forked process it
    refuses to be used. A policy, PRM, embedder or strategy must not call the search that it serves:
    that is an `EngineError`, as is anything it raises that is no `Exception`.

    Parameters
    ----------
    policy
        Who writes the steps: a name (`vllm:PATH`, `transformers:PATH`, `demo`, ...; see
        `ets.policy.load_policy`) or an object with the protocol. Several, as a list or as
        `openai:MODEL@URL1,URL2`, are replicas: see below.
    prm
        Who scores them: a name (see `ets.prm.load_prm`), an object with the protocol, or a plain
        function `f(problem, steps) -> reward`; or several, as many as there are policies.
    strategy
        What to keep and to continue: `ets.ETS`, `ets.MPTS`, `ets.REBASE`, `ets.BeamSearch`,
        `ets.DVTS`, `ets.BestOfN`, ..., or an object with the `ets.strategy.Strategy` protocol.
    embedder
        Who tells which steps mean the same: a name (see `ets.embed.load_embedder`) or an object
        with the protocol. It is loaded only where the strategy needs one; the default `lexical`
        needs no model.
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
    vote
        How completed trajectories vote: `weighted`, `majority` or `best`.
    score
        How step rewards make a trajectory's score: `last`, `min`, `prod` or `mean`.
    answer_pattern
        A regular expression whose first group is the answer, in place of `ets.answer`'s rules.
    budget
        `ets.Budget`: tokens, seconds or PRM calls at which a problem's search ends, with its best
        answer so far; `SearchResult.end` says which of them ended it.
    until
        `ets.Certain`: votes are asked for, samples of `BestOfN` or searches of another strategy,
        until the answer is certain; `SearchResult.certainty` says how certain it is.
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
    engine_timeout
        Seconds, > 0, in which not one sample of a step comes back and after which the engines count
        as lost, as if they had said so: of several replicas the problem goes on elsewhere, a worker
        is started again. More than the longest step takes in a full queue. None: they are waited
        for.
    workers
        `ets.Workers`: processes of this host that each load a policy and a PRM of their own, on
        their own devices; `ets.ray.RayWorkers`: the same on a Ray cluster. Each is a replica. One
        that dies or hangs is started again, and its problems go on from their last complete step.
        The policy and PRM must be names, or objects that pickle. Or workers that run already, which
        stay their owner's. None: the engines are in this process.
    """

    _pickle_instead = (
        "its results can, and a Search is made from the same arguments in each process"
    )

    def __init__(
        self,
        policy: str | Policy | Sequence[str | Policy] = SearchOptions.policy,
        prm: OnePRM | Sequence[OnePRM] = SearchOptions.prm,
        strategy: Strategy | None = None,
        *,
        embedder: str | Embedder = SearchOptions.embedder,
        seed: int = SearchOptions.seed,
        policy_options: Mapping[str, Any] | None = SearchOptions.policy_options,
        prm_options: Mapping[str, Any] | None = SearchOptions.prm_options,
        embedder_options: Mapping[str, Any] | None = SearchOptions.embedder_options,
        max_step_tokens: int | None = SearchOptions.max_step_tokens,
        max_tokens: int | None = SearchOptions.max_tokens,
        max_depth: int | None = SearchOptions.max_depth,
        prm_thinking: PRMThinking | None = SearchOptions.prm_thinking,
        vote: VoteMethod = SearchOptions.vote,
        score: Aggregation = SearchOptions.score,
        answer_pattern: str | re.Pattern[str] | None = SearchOptions.answer_pattern,
        budget: Budget | None = SearchOptions.budget,
        until: Certain | None = SearchOptions.until,
        kv_budget: int | Literal["auto"] | None = SearchOptions.kv_budget,
        straggler: float = SearchOptions.straggler,
        request_order: RequestOrder = SearchOptions.request_order,
        engine_timeout: float | None = SearchOptions.engine_timeout,
        workers: Fleet | Sequence[Worker] | None = None,
    ) -> None:
        options = SearchOptions(
            policy=policy,
            prm=prm,
            strategy=SearchOptions.strategy if strategy is None else strategy,
            embedder=embedder,
            seed=seed,
            policy_options=policy_options,
            prm_options=prm_options,
            embedder_options=embedder_options,
            max_step_tokens=max_step_tokens,
            max_tokens=max_tokens,
            max_depth=max_depth,
            prm_thinking=prm_thinking,
            vote=vote,
            score=score,
            answer_pattern=answer_pattern,
            budget=budget,
            until=until,
            kv_budget=kv_budget,
            straggler=straggler,
            request_order=request_order,
            engine_timeout=engine_timeout,
        )
        self.options = options
        """What it was made with."""
        self._belongings = Belongings()
        self._loop = self._belongings.loop
        self._owned = self._belongings.engines
        self._beside: Search | None = None
        self._sites: Sites
        self._own: Sequence[Site]
        weakref.finalize(self, self._belongings.abandon).atexit = False
        try:
            if workers is None:
                engines = Engines.load(options, self._owned)
                self._sites = LocalSites(engines, self._belongings)
            else:
                there = started(workers, options, self._owned)
                self._sites = WorkerSites(there, self._belongings)
            self._own = self._sites.of(opening(options))
            self._owned.extend(in_workers(self._own))
            named = zip(self._sites.names, self._own, strict=True)
            replicas = [Replica(name, site) for name, site in named]
            self._solver = ProblemSolver(replicas, patience=self._sites.patience)
            self._solves = solver_for(self._solver, options, self._belongings.voting)
        except BaseException:
            self._belongings.close_quietly()
            raise

    @property
    def strategy(self) -> Strategy:
        """What is kept and continued: that of the options."""
        return self.options.strategy

    @property
    def replicas(self) -> tuple[Replica, ...]:
        """The sets of engines that problems are spread over; one, as a rule."""
        return self._solver.replicas

    @classmethod
    def from_toml(cls, path: str | os.PathLike[str], **arguments: Any) -> Search:
        """A search whose arguments stand in a TOML file; `arguments` win over those of the file.

        The keys are the arguments above; `strategy` is a table of a `name` (`ets`, `ets-kv`,
        `mpts`, `rebase`, `beam`, `dvts`, `particle`, `dora`, `best-of-n`) and the fields of that
        strategy, `budget` one of the fields of `ets.Budget`. Paths are relative to the working
        directory, as elsewhere.

        Raises `InputError` for a file that is no TOML, or an unknown key; `OSError` if it cannot
        be read.
        """
        return cls(**{**search_arguments(read_config(path)), **arguments})

    def beside(self, **changes: Any) -> Search:
        """A search with other settings over the engines of this one, and of all beside it.

        What is not among `changes`, arguments of `ets.Search`, is as here. Nothing is loaded or
        started: replicas, their load, the KV cache that they share, event loop and threads are the
        same. It ends with this search; closing it frees what workers keep of it, and no engine.

        # Errors
        `InputError` for engines, their options, an unknown name, or a strategy that needs an
        embedder where this search has none.
        """
        settings = [name for name in OPTIONS if name not in _LOADED]
        for name in changes:
            if name not in settings:
                raise InputError(
                    f"{name} cannot differ beside a search; what can: {', '.join(settings)}"
                )
        other = Search.__new__(Search)
        other.options = replace(self.options, **changes)
        other._belongings, other._loop, other._owned = self._belongings, self._loop, self._owned
        other._sites, other._beside = self._sites, self
        other._own = self._sites.of(opening(other.options))
        other._solver = self._solver.beside(other._own)
        other._solves = solver_for(other._solver, other.options, other._belongings.voting)
        return other

    async def ready(self, concurrency: int | Literal["auto"] = 8) -> Callable[[], int]:
        """Wait until engines that start in the background have; then what says, whenever it is
        asked, how many problems may be in flight: `concurrency`, or as many as fit (`map`).

        # Errors
        Those of the engines; `InputError` for `"auto"` where the size of the cache is not known.
        """
        return await self._loop.call(self._ready, concurrency)

    async def until_lost(self) -> str:
        """Wait until its engines are lost, of every replica, and say what they say of it.

        Those on vLLM in this process tell at once; of others a problem's end is the first sign, and
        workers are started again: this waits for ever then, which costs nothing.

        # Errors
        `EngineError` if the search is closed.
        """
        return await self._loop.call(self._sites.until_lost)

    def solve(self, problem: Given) -> SearchResult:
        """Search one problem and wait for the result.

        It is a text, or a list of messages in OpenAI's form, each a `role` (`system`, `user` or
        `assistant`) and a `content`, of which the last is the user's and is the problem.

        An interrupt (Ctrl-C) ends it within a second, whatever an engine is doing.

        # Errors
        `InputError` for a problem that is neither, and for messages that the policy cannot take;
        those of the engines; `EngineError` if the search is closed, before or meanwhile.
        """
        return self._loop.run(self._solves.solve, problem)

    async def asolve(self, problem: Given) -> SearchResult:
        """`solve` for asynchronous callers, on whatever loop they run."""
        return await self._loop.call(self._solves.solve, problem)

    def resume(self, tree: TreeSearch, problem: Given) -> SearchResult:
        """Search on in a tree that was saved (`TreeSearch.from_json`), or given up half way.

        The tree goes on as it would have: its strategy, seeds, `max_tokens` and `max_depth` are its
        own; this search gives engines, budget and votes. It is changed, and is the result's tree
        (with `workers` it is not, and the result has a tree of its own).
        Steps are read again from their texts, so a policy of your own must be able to
        (`ets.engines.Rereads`). A tree whose search is over is voted on as it is.

        # Errors
        Those of `solve`; `InputError` for what is no tree, or one of another problem or policy, as
        far as the lengths of their prompts tell, and where its strategy needs an embedder that this
        search has not.
        """
        return self._loop.run(self._resumed, tree, problem)

    async def aresume(self, tree: TreeSearch, problem: Given) -> SearchResult:
        """`resume` for asynchronous callers, on whatever loop they run."""
        return await self._loop.call(self._resumed, tree, problem)

    def map(
        self,
        problems: Iterable[Given],
        *,
        concurrency: int | Literal["auto"] = 8,
        ordered: bool = True,
        budget: SharedBudget | None = None,
    ) -> Stream[SearchResult]:
        """Search many problems, `concurrency` of them at once; for `for` and for `async for`.

        With `"auto"` as many as fit into the KV cache of the policy's engine, by what the problems
        before them needed.

        Lazy: a problem is taken from `problems` only when there is room for it. With `ordered`,
        results come in the order of the problems (at most 4 * `concurrency` wait for an earlier
        one), otherwise as they are completed. An error of a problem is raised in its place and ends
        the map; one of `problems` itself is raised behind the results of the problems before it.
        `problems` is read in a thread of its own, and may wait for a result of this very map.

        With a `budget` (`ets.SharedBudget`) all problems share its tokens, of a search `until` the
        answers are certain. Then all of `problems` are read and begun before the first result.

        # Errors
        `InputError` for a `concurrency` below 1, for problems that are one text or no iterable, and
        for a budget without `until`.
        """
        wanted = Mapped.of(
            problems, self._solves, concurrency=concurrency, ordered=ordered, budget=budget
        )
        return Stream(self._loop, wanted.results(self._solver))

    def stream(self, problem: Given) -> ProblemStream:
        """The events of one search as they happen, for `for` and for `async for`.

        It begins with the first event that is asked for, and then goes on whether or not anybody
        reads. The last event is `Answered`, which carries the result. `ProblemStream.tree` is the
        tree as it grows.

        # Errors
        `InputError` where the problem is searched `until` it is certain: that is several searches.
        """
        self._check_once("stream")
        return ProblemStream(
            self._loop, lambda seen: self._solver.events(problem, seen=seen, watched=True)
        )

    def close(self) -> None:
        """Abort what still runs and free the engines that this search loaded.

        What others still wait for is an `EngineError`. What does not end when it is told to (an
        engine that swallows its cancellation, a function that never returns) is left behind after
        some seconds, with a line in the log.

        # Errors
        That of the first engine that fails to close, when all have been closed.
        """
        if self._beside is None:
            self._belongings.close(self._owned)
        elif not self._loop.closed:
            self._loop.run(self._forgotten)

    async def aclose(self) -> None:
        """`close` for asynchronous callers: their event loop goes on meanwhile."""
        if self._beside is not None:
            if not self._loop.closed:
                await self._loop.call(self._forgotten)
            return
        await asyncio.get_running_loop().run_in_executor(None, self.close)

    def __enter__(self) -> Search:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    async def __aenter__(self) -> Search:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()

    def _check_once(self, name: str) -> None:
        if self.options.until is not None:
            raise InputError(f"{name} is of one search, and until repeats them: use solve or map")

    async def _forgotten(self) -> None:
        for site in in_workers(self._own):
            await site.aclose()

    async def _ready(self, concurrency: int | Literal["auto"]) -> Callable[[], int]:
        await self._sites.started()
        return await self._solver.at_once(concurrency)

    async def _resumed(self, tree: TreeSearch, problem: Given) -> SearchResult:
        if not isinstance(tree, TreeSearch):
            raise InputError(f"tree must be a TreeSearch, got {shown(tree)}")
        self._check_once("resume")
        return await self._solver.solve(problem, carried=Carried(tree))
