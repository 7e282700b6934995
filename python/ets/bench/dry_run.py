"""What a benchmark would do, before it is started: engines, prompts, and what it would cost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, fields
from statistics import fmean
from typing import Any

from ets.bench.grid import Grid
from ets.bench.runner import chosen_problems
from ets.config import search_arguments
from ets.doctor.loading import load_as_policy, load_as_prm, what_it_is
from ets.doctor.policy import HasPrompt, Load, examine_policy
from ets.doctor.prm import examine_prm
from ets.doctor.report import Report
from ets.engine_name import EngineName
from ets.errors import EngineError, InputError, MissingExtraError
from ets.policy import Policy
from ets.policy.base import PolicyOptions
from ets.policy.prompt import PolicyPrompt
from ets.prm import PRM
from ets.problems import Problem
from ets.results import SearchResult
from ets.search import Search
from ets.strategy import REBASE

PROMPTS = 3
PROBED = 2
"""Problems that are searched, at the smallest width, to measure what the rest would cost."""
ASSUMED_TOKENS, ASSUMED_STEPS = 600, 12
"""Of one solution, where no engine is there to measure it: chain-of-thought mathematics by a small
model, to be replaced by a measurement."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What the policy is given of one problem."""

    key: str | int | None
    text: str
    tokens: int | None
    """None where the tokenizer could not be loaded."""


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
    prompts: tuple[Shown, ...]
    prompts_error: str | None
    """Why the prompts are shown as plain messages."""
    costs: tuple[Cost, ...]
    probed: int
    """Searches that the costs were measured on; 0: they are assumed."""

    @property
    def ready(self) -> bool:
        """Whether the benchmark could be started."""
        return self.dataset_error is None and all(report.healthy for report in self.reports)


def dry_run(grid: Grid) -> Plan:
    """Load and try the engines, make the first prompts, estimate; nothing is written.

    What cannot be loaded is in the plan, and the rest is done without it.
    """
    return asyncio.run(_dry_run(grid))


async def _dry_run(grid: Grid) -> Plan:
    problems, dataset_error = _problems(grid)
    said = grid.search
    policy_name, prm_name = said.get("policy", "demo"), said.get("prm", "demo")
    options = said.get("policy_options", {})
    async with AsyncExitStack() as engines:
        # Both before one is tried, as a run does: they may share a device.
        writer = await asyncio.to_thread(load_as_policy, policy_name, options)
        if isinstance(writer, Policy):
            engines.push_async_callback(writer.aclose)
        judge = await asyncio.to_thread(load_as_prm, prm_name, said.get("prm_options", {}))
        if isinstance(judge, PRM):
            engines.push_async_callback(judge.aclose)
        load = Load(max(grid.widths), said.get("max_tokens", 1024))
        reports = [
            writer
            if isinstance(writer, Report)
            else await examine_policy(writer, policy_name, load),
            judge if isinstance(judge, Report) else await examine_prm(judge, prm_name),
        ]
        if what := what_it_is(reports[0], options):
            reports[0].find("bad", what)
        prompts, prompts_error = _prompts(writer, policy_name, options, problems[:PROMPTS])
        results: list[SearchResult] = []
        seconds = 0.0
        if isinstance(writer, Policy) and isinstance(judge, PRM) and problems:
            begin = time.perf_counter()
            try:
                results = await asyncio.to_thread(_probe, grid, writer, judge, problems[:PROBED])
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
        cells = sum(cell.width == width for cell in grid.cells())
        searches = problems * cells * len(grid.seeds)
        more = width / least
        took = seconds / len(results) * more * searches if results else None
        found.append(
            Cost(width, searches, policy * more * searches, prm * more * searches, kv * more, took)
        )
    return found


def _problems(grid: Grid) -> tuple[list[Problem], str | None]:
    try:
        return chosen_problems(grid), None
    except (EngineError, InputError, MissingExtraError, OSError) as error:
        return [], " ".join(str(error).split())


def _prompts(
    writer: Policy | Report, name: str, options: Mapping[str, Any], problems: Sequence[Problem]
) -> tuple[tuple[Shown, ...], str | None]:
    """The prompts as the policy reads them, or as plain messages and the reason for it."""
    try:
        prompt = writer.prompt if isinstance(writer, HasPrompt) else _tokenizer_of(name, options)
    except (EngineError, InputError, MissingExtraError) as error:
        why = " ".join(str(error).split())
        return tuple(Shown(p.key, _message(options, p.text), None) for p in problems), why
    return tuple(
        Shown(p.key, prompt.text(p.text), prompt.start(p.text).prompt_tokens) for p in problems
    ), None


def _tokenizer_of(name: str, options: Mapping[str, Any]) -> PolicyPrompt:
    """The prompt of a policy that could not be loaded: its tokenizer may be there all the same."""
    engine = EngineName.parse("policy", name, options)
    known = {f.name for f in fields(PolicyOptions)}
    chosen = {key: value for key, value in engine.options.items() if key in known}
    return PolicyPrompt.load(engine.path, PolicyOptions(**chosen))


def _message(options: Mapping[str, Any], problem: str) -> str:
    system = options.get("system_prompt")
    user = str(options.get("user_template", "{problem}")).replace("{problem}", problem)
    return user if system is None else f"{system}\n\n{user}"


def _probe(grid: Grid, policy: Policy, prm: PRM, problems: Sequence[Problem]) -> list[SearchResult]:
    """Searches by REBASE, which prunes least."""
    arguments = search_arguments(grid.search)
    for name in ("policy_options", "prm_options", "embedder", "embedder_options"):
        arguments.pop(name, None)
    arguments.update(policy=policy, prm=prm, strategy=REBASE(width=min(grid.widths)))
    with Search(**arguments, seed=grid.seeds[0]) as search:
        return list(search.map([problem.text for problem in problems], concurrency=PROBED))
