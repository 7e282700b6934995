"""What a search came to, for people to read."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from ets.answer import Vote, same_answer
from ets.cli.shown_console import ShownText as Text
from ets.problems.problem import Problem
from ets.rollout.result import SearchResult
from ets.tree.kv_record import KVRecord

MOST_VOTES = 8
"""Answers listed; the rest is counted in one line."""
BAR = 24


def is_right(problem: Problem, answer: str | None) -> bool | None:
    """Whether the answer is the expected one; None where none is known."""
    if problem.expected is None:
        return None
    return answer is not None and same_answer(answer, problem.expected)


def mark(right: bool | None) -> Text:
    """A tick, a cross, or nothing."""
    if right is None:
        return Text(" ")
    return Text("✓", style="bold green") if right else Text("✗", style="bold red")


def print_result(console: Console, result: SearchResult) -> None:
    """Answer, votes, KV, tokens, time."""
    console.print()
    if result.answer is None:
        console.print(Text.assemble(("No answer  ", "bold red"), str(result.note)), soft_wrap=True)
    else:
        console.print(
            Text.assemble(
                "Answer  ",
                (result.answer, "bold green"),
                (
                    f"    {result.score:.0%} of the votes; {_solutions(result)}\n",
                    "dim",
                ),
            )
        )
        print_votes(console, result.votes)
        if result.note is not None:
            console.print(Text.assemble(("\n! ", "yellow"), result.note), soft_wrap=True)
    console.print()
    lines = Table.grid(padding=(0, 2))
    lines.add_column(style="dim")
    lines.add_column()
    usage = result.usage
    lines.add_row("KV", kv_line(result.kv))
    lines.add_row(
        "tokens",
        f"{usage.policy_tokens:,} sampled in {usage.policy_calls:,} steps, "
        f"{usage.prm_tokens:,} read by the PRM",
    )
    lines.add_row("time", f"{usage.seconds:.1f} s")
    if result.certainty is not None:
        how = "certain" if result.certainty.certain else "uncertain"
        lines.add_row(how, Text(str(result.certainty)))
    if (result.end or "").endswith("_budget"):
        lines.add_row("ended", f"by the {str(result.end).replace('_', ' ')}")
    if result.lost is not None:
        lines.add_row("ended", "early: an engine was lost")
    console.print(lines)


def _solutions(result: SearchResult) -> str:
    without = sum(solution.answer is None for solution in result.trajectories)
    total = f"{len(result.trajectories)} solutions"
    return f"{total}, {without} without an answer" if without else total


def kv_line(kv: KVRecord) -> str:
    """KV tokens against what REBASE would have kept."""
    kept, rebase = kv.after.sum, kv.rebase.sum
    line = f"{kept:,} tokens kept over {len(kv)} steps"
    if rebase:
        line += f"; REBASE would have kept {rebase:,} ({percent(kept, rebase)})"
    return line


def percent(value: float, of: float) -> str:
    """The change from `of` to `value`: `-39%`."""
    if not of:
        return "n/a"
    change = round(100 * (value / of - 1))
    return f"{change:+d}%" if change else "0%"


def less(value: float, of: float) -> str:
    """The same in words: `39% less`, `12% more`, `as much`."""
    change = round(100 * (value / of - 1)) if of else 0
    return f"{abs(change)}% {'less' if change < 0 else 'more'}" if change else "about as much"


def print_votes(console: Console, votes: Sequence[Vote]) -> None:
    """A line and a bar for each answer."""
    table = Table(box=None, padding=(0, 2), header_style="dim", pad_edge=False)
    table.add_column("answer", overflow="ellipsis", max_width=32, no_wrap=True)
    table.add_column("solutions", justify="right")
    table.add_column("weight", justify="right")
    table.add_column("", no_wrap=True)
    top = max((vote.weight for vote in votes), default=0.0)
    for i, vote in enumerate(votes[:MOST_VOTES]):
        bar = "█" * round(BAR * vote.weight / top) if top > 0 else ""
        style = "green" if i == 0 else "dim"
        table.add_row(
            Text(vote.answer, style="bold" if i == 0 else ""),
            str(vote.count),
            f"{vote.weight:.2f}",
            Text(bar or "▏", style=style),
        )
    console.print(table)
    if len(votes) > MOST_VOTES:
        console.print(f"and {len(votes) - MOST_VOTES} more answers", style="dim")


def result_line(number: int, problem: Problem, result: SearchResult, width: int) -> Text:
    """One problem of many in one line."""
    right = is_right(problem, result.answer)
    line = Text.assemble(
        mark(right),
        (f" {number:>4}  ", "dim"),
        (f"{_cut(result.answer or 'no answer', 16):<16}", "bold" if right is not False else "red"),
        (f"{result.score:>5.0%}  ", "dim"),
        f"KV {result.kv.after.sum:>7,} ",
        (f"{percent(result.kv.after.sum, result.kv.rebase.sum):>5}  ", "dim"),
        f"{result.usage.seconds:>5.1f} s  ",
    )
    room = max(0, width - line.cell_len)
    line.append(_cut(" ".join(problem.text.split()), room), style="dim")
    return line


def print_totals(
    console: Console,
    problems: Sequence[Problem],
    results: Sequence[SearchResult],
    seconds: float,
) -> None:
    """Many problems in sum."""
    console.print()
    lines = Table.grid(padding=(0, 2))
    lines.add_column(style="dim")
    lines.add_column()
    judged = [
        is_right(problem, result.answer)
        for problem, result in zip(problems, results, strict=False)
        if problem.expected is not None
    ]
    of = "" if len(results) == len(problems) else f" of {len(problems)}"
    lines.add_row("solved", f"{len(results)}{of} problems")
    if judged:
        right = sum(bool(r) for r in judged)
        lines.add_row("right", f"{right} of {len(judged)} ({right / len(judged):.0%})")
    kept = sum(result.kv.after.sum for result in results)
    rebase = sum(result.kv.rebase.sum for result in results)
    if rebase:
        lines.add_row(
            "KV", f"{kept:,} tokens; REBASE would have kept {rebase:,} ({percent(kept, rebase)})"
        )
    sampled = sum(result.usage.policy_tokens for result in results)
    read = sum(result.usage.prm_tokens for result in results)
    lines.add_row("tokens", f"{sampled:,} sampled, {read:,} read by the PRM")
    lines.add_row("time", f"{seconds:.1f} s")
    console.print(lines)
    print_notes(console, [result.note for result in results])


def print_notes(console: Console, notes: Sequence[str | None]) -> None:
    """What there is to say of many searches, each thing once, with how often it was said."""
    found = [(re.sub(r"\d+", "n", note), note) for note in notes if note is not None]
    kinds, examples = Counter(kind for kind, _ in found), dict(found)
    for kind, count in kinds.most_common():
        said = f"in {count} of {len(notes)} searches, as in this one: {examples[kind]}"
        console.print(Text.assemble(("! ", "yellow"), said), soft_wrap=True)


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: max(0, width - 1)] + "…"[: max(0, width)]
