"""The frontier across widths on fresh problems: accuracy against KV cache and sampled tokens.

    python benches/frontier.py FOLDER [--table] [--picture FILE] [OPTION of ets bench ...]

Goes on with the runs of `benches/fresh.py`, seed 0, at every width; then a table and a picture over
the problems that all settings have searched which are through with theirs, and each published
setting beside what mass-preserving search has on the same problems: at the same KV, read off
between its two widths next to that, and at the same width. Wide searches have fewer problems, at
width 128 one takes seconds: they stand in a table of their own, beside width 64 on the same.
`--table` only reads what is there.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import log
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ets.bench.statistics import Interval, paired_bootstrap, wilson
from ets.report.labels import plain_numbers
from ets.report.style import MARKS, OTHER, PAPER, canvas, drawn
from fresh import CELLS, is_right, kv, make_runs, rows_of
from kept_searches import Row

PROBLEMS = {64: 300, 32: 300, 16: 300, 8: 300, 128: 100, 256: 100}
"""By width."""
SEED = 0
OURS = ("mpts", "mpts-text")
ACROSS = (
    ("rebase", 16, "rebase", 64),
    ("mpts", 16, "rebase", 64),
    ("mpts", 32, "rebase", 16),
    ("mpts", 64, "mpts", 16),
)
"""Settings of unlike widths, and what they are held against."""
WIDEST = 64
"""Beyond it widths have a table of their own."""
Found = dict[tuple[str, int], dict[str, Row]]
"""Rows by problem, by strategy and width."""


@dataclass(frozen=True, slots=True)
class Point:
    """A setting at one width, over its searches."""

    name: str
    width: int
    right: NDArray[np.float64]
    """float64[problems]: whether the weighted vote is."""
    kv: float
    """KV tokens before selection, summed over the steps: the mean."""
    tokens: float
    """Sampled by the policy: the mean."""

    @property
    def share(self) -> Interval:
        """The share of problems that are right, with Wilson's interval."""
        return wilson(float(self.right.sum()), len(self.right))


COSTS: dict[str, Callable[[Point], float]] = {
    "KV tokens before selection, summed over the steps": lambda p: p.kv,
    "tokens sampled by the policy": lambda p: p.tokens,
}


