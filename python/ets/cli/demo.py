"""`ets demo`: six problems with the bundled pair, ETS beside REBASE."""

from __future__ import annotations

import shlex
import time
from contextlib import nullcontext
from dataclasses import dataclass, field

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table

from ets.cli.output import Output
from ets.cli.shown_console import ShownText as Text
from ets.cli.summary import is_right, less, mark
from ets.problems.problem import Problem
from ets.rollout.result import SearchResult
from ets.search.search import Search
from ets.strategy import ETS, REBASE

WIDE = 110
"""From this many columns on, the table has room for the problems themselves."""
NAMES = ("ETS", "REBASE")


@dataclass(slots=True)
class Line:
    """A problem and what each strategy made of it."""

    problem: Problem
    steps: int
    results: list[SearchResult] = field(default_factory=list)
    """In the order of `NAMES`; shorter while the search runs."""


def choose_problems() -> list[Line]:
    """The first test problem of each length: a fixed choice that nobody picked."""
    from ets import demo

    lines: dict[int, Line] = {}
    for row in demo.problems():
        steps = int(row["steps"])
        lines.setdefault(steps, Line(Problem(row["problem"], str(row["answer"])), steps))
    return [lines[steps] for steps in sorted(lines)][:6]


def run_demo(width: int, seed: int, output: Output) -> None:
    """Search and tabulate; an interrupt shows the lines that are done and is raised again."""
    lines = choose_problems()
    view = _View(lines, width, output.progress)
    try:
        live = Live(view, console=output.progress, refresh_per_second=8, transient=True)
        with (
            live if output.live else nullcontext(),
            Search(strategy=ETS(width=width), embedder="demo", seed=seed) as ets,
            Search(strategy=REBASE(width=width), seed=seed) as rebase,
        ):
            for line in lines:
                for search in (ets, rebase):
                    view.running = (line, NAMES[len(line.results)])
                    line.results.append(search.solve(line.problem.text))
    finally:
        view.running = None
        if lines[0].results:
            _report(lines, width, view.seconds, output.console)
    _what_next(lines, output.console)


class _View:
    """The table as far as it is filled, redrawn while the searches run."""

    def __init__(self, lines: list[Line], width: int, console: Console) -> None:
        self._lines = lines
        self._width = width
        self._console = console
        self._spinner = Spinner("dots")
        self._begin = time.perf_counter()
        self.running: tuple[Line, str] | None = None

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self._begin

    def __rich__(self) -> RenderableType:
        parts: list[RenderableType] = [
            heading(self._width),
            table(self._lines, self._console.width),
        ]
        if self.running is None:
            self._spinner.update(text=Text("loading the bundled pair", style="dim"))
        else:
            line, name = self.running
            text = " ".join(line.problem.text.split())
            self._spinner.update(text=Text.assemble((f"{name}  ", "bold cyan"), (text, "dim")))
        return Group(*parts, Text(), self._spinner)


def heading(width: int) -> Text:
    """What this is."""
    return Text.assemble(
        ("ets demo ", "bold cyan"),
        (f"a 1M-parameter policy and a small PRM, {width} solutions for each problem\n", "dim"),
    )


def table(lines: list[Line], columns: int) -> Table:
    """A line for each problem, a block of columns for each strategy."""
    grid = Table(box=None, padding=(0, 1), header_style="dim", pad_edge=False)
    grid.add_column("steps", justify="right")
    if columns >= WIDE:
        grid.add_column("problem", no_wrap=True, overflow="ellipsis", max_width=columns - 78)
    grid.add_column("answer", justify="right")
    for name in NAMES:
        style = "cyan" if name == "ETS" else ""
        grid.add_column(Text(name, style="bold cyan" if name == "ETS" else "bold"), justify="right")
        grid.add_column("KV", justify="right", style=style)
        grid.add_column("tokens", justify="right", style=style)
        grid.add_column("time", justify="right", style=style)
    for line in lines:
        cells: list[RenderableType] = [str(line.steps)]
        if columns >= WIDE:
            cells.append(Text(" ".join(line.problem.text.split()), style="dim"))
        cells.append(Text(line.problem.expected or "", style="bold"))
        for result in line.results:
            cells += [
                Text.assemble(
                    result.answer or "-", " ", mark(is_right(line.problem, result.answer))
                ),
                f"{result.kv.after.sum:,}",
                f"{result.usage.policy_tokens:,}",
                f"{result.usage.seconds:.1f} s",
            ]
        grid.add_row(*cells)
    return grid


def _report(lines: list[Line], width: int, seconds: float, console: Console) -> None:
    """The table with its totals, and what they say."""
    done = [line for line in lines if len(line.results) == len(NAMES)]
    grid = table(lines, console.width)
    sums = [
        (
            sum(bool(is_right(line.problem, line.results[i].answer)) for line in done),
            sum(line.results[i].kv.after.sum for line in done),
            sum(line.results[i].usage.policy_tokens for line in done),
            sum(line.results[i].usage.seconds for line in done),
        )
        for i in range(len(NAMES))
    ]
    cells: list[RenderableType] = ["", ""] if console.width >= WIDE else [""]
    cells.append(Text("right", style="dim"))
    for right, kv, tokens, took in sums:
        cells += [f"{right} of {len(done)}", f"{kv:,}", f"{tokens:,}", f"{took:.1f} s"]
    grid.add_section()
    grid.add_row(*cells, style="bold")
    console.print(heading(width))
    console.print(grid)
    console.print()
    if done:
        (_, ets_kv, ets_tokens, _), (_, rebase_kv, rebase_tokens, _) = sums
        console.print(
            Text.assemble(
                "Beside REBASE, ETS kept ",
                (f"{less(ets_kv, rebase_kv)} KV cache", "bold green"),
                f" and sampled {less(ets_tokens, rebase_tokens)} text. ",
                (f"{len(done)} problems in {seconds:.0f} s.", "dim"),
            )
        )
    console.print(
        Text(
            "KV: tokens kept in the cache, summed over steps. The problems are the first test "
            "problem of each length; six are an example, not a measurement.",
            style="dim",
        )
    )


def _what_next(lines: list[Line], console: Console) -> None:
    problem = " ".join(lines[0].problem.text.split())
    console.print()
    console.print(Text("Next, watch one search:", style="bold"))
    console.print(Text(f"  ets solve {shlex.quote(problem)}"), soft_wrap=True)
    console.print(Text("or search with models of your own (ets solve --help):", style="bold"))
    console.print(
        Text(
            "  ets solve --policy vllm:Qwen/Qwen2.5-Math-1.5B-Instruct "
            '--prm vllm:Qwen/Qwen2.5-Math-PRM-7B "What is ...?"'
        ),
        soft_wrap=True,
    )
