"""`ets doctor`: what was found, in plain words."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from rich.console import Console

from ets.cli.output import Output
from ets.cli.shown_console import ShownText as Text
from ets.cli.waiting import Waiting
from ets.doctor import Engines, Load, Report, Shown, examinations, examine_memory
from ets.errors import InputError
from ets.memory import Engine, planned_tokens
from ets.shown.redaction import redacted, redacted_text
from ets.strategy.registry import DEFAULT_WIDTH

_GIB = 1 << 30
_SAME = 0.1
"""How far a GPU may be from the size that is said: a 4090 \"of 24 GB\" has 23.5 GiB."""
_SIGNS = {"good": ("✓", "green"), "note": ("!", "yellow"), "bad": ("✗", "bold red")}


def run_doctor(
    said: Mapping[str, Any], output: Output, *, gpu_gib: float | None = None, known: bool = False
) -> int:
    """Examine, and print each report when it is there; 1 if something is wrong, else 0.

    `said` are arguments of `Search` as a file would hold them; without policy and PRM it is about
    the bundled pair. How the GPU would be divided comes first, and for a `gpu_gib` that is not the
    GPU of this machine it is all: nothing is loaded.

    # Errors
    `InputError` if `gpu_gib` is given and none of the engines would be on a GPU.
    """
    policy, prm = said.get("policy"), said.get("prm")
    if policy is None and prm is None:
        policy, prm = "demo", "demo"
    writer = Engine(policy, said.get("policy_options", {}))
    load = Load(
        said.get("strategy", {}).get("width", DEFAULT_WIDTH),
        planned_tokens(writer, said.get("max_tokens")),
    )
    engines = Engines(
        writer,
        Engine(prm, said.get("prm_options", {})),
        Engine(said.get("embedder"), said.get("embedder_options", {})),
    )
    healthy = True

    def show(report: Report) -> None:
        nonlocal healthy
        healthy = healthy and report.healthy
        report.facts = {name: redacted_text(fact) for name, fact in report.facts.items()}
        if output.as_json:
            output.json({**asdict(report), "healthy": report.healthy})
        else:
            print_report(report, output.console)

    async def try_them(waiting: Waiting) -> None:
        found = examinations(
            policy,
            prm,
            policy_options=engines.policy.options,
            prm_options=engines.prm.options,
            load=load,
            known=known,
        )
        async for report in found:
            waiting.pause()
            show(report)
            waiting.resume()

    here = _gpu_here()
    size = here if gpu_gib is None else round(gpu_gib * _GIB)
    if size is not None:
        reports = examine_memory(engines, size, load)
        if gpu_gib is not None and not reports:
            raise InputError(
                f"--gpu-memory divides a GPU among vllm:PATH and transformers:PATH, got the policy "
                f"{redacted(policy)!r} and the PRM {redacted(prm)!r}, which are on none"
            )
        for report in reports:
            show(report)
    if gpu_gib is None or (here is not None and abs(here - gpu_gib * _GIB) <= here * _SAME):
        with Waiting(output) as waiting:
            asyncio.run(try_them(waiting))
    return 0 if healthy else 1


def _gpu_here() -> int | None:
    """The memory of this machine's GPU; None where it has none."""
    try:
        import torch
    except ImportError:
        return None
    if not torch.cuda.is_available():
        return None
    return int(torch.cuda.get_device_properties(0).total_memory)


def print_report(report: Report, console: Console) -> None:
    """What was found of one engine."""
    console.rule(Text.assemble((report.part, "bold"), " ", report.name), align="left")
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
    console.print(f"\n{shown.title} ({shown.tokens} tokens):", soft_wrap=True)
    for piece in shown.pieces:
        mark = ""
        if piece.reward is not None:
            mark = f"  ◀ {piece.reward:.4f}, read at id {piece.ids[-1]}"
        text = Text.assemble("  ", repr(piece.text), (mark, "cyan"))
        console.print(text, soft_wrap=True)
        console.print(Text(f"  {' '.join(map(str, piece.ids))}", "dim"), soft_wrap=True)
    console.print()
