"""`ets doctor`: what was found, in plain words."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.text import Text

from ets.cli.output import Output
from ets.doctor import Load, Report, Shown, examine
from ets.strategy_names import DEFAULT_WIDTH

_MAX_TOKENS = 1024
"""As `Search` has it."""
_SIGNS = {"good": ("✓", "green"), "note": ("!", "yellow"), "bad": ("✗", "bold red")}


def run_doctor(said: Mapping[str, Any], output: Output) -> int:
    """Examine and print; 1 if something is wrong, else 0.

    `said` are arguments of `Search` as a file would hold them; without policy and PRM it is about
    the bundled pair.
    """
    policy, prm = said.get("policy"), said.get("prm")
    if policy is None and prm is None:
        policy, prm = "demo", "demo"
    load = Load(
        said.get("strategy", {}).get("width", DEFAULT_WIDTH), said.get("max_tokens", _MAX_TOKENS)
    )
    with output.progress.status("loading and trying the models"):
        reports = asyncio.run(
            examine(
                policy,
                prm,
                policy_options=said.get("policy_options", {}),
                prm_options=said.get("prm_options", {}),
                load=load,
            )
        )
    for report in reports:
        if output.as_json:
            output.json({**asdict(report), "healthy": report.healthy})
        else:
            print_report(report, output.console)
    return 0 if all(report.healthy for report in reports) else 1


def print_report(report: Report, console: Console) -> None:
    """What was found of one engine."""
    console.rule(f"[bold]{report.part}[/bold] {escape(report.name)}", align="left")
    width = max(map(len, report.facts), default=0)
    for name, value in report.facts.items():
        console.print(Text.assemble((f"  {name:<{width}}  ", "dim"), value), soft_wrap=True)
    for shown in report.shown:
        _print_shown(shown, console)
    for finding in report.findings:
        sign, style = _SIGNS[finding.level]
        console.print(Text.assemble((f"{sign} ", style), finding.text), soft_wrap=True)
        if finding.help:
            console.print(Text.assemble(("  → ", "dim"), finding.help), soft_wrap=True)
    console.print()


def _print_shown(shown: Shown, console: Console) -> None:
    console.print(f"\n{escape(shown.title)} ({shown.tokens} tokens):", soft_wrap=True)
    for piece in shown.pieces:
        mark = ""
        if piece.reward is not None:
            mark = f"  ◀ {piece.reward:.4f}, read at id {piece.ids[-1]}"
        text = Text.assemble("  ", repr(piece.text), (mark, "cyan"))
        console.print(text, soft_wrap=True)
        console.print(Text(f"  {' '.join(map(str, piece.ids))}", "dim"), soft_wrap=True)
    console.print()