def main() -> None:
    """Make the runs that are missing, print the tables and draw the picture."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--picture", type=Path)
    given, more = parser.parse_known_args()
    if not given.table:
        for width, problems in PROBLEMS.items():
            make_runs(given.folder, width, str(SEED), problems, more)
    found = read(given.folder)
    points = over_common({key: rows for key, rows in found.items() if key[1] <= WIDEST})
    print_grid(points)
    print_beside(points)
    print_across(points)
    for width in sorted(width for width in PROBLEMS if width > WIDEST):
        wide = {key: rows for key, rows in found.items() if key[1] == width}
        narrower = [(name, WIDEST) for name, _ in wide if (name, WIDEST) in found]
        if wide:
            print_points(over_common({key: found[key] for key in narrower} | wide))
    wanted = [(name, width) for name in CELLS for width in sorted(PROBLEMS)]
    if missing := [f"{name} {width}" for name, width in wanted if (name, width) not in found]:
        print(f"\nnot searched to the end: {', '.join(missing)}")
    if given.picture:
        draw(points, given.picture)


def read(folder: Path) -> Found:
    """The settings that are through with their problems."""
    found: Found = {}
    for name in CELLS:
        for width in sorted(PROBLEMS):
            rows = rows_of(folder, width, name)
            mine = {problem: row for (seed, problem), row in rows.items() if seed == SEED}
            if len(mine) >= PROBLEMS[width]:
                found[name, width] = mine
    return found


def over_common(found: Found) -> list[Point]:
    """The settings over the problems that all of them have."""
    common = sorted(set.intersection(*map(set, found.values()))) if found else []
    points = []
    for (name, width), by_problem in found.items():
        rows = [by_problem[problem] for problem in common]
        tokens = [row["usage"]["policy_tokens"] for row in rows]
        right = np.array([is_right(row) for row in rows])
        mean_kv = float(np.mean([kv(row) for row in rows]))
        points.append(Point(name, width, right, mean_kv, float(np.mean(tokens))))
    return points


def print_grid(points: Sequence[Point]) -> None:
    """As Markdown: what each strategy has and holds, a width a column."""
    widths = sorted({p.width for p in points})
    print(f"\n{len(points[0].right) if points else 0} problems\n")
    print("| strategy | " + " | ".join(f"{width}: right, KV" for width in widths) + " |")
    print("| --- " * (1 + len(widths)) + "|")
    at = {(p.name, p.width): f"{p.share.value:.1%}, {p.kv:,.0f}" for p in points}
    for name in dict.fromkeys(p.name for p in points):
        print(f"| {name} | " + " | ".join(at.get((name, width), "") for width in widths) + " |")
    tokens = [[p.tokens for p in points if p.width == width] for width in widths]
    spans = [dict.fromkeys(f"{n:,.0f}" for n in (min(some), max(some))) for some in tokens]
    print("| sampled tokens | " + " | ".join(" to ".join(span) for span in spans) + " |")


def print_points(points: Iterable[Point]) -> None:
    """As Markdown: what each setting has and costs."""
    print("\n| strategy | width | problems | right (95%) | KV before | sampled tokens |")
    print("| --- " * 6 + "|")
    for p in points:
        print(
            f"| {p.name} | {p.width} | {len(p.right)} | {p.share.value:.1%} ({p.share.low:.1%} to "
            f"{p.share.high:.1%}) | {p.kv:,.0f} | {p.tokens:,.0f} |"
        )


def print_beside(points: Sequence[Point]) -> None:
    """As Markdown: points that each published setting has more than ours at equal cost."""
    heads = [f"points to {name} at equal {what} (95%)" for what in ("KV", "width") for name in OURS]
    print("\n| published | width | " + " | ".join(heads) + " |\n" + "| --- " * 6 + "|")
    for p in points:
        if p.name in OURS:
            continue
        beside = [at_kv([q for q in points if q.name == name], p.kv) for name in OURS]
        for name in OURS:
            same = [q.right for q in points if (q.name, q.width) == (name, p.width)]
            beside.append(same[0] if same else None)
        cells = ["" if ours is None else more_points(p.right, ours) for ours in beside]
        print(f"| {p.name} | {p.width} | " + " | ".join(cells) + " |")


def print_across(points: Sequence[Point]) -> None:
    """As Markdown: settings beside others of another width."""
    at = {(p.name, p.width): p for p in points}
    print("\n| strategy | width | beside | its width | points to it (95%) | KV before |")
    print("| --- " * 6 + "|")
    for name, width, other, its_width in ACROSS:
        if (name, width) in at and (other, its_width) in at:
            mine, theirs = at[name, width], at[other, its_width]
            print(
                f"| {name} | {width} | {other} | {its_width} "
                f"| {more_points(mine.right, theirs.right)} | {theirs.kv / mine.kv:.2f}x |"
            )


def more_points(mine: NDArray[np.float64], theirs: NDArray[np.float64]) -> str:
    """The paired difference of two settings in points, with its interval."""
    more = paired_bootstrap(mine[:, None], theirs[:, None])
    return f"{100 * more.value:+.1f} ({100 * more.low:+.1f} to {100 * more.high:+.1f})"


def at_kv(points: Sequence[Point], kv_tokens: float) -> NDArray[np.float64] | None:
    """What a strategy has at so much KV, float64[problems]: between the two widths next to it,
    linear in the KV's logarithm; its widest where that has less, None where every width has more.
    """
    ordered = sorted(points, key=lambda p: p.kv)
    for low, high in pairwise(ordered):
        if low.kv <= kv_tokens <= high.kv:
            share = log(kv_tokens / low.kv) / log(high.kv / low.kv)
            return (1 - share) * low.right + share * high.right
    return ordered[-1].right if ordered and ordered[-1].kv < kv_tokens else None


def draw(points: Sequence[Point], file: Path) -> None:
    """Write the picture as PNG; where a strategy has two settings, the second is dashed."""
    series: dict[str, list[Point]] = {}
    for point in points:
        series.setdefault(point.name, []).append(point)
    with canvas(10.4, 4.8) as (figure, only):
        only.remove()
        both = figure.subplots(1, 2, sharey=True)
        for axes, (what, cost) in zip(both, COSTS.items(), strict=True):
            axes.set_xscale("log")
            for name, members in series.items():
                mark = MARKS.get(name, MARKS.get(name.rpartition("-")[0], OTHER))
                axes.plot(
                    [cost(p) for p in members],
                    [100 * p.share.value for p in members],
                    color=mark.colour,
                    marker=mark.marker,
                    markeredgecolor=PAPER,
                    markersize=9 if mark.marker == "*" else 7,
                    linestyle="--" if name in ("mpts-text", "dvts-8") else "-",
                    linewidth=1.3,
                    label=name,
                )
            plain_numbers(axes)
            axes.set_xlabel(what)
        both[0].set_ylabel(f"right of {len(points[0].right)} problems, %")
        handles, labels = both[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=9, fontsize=8.5)
        drawing = drawn(figure, file.stem, "The frontier across widths", "")
    drawing.write(file.parent)


if __name__ == "__main__":
    main()
