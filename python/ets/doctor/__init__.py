"""The doctor: loads a policy and a PRM, tries them on a small problem, says what is wrong."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from typing import Any

from ets.doctor.loading import load_as_policy, load_as_prm, what_it_is
from ets.doctor.memory import Engines, examine_memory
from ets.doctor.policy import Load, examine_policy
from ets.doctor.prm import examine_prm
from ets.doctor.report import Finding, Piece, Report, Shown
from ets.memory import Engine, with_shares
from ets.shown.log import Log

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

    Both are loaded before one is examined, as a search does: they may share a device. What is wrong
    is in the reports; what is going on is logged. `known` holds the PRM against known scores.
    """
    policy_options, prm_options, _ = with_shares(
        Engine(policy, policy_options),
        Engine(prm, prm_options),
        Engine(),
        width=load.width,
        max_tokens=load.max_tokens,
    )
    writer = judge = None
    try:
        if policy is not None:
            _LOG.info("loading the policy %s", policy)
            writer = load_as_policy(policy, policy_options)
        if prm is not None:
            _LOG.info("loading the PRM %s", prm)
            judge = load_as_prm(prm, prm_options)
        if policy is not None and writer is not None:
            report = writer
            if not isinstance(report, Report):
                _LOG.info("trying the policy %s", policy)
                report = await examine_policy(report, policy, load)
                if what := what_it_is(report, policy_options):
                    report.find("bad", what)
            yield report
        if prm is not None and judge is not None:
            if isinstance(judge, Report):
                yield judge
            else:
                _LOG.info("trying the PRM %s", prm)
                yield await examine_prm(judge, prm, known=known)
    finally:
        for engine in (judge, writer):
            if engine is not None and not isinstance(engine, Report):
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
