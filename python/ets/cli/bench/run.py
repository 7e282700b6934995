"""`ets bench`: strategies side by side over a data set."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ets.bench.equal_accuracy import at_equal_accuracy, describe
from ets.bench.grid import Grid
from ets.bench.runner import run
from ets.bench.statistics import Interval
from ets.bench.summary import Line, summarise
from ets.cli.output import Output
from ets.cli.summary import print_notes
from ets.cli.waiting import Waiting
from ets.engines.vllm.load import EngineLoad
from ets.shown.text import shown_text


def run_bench(grid: Grid, folder: Path, output: Output) -> None:
    """Search what is missing in the folder, then print a line for each strategy."""
    rows = run_grid(grid, folder, output)
    lines = summarise(grid, rows)
    if output.as_json:
        for line in lines:
            output.json({**asdict(line), "cell": line.cell.label})
        return
    print_lines(lines, output)
    for line in lines:
        if line.at_k and line.vote == "majority":
            output.console.print(f"\n{_samples(line)}", soft_wrap=True, markup=False)
    if claims := at_equal_accuracy(lines):
        said = "\n".join(map(describe, claims))
        output.console.print(f"\nLess KV at equal accuracy:\n{said}", soft_wrap=True, markup=False)
    problems = lines[0].problems if lines else 0
    calls = sum(row["usage"]["policy_calls"] + row["usage"]["prm_calls"] for row in rows)
    banked = sum(row["usage"]["policy_banked"] + row["usage"]["prm_banked"] for row in rows)
    totals = f"{folder}: {problems} problems, {len(rows)} searches."
    if banked:
        totals += f" {banked / calls:.0%} of samples and scorings came from the bank."
    output.console.print(f"\n{totals} {_NOTE}", soft_wrap=True, markup=False)
    for name, load in _engine_loads(rows).items():
        output.console.print(f"{name}: {load}", soft_wrap=True, markup=False)
    print_notes(output.console, [row.get("note") for row in rows])  # none in rows of older runs


def _engine_loads(rows: Sequence[dict[str, Any]]) -> dict[str, EngineLoad]:
    """Of each engine on vLLM, its limits and the busiest moment of the run."""
    found: dict[str, EngineLoad] = {}
    for row in rows:  # none in rows of older runs
        for name, load in row.get("engines", {}).items():
            peak = max(load["peak_running"], found[name].peak_running if name in found else 0)
            found[name] = EngineLoad(**{**load, "peak_running": peak})
    return found


def run_grid(grid: Grid, folder: Path, output: Output) -> list[dict[str, Any]]:
    """Search what is missing in the folder, with a bar; all of its rows."""
    progress = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[so_far]}", style="dim", markup=False),
        TimeRemainingColumn(),
        console=output.progress,
        transient=True,
        disable=not output.live,
    )
    with progress, Waiting(output, clock=False):
        return run(grid, folder, _Watch(progress, grid.search.get("vote", "weighted")))


def print_lines(lines: Sequence[Line], output: Output) -> None:
    """Aligned columns, as wide as they need to be: a figure that is cut off is worth nothing."""
    print_table([_HEAD, *map(_cells, lines)], _LEFT, output)


def print_table(rows: Sequence[tuple[str, ...]], words: int, output: Output) -> None:
    """Aligned columns, the first `words` of them to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (
            cell.ljust(width) if i < words else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        output.console.print("  ".join(cells), soft_wrap=True, markup=False)


class _Watch:
    """Follows the rows: how far it is, how many are right, tokens a second, KV."""

    def __init__(self, progress: Progress, vote: str) -> None:
        self._progress, self._vote = progress, vote
        self._task = progress.add_task("loading", total=None, so_far="")
        self._begin = time.monotonic()
        self._right = self._new = self._tokens = self._kv = 0

    def __call__(self, row: dict[str, Any] | None, done: int, total: int) -> None:
        if row is None:
            self._progress.update(self._task, total=total, completed=done)
            return
        self._new += 1
        self._right += row["right"][self._vote]
        self._tokens += row["usage"]["policy_tokens"]
        self._kv += row["kv"]["after"]["sum"]
        speed = self._tokens / (time.monotonic() - self._begin)
        self._progress.update(
            self._task,
            completed=done,
            description=shown_text(row["cell"]),
            so_far=f"{self._right / self._new:.0%} right  {speed:,.0f} tokens/s  "
            f"KV {self._kv / self._new:,.0f}",
        )


_NOTE = (
    "KV: tokens summed over the steps of a search, mean of the searches; reduction: REBASE's KV "
    "before selection divided by this one's, as the paper has it; intervals: 95%, Wilson's of "
    "accuracy, a paired bootstrap's of what is compared; p: McNemar's, first seed."
)
_HEAD = (
    *("strategy", "vote", "right", "95%", "to REBASE (95%)", "p", "KV before", "kept"),
    *("reduction (95%)", "policy tokens", "PRM tokens", "s"),
)
_LEFT = 2
"""Columns of words; the others are numbers, set to the right."""


def _cells(line: Line) -> tuple[str, ...]:
    return (
        line.cell.label,
        line.vote,
        f"{line.accuracy.value:.1%}",
        f"{line.accuracy.low:.1%} to {line.accuracy.high:.1%}",
        "" if line.against is None else _points(line.against),
        "" if line.p_value is None else f"{line.p_value:.2g}",
        f"{line.kv_before:,.0f}",
        f"{line.kv_after:,.0f}",
        _reduction(line),
        f"{line.policy_tokens:,.0f}",
        f"{line.prm_tokens:,.0f}",
        f"{line.seconds:.2f}",
    )


def _samples(line: Line) -> str:
    """pass@k, majority@k and weighted majority@k, a line each."""
    rows = [(f"{line.cell.label}, of k samples", *(str(at.k) for at in line.at_k))]
    rows += [
        (f"  {title}", *(f"{getattr(at, title):.1%}" for at in line.at_k))
        for title in ("passed", "majority", "weighted")
    ]
    first = max(len(row[0]) for row in rows)
    return "\n".join(
        row[0].ljust(first) + "".join(cell.rjust(8) for cell in row[1:]) for row in rows
    )


def _reduction(line: Line) -> str:
    ratio = line.kv_ratio
    if ratio is None or line.against is None:  # REBASE's own is 1 by definition
        return "" if ratio is None else f"{ratio.value:.2f}x"
    return f"{ratio.value:.2f}x ({ratio.low:.2f} to {ratio.high:.2f})"


def _points(difference: Interval) -> str:
    value, low, high = (100 * x for x in (difference.value, difference.low, difference.high))
    return f"{value:+.1f} ({low:+.1f} to {high:+.1f})"
