"""The doctor: loads a policy and a PRM, tries them on a small problem, says what is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ets.doctor.loading import load_as_policy, load_as_prm, what_it_is
from ets.doctor.policy import Load, examine_policy
from ets.doctor.prm import examine_prm
from ets.doctor.report import Finding, Piece, Report, Shown


async def examine(
    policy: str | None,
    prm: str | None,
    *,
    policy_options: Mapping[str, Any],
    prm_options: Mapping[str, Any],
    load: Load,
) -> list[Report]:
    """Load and examine those of the two that have a name; what is wrong is in the reports.

    Both are loaded before one is examined, as a search does: they may share a device.
    """
    writer = None if policy is None else load_as_policy(policy, policy_options)
    judge = None if prm is None else load_as_prm(prm, prm_options)
    reports: list[Report] = []
    try:
        if policy is not None and writer is not None:
            report = writer
            if not isinstance(report, Report):
                report = await examine_policy(report, policy, load)
                if what := what_it_is(report, policy_options):
                    report.find("bad", what)
            reports.append(report)
        if prm is not None and judge is not None:
            reports.append(judge if isinstance(judge, Report) else await examine_prm(judge, prm))
    finally:
        for engine in (judge, writer):
            if engine is not None and not isinstance(engine, Report):
                await engine.aclose()
    return reports


__all__ = ["Finding", "Load", "Piece", "Report", "Shown", "examine"]
