"""What a benchmark would do, before it is started: engines, prompts, and what it would cost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from statistics import fmean

from ets.bench.grid import Grid
from ets.bench.prompts import PromptShown, first_prompts
from ets.bench.runner import chosen_problems
from ets.doctor.embedder import examine_embedder
from ets.doctor.loading import (
    load_as_embedder,
    load_as_policy,
    load_as_prm,
    what_it_is,
)
from ets.doctor.policy import Load, examine_policy
from ets.doctor.prm import examine_prm
from ets.doctor.report import Report
from ets.engines.name import each_server
from ets.engines.protocols import PRM, Embedder, Policy
from ets.errors import EngineError, InputError, MissingExtraError
from ets.memory import Engine, planned_tokens, shared_options
from ets.prm.policy import with_logprobs
from ets.problems.problem import Problem
from ets.rollout.result import SearchResult
from ets.search.search import Search
from ets.search.toml import search_arguments
from ets.shown.redaction import redacted_text
from ets.strategy import REBASE, BestOfN, Strategy

PROBED = 4
"""Problems that are searched, at the smallest width, to measure what the rest would cost."""
ASSUMED_TOKENS, ASSUMED_STEPS = 600, 12
"""Of one solution, where no engine is there to measure it: chain-of-thought mathematics by a small
model, to be replaced by a measurement."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What all searches of one width would come to."""

    width: int
    searches: int
    policy_tokens: float
    """Sampled, all searches together."""
    prm_tokens: float
    """Read by the PRM, where it reads each step once."""
    kv_tokens: float
    """Of the candidates of one search, at its peak."""
    seconds: float | None
    """At the speed of the probe; larger widths batch better. None where nothing was measured."""


@dataclass(frozen=True, slots=True)
class Plan:
    """All that a dry run found."""

    problems: int | None
    """None where the data set could not be read."""
    dataset_error: str | None
    cells: int
    seeds: int
    reports: tuple[Report, ...]
    prompts: tuple[PromptShown, ...]
    prompts_error: str | None
    """Why the prompts are shown as plain messages."""
    costs: tuple[Cost, ...]
    probed: int
    """Searches that the costs were measured on; 0: they are assumed."""

    @property
    def ready(self) -> bool:
        """Whether the benchmark could be started."""
        return self.dataset_error is None and all(report.healthy for report in self.reports)


_Engines = tuple["Policy | Report", "PRM | Report", "Embedder | Report | None"]
"""Each loaded, or why it is not; an embedder only where a strategy needs one."""


def dry_run(grid: Grid) -> Plan:
    """Load and try the engines, make the first prompts, estimate; nothing is written.

    What cannot be loaded is in the plan, and the rest is done without it.
    """
    return asyncio.run(_dry_run(grid))


async def _dry_run(grid: Grid) -> Plan:
    problems, dataset_error = _problems(grid)
    policy_name = grid.search.get("policy", "demo")
    policy_options = grid.search.get("policy_options", {})
    results: list[SearchResult] = []
    seconds = 0.0
    async with AsyncExitStack() as stack:
        # All before one is tried, as a run does: they may share a device.
        engines = await asyncio.to_thread(_load, grid)
        for engine in engines:
            if engine is not None and not isinstance(engine, Report):
                stack.push_async_callback(engine.aclose)
        reports = await _examined(grid, engines)
        writer, judge, _ = engines
        if what := what_it_is(reports[0], policy_options):
            reports[0].find("bad", what)
        prompts, prompts_error = first_prompts(
            writer, policy_name, policy_options, problems, reports[0]
        )
        if isinstance(writer, Policy) and isinstance(judge, PRM) and problems:
            begin = time.perf_counter()
            try:
                results = await asyncio.to_thread(_probe, grid, writer, judge, spread(problems))
            except (EngineError, InputError) as error:
                reports[0].find("bad", f"a search failed: {error}")
            seconds = time.perf_counter() - begin
    return Plan(
        problems=None if dataset_error else len(problems),
        dataset_error=dataset_error,
        cells=len(grid.cells()),
        seeds=len(grid.seeds),
        reports=tuple(reports),
        prompts=prompts,
        prompts_error=prompts_error,
        costs=tuple(costs(grid, len(problems) or 1, results, seconds)),
        probed=len(results),
    )


