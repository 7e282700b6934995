"""The view of one search while it runs: a line for each step, what was kept and what was pruned."""

from __future__ import annotations

import time

from rich.console import Group, RenderableType
from rich.spinner import Spinner
from rich.table import Table

from ets.cli.shown_console import ShownText as Text
from ets.cli.watch import Row, Watch

FUNNEL = 16
"""The most signs that a step's nodes are drawn with."""
LEGEND = (("● ", "green"), ("continued  ", "dim"), ("✓ ", "cyan"), ("finished  ", "dim"),
          ("· ", "red"), ("pruned", "dim"))  # fmt: skip


class LiveView:
    """What `rich.live.Live` draws again and again; the search fills `watch` meanwhile."""

    def __init__(self, title: str, problem: str, watch: Watch, height: int) -> None:
        self._title = title
        self._problem = problem
        self._watch = watch
        self._height = height
        self._spinner = Spinner("dots")
        self._begin = time.perf_counter()
        self.running = True

    def __rich__(self) -> RenderableType:
        head = Text.assemble(("ets ", "bold cyan"), (self._title, "dim"))
        problem = Text(" ".join(self._problem.split()), style="bold")
        rows = list(self._watch.rows)
        if self.running:
            rows = rows[-max(3, self._height - 12) :]
        parts: list[RenderableType] = [head, problem, Text()]
        if rows:
            parts += [steps_table(rows), Text.assemble("  ", *LEGEND)]
        if self.running:
            self._spinner.update(text=self._status())
            parts.append(self._spinner)
        return Group(*parts)

    def _status(self) -> Text:
        watch = self._watch
        step = watch.rows[-1].step + 1 if watch.rows else 1
        done = sum(row.done for row in list(watch.rows))
        seconds = time.perf_counter() - self._begin
        return Text.assemble(
            (f"step {step}: ", "bold"),
            f"{watch.wanted} continuations" if watch.wanted else "loading the models",
            (f"  {done} of {watch.width} solutions complete  {seconds:.1f} s", "dim"),
        )


def steps_table(rows: list[Row]) -> Table:
    """A line for each step."""
    table = Table(box=None, padding=(0, 1), header_style="dim", expand=True)
    table.add_column("step", justify="right")
    table.add_column("leaves", width=FUNNEL, no_wrap=True)
    table.add_column("kept", justify="right")
    table.add_column("pruned", justify="right")
    masses = any(row.mass is not None for row in rows)
    if masses:
        table.add_column("mass", justify="right")
        table.add_column("handed on", justify="right")
    table.add_column("KV kept", justify="right")
    table.add_column("REBASE", justify="right", style="dim")
    table.add_column("best", justify="right")
    table.add_column("its step", ratio=1, no_wrap=True, overflow="ellipsis", style="italic")
    for row in rows:
        table.add_row(
            str(row.step),
            funnel(row),
            str(row.kept or ""),
            str(row.pruned or ""),
            *([_part(row.mass), _part(row.handed_on)] if masses else []),
            "" if row.kv is None else f"{row.kv:,}",
            "" if row.rebase is None else f"{row.rebase:,}",
            Text(f"{row.reward:.2f}", style=reward_style(row.reward)),
            Text(" ".join(row.best.split())),
        )
    return table


def _part(share: float | None) -> str:
    return "" if share is None else f"{share:.0%}"


def funnel(row: Row) -> Text:
    """A step's nodes as signs: continued, finished, pruned; scaled down where they are many."""
    counts = (row.kept, row.done, row.pruned)
    total = sum(counts)
    if total > FUNNEL:  # each kind that is there keeps at least one sign
        counts = tuple(max(1, n * FUNNEL // total) if n else 0 for n in counts)  # type: ignore[assignment]
    return Text.assemble(
        ("●" * counts[0], "green"), ("✓" * counts[1], "cyan"), ("·" * counts[2], "red")
    )


def reward_style(reward: float) -> str:
    """Red, yellow or green."""
    return "green" if reward >= 0.7 else "yellow" if reward >= 0.3 else "red"
