"""The doctor: loads a policy and a PRM, tries them on a small problem, says what is wrong."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from typing import Any

from ets.doctor.loading import load_as_policy, load_as_prm, what_it_is
from ets.doctor.memory import Engines, examine_memory
from ets.doctor.policy import Load, compare_prompts, examine_policy
from ets.doctor.prm import examine_prm
from ets.doctor.report import Finding, Piece, Report, Shown
from ets.engines.name import each_server
from ets.engines.protocols import PRM, Policy
from ets.memory import Engine, with_shares
from ets.prm.policy import with_logprobs
from ets.shown.log import Log
from ets.step import Prefix

_LOG = Log(__name__)


async def examine(
    policy: str | None,
    prm: str | None,
    *,
    policy_options: Mapping[str, Any],
    prm_options: Mapping[str, Any],
    load: Load,
    known: bool = False,
) -> list[Report]:
    """All reports of `examinations`, once they are there."""
    found = examinations(
        policy, prm, policy_options=policy_options, prm_options=prm_options, load=load, known=known
    )
    return [report async for report in found]


async def examinations(
    policy: str | None,
    prm: str | None,
    *,
    policy_options: Mapping[str, Any],
    prm_options: Mapping[str, Any],
    load: Load,
    known: bool = False,
) -> AsyncGenerator[Report, None]:
    """Load and examine those of the two that have a name, each report as soon as it is there.

    Of a name with several addresses there is a report for each. All are loaded before one is
    examined, as a search does: they may share a device. What is wrong is in the reports; what is
    going on is logged. `known` holds the PRM against known scores.
    """
    policy_options, prm_options, _ = with_shares(
        Engine(policy, with_logprobs(policy, policy_options, prm)),
        Engine(prm, prm_options),
        Engine(),
        width=load.width,
        max_tokens=load.max_tokens,
    )
    writers: list[tuple[str, Policy | Report]] = []
    judges: list[tuple[str, PRM | Report]] = []
    try:
        for name in () if policy is None else each_server(policy):
            _LOG.info("loading the policy %s", name)
            writers.append((name, load_as_policy(name, policy_options)))
        for name in () if prm is None else each_server(prm):
            _LOG.info("loading the PRM %s", name)
            beside = next((w for _, w in writers if not isinstance(w, Report)), None)
            judges.append((name, load_as_prm(name, prm_options, beside)))
        first: Prefix | None = None
        for name, writer in writers:
            if not isinstance(writer, Report):
                _LOG.info("trying the policy %s", name)
                report = await examine_policy(writer, name, load)
                first = compare_prompts(writer, report, first)
                if what := what_it_is(report, policy_options):
                    report.find("bad", what)
            else:
                report = writer
            yield report
        for name, judge in judges:
            if isinstance(judge, Report):
                yield judge
            else:
                _LOG.info("trying the PRM %s", name)
                yield await examine_prm(judge, name, known=known)
    finally:
        for _, engine in (*reversed(judges), *reversed(writers)):
            if not isinstance(engine, Report):
                await engine.aclose()


__all__ = [
    "Engines",
    "Finding",
    "Load",
    "Piece",
    "Report",
    "Shown",
    "examinations",
    "examine",
    "examine_memory",
]