def _load(grid: Grid) -> _Engines:
    said = dict(grid.search)
    said["policy_options"] = with_logprobs(
        said.get("policy", "demo"), said.get("policy_options", {}), said.get("prm", "demo")
    )
    embeds = any(cell.strategy().needs_embeddings for cell in grid.cells())
    of_policy, of_prm, of_embedder = shared_options(said, width=max(grid.widths), embeds=embeds)
    # Of several addresses the first: `ets doctor` tries them all.
    writer = load_as_policy(each_server(said.get("policy", "demo"))[0], of_policy)
    policy = writer if isinstance(writer, Policy) else None
    judge = load_as_prm(each_server(said.get("prm", "demo"))[0], of_prm, policy)
    if not embeds:
        return writer, judge, None
    name = said.get("embedder", "lexical")
    if policy is None and name.partition("?")[0] == "policy":
        unknown = Report("embedder", name)
        unknown.find("note", "not tried, as the policy, whose model it is, could not be loaded")
        return writer, judge, unknown
    return writer, judge, load_as_embedder(name, policy, of_embedder)


async def _examined(grid: Grid, engines: _Engines) -> list[Report]:
    said, (writer, judge, embedder) = grid.search, engines
    engine = Engine(said.get("policy", "demo"), said.get("policy_options", {}))
    load = Load(max(grid.widths), planned_tokens(engine, said.get("max_tokens")))
    reports = [
        writer
        if isinstance(writer, Report)
        else await examine_policy(writer, said.get("policy", "demo"), load)
    ]
    if isinstance(judge, Report):
        reports.append(judge)
    elif (name := said.get("prm", "demo")) == "none":
        reports.append(Report("PRM", name))
        reports[-1].find("note", "no PRM: every step is worth the same")
    else:
        reports.append(await examine_prm(judge, name))
    if isinstance(embedder, Report):
        reports.append(embedder)
    elif embedder is not None:
        reports.append(await examine_embedder(embedder, said.get("embedder", "lexical")))
    return reports


def spread(problems: Sequence[Problem]) -> list[Problem]:
    """`PROBED` of the problems, from all over: data sets are often sorted."""
    count = min(PROBED, len(problems))
    return [problems[k * len(problems) // count] for k in range(count)]


def costs(grid: Grid, problems: int, results: Sequence[SearchResult], seconds: float) -> list[Cost]:
    """For each width what its searches would come to, from searches at the smallest width.

    Tokens and KV grow with the width, as independent solutions do; pruning makes them less.
    """
    least = min(grid.widths)
    if results:
        policy = fmean(result.usage.policy_tokens for result in results)
        prm = fmean(result.usage.prm_tokens - result.usage.prm_cached_tokens for result in results)
        kv = fmean(result.kv.before.peak for result in results)
    else:
        policy = prm = kv = float(least * ASSUMED_TOKENS)
    found = []
    for width in grid.widths:
        cells = [cell.strategy() for cell in grid.cells() if cell.width == width]
        searches = problems * len(grid.seeds) * sum(_most_searches(grid, cell) for cell in cells)
        more = width / least
        took = seconds / len(results) * more * searches if results else None
        found.append(
            Cost(width, searches, policy * more * searches, prm * more * searches, kv * more, took)
        )
    return found


def _most_searches(grid: Grid, strategy: Strategy) -> int:
    """Of one problem; independent samples are one search, whatever they are asked for until."""
    until = search_arguments(grid.search).get("until")
    if until is None or isinstance(strategy, BestOfN):
        return 1
    most: int = until.most_votes(strategy)
    return most


def _problems(grid: Grid) -> tuple[list[Problem], str | None]:
    try:
        return chosen_problems(grid), None
    except (EngineError, InputError, MissingExtraError, OSError) as error:
        return [], redacted_text(" ".join(str(error).split()))


def _probe(grid: Grid, policy: Policy, prm: PRM, problems: Sequence[Problem]) -> list[SearchResult]:
    """Searches by REBASE, which prunes least."""
    arguments = search_arguments(grid.search)
    for name in ("policy_options", "prm_options", "embedder", "embedder_options", "until"):
        arguments.pop(name, None)
    arguments.update(policy=policy, prm=prm, strategy=REBASE(width=min(grid.widths)))
    with Search(**arguments, seed=grid.seeds[0]) as search:
        return list(search.map([problem.posed for problem in problems], concurrency=PROBED))
