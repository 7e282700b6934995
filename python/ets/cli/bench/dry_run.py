"""`ets bench --dry-run`: what a benchmark would do and cost."""

from __future__ import annotations

from dataclasses import asdict

from ets.bench.dry_run import ASSUMED_STEPS, ASSUMED_TOKENS, Cost, Plan, dry_run
from ets.bench.grid import Grid
from ets.cli.bench.run import print_table
from ets.cli.doctor import print_report
from ets.cli.output import Output
from ets.cli.shown_console import ShownText as Text
from ets.shown.redaction import redacted


def run_dry(grid: Grid, output: Output) -> int:
    """Print the plan; 0 if the benchmark could be started, else 1."""
    with output.progress.status("loading and trying the models"):
        plan = dry_run(grid)
    if output.as_json:
        output.json({**asdict(plan), "ready": plan.ready})
        return 0 if plan.ready else 1
    for report in plan.reports:
        print_report(report, output.console)
    _print_prompts(plan, output)
    _print_costs(grid, plan, output)
    return 0 if plan.ready else 1


def _print_prompts(plan: Plan, output: Output) -> None:
    console = output.console
    console.rule(Text("prompts", "bold"), align="left")
    if plan.prompts_error is not None and plan.prompts:
        console.print(
            f"As plain messages, without chat template: {plan.prompts_error}",
            style="yellow",
            markup=False,
            soft_wrap=True,
        )
    for shown in plan.prompts:
        size = "" if shown.tokens is None else f", {shown.tokens} tokens"
        console.print(Text(f"problem {shown.key}{size}", "dim"), soft_wrap=True)
        console.print(shown.text, markup=False, soft_wrap=True)
        console.print()


def _print_costs(grid: Grid, plan: Plan, output: Output) -> None:
    console = output.console
    console.rule(Text("cost", "bold"), align="left")
    if plan.dataset_error is not None:
        console.print(f"✗ {plan.dataset_error}", style="red", markup=False, soft_wrap=True)
    problems = (
        "One problem, as the data set is not there,"
        if plan.problems is None
        else _number(plan.problems, "problem")
    )
    console.print(
        f"{problems} x {_number(plan.cells, 'setting')} of strategies x "
        f"{_number(plan.seeds, 'seed')}; data set {redacted(grid.dataset)}",
        markup=False,
        soft_wrap=True,
    )
    head = ("width", "searches", "policy tokens", "PRM tokens", "KV tokens at once", "time")
    console.print()
    print_table([head, *map(_cells, plan.costs)], 0, output)
    console.print(f"\n{_basis(grid, plan)}", markup=False, soft_wrap=True)


def _basis(grid: Grid, plan: Plan) -> str:
    if plan.probed:
        return (
            f"Measured on {_number(plan.probed, 'search', 'searches')} by REBASE at width "
            f"{min(grid.widths)}, in proportion to the width. Other problems may take more or "
            "less; pruning takes less KV, more searches at once and larger widths less time, and "
            "what a bank has costs nothing."
        )
    return (
        f"Assumed, not measured: {ASSUMED_STEPS} steps of "
        f"{ASSUMED_TOKENS // ASSUMED_STEPS} tokens a solution, "
        "nothing shared between solutions, the PRM reading each step once. With the engines there "
        "it is measured."
    )


def _cells(cost: Cost) -> tuple[str, ...]:
    return (
        str(cost.width),
        f"{cost.searches:,}",
        f"{cost.policy_tokens:,.0f}",
        f"{cost.prm_tokens:,.0f}",
        f"{cost.kv_tokens:,.0f}",
        "not known" if cost.seconds is None else _duration(cost.seconds),
    )


def _number(count: int, what: str, several: str | None = None) -> str:
    return f"{count} {what if count == 1 else several or what + 's'}"


def _duration(seconds: float) -> str:
    """`2 h 05 min`, `3 min`, `20 s`."""
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"
