"""The frontier across widths on fresh problems: accuracy against KV cache and sampled tokens.

    python benches/frontier.py FOLDER [--table] [--picture FILE] [OPTION of ets bench ...]

Goes on with the runs of `benches/fresh.py`, seed 0, at every width; then a table and a picture over
the problems that all settings have searched which are through with theirs. `--table` only reads
what is there. Wide searches have fewer problems: at width 256 one takes seconds.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from ets.bench.statistics import Interval, wilson
from ets.report.labels import plain_numbers
from ets.report.style import MARKS, OTHER, PAPER, canvas, drawn
from fresh import CELLS, Row, is_right, kv, make_runs, rows_of

PROBLEMS = {64: 300, 32: 300, 16: 300, 8: 300, 128: 100, 256: 100}
"""By width."""
SEED = 0


@dataclass(frozen=True, slots=True)
class Point:
    """A setting at one width, means over its searches."""

    name: str
    width: int
    right: Interval
    """The share of problems, with Wilson's interval."""
    kv: float
    """KV tokens before selection, summed over the steps."""
    tokens: float
    """Sampled by the policy."""


def main() -> None:
    """Make the runs that are missing, print the table and draw the picture."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--picture", type=Path)
    given, more = parser.parse_known_args()
    if not given.table:
        for width, problems in PROBLEMS.items():
            make_runs(given.folder, width, str(SEED), problems, more)
    points, problems = read(given.folder)
    print(f"{problems} problems, seed {SEED}\n")
    print("| strategy | width | right (95%) | KV before | sampled tokens |\n" + "| --- " * 5 + "|")
    for p in points:
        print(
            f"| {p.name} | {p.width} | {p.right.value:.1%} ({p.right.low:.1%} to "
            f"{p.right.high:.1%}) | {p.kv:,.0f} | {p.tokens:,.0f} |"
        )
    if given.picture:
        draw(points, problems, given.picture)


def read(folder: Path) -> tuple[list[Point], int]:
    """The settings that are through with their problems, over those that all of them have, and
    how many those are."""
    found: dict[tuple[str, int], dict[str, Row]] = {}
    for name in CELLS:
        for width in sorted(PROBLEMS):
            rows = rows_of(folder, width, name)
            mine = {problem: row for (seed, problem), row in rows.items() if seed == SEED}
            if len(mine) >= PROBLEMS[width]:
                found[name, width] = mine
    common = set.intersection(*map(set, found.values())) if found else set()
    points = []
    for (name, width), by_problem in found.items():
        chosen = [by_problem[problem] for problem in sorted(common)]
        points.append(
            Point(
                name,
                width,
                wilson(sum(map(is_right, chosen)), len(chosen)),
                fmean(map(kv, chosen)),
                fmean(row["usage"]["policy_tokens"] for row in chosen),
            )
        )
    return points, len(common)


def draw(points: Sequence[Point], problems: int, file: Path) -> None:
    """Write the picture as PNG; where a strategy has two settings, the second is dashed."""
    series: dict[str, list[Point]] = {}
    for point in points:
        series.setdefault(point.name, []).append(point)
    costs: dict[str, Callable[[Point], float]] = {
        "KV tokens before selection, summed over the steps": lambda p: p.kv,
        "tokens sampled by the policy": lambda p: p.tokens,
    }
    with canvas(10.4, 4.8) as (figure, only):
        only.remove()
        both = figure.subplots(1, 2, sharey=True)
        for axes, (what, cost) in zip(both, costs.items(), strict=True):
            axes.set_xscale("log")
            for name, members in series.items():
                mark = MARKS.get(name, MARKS.get(name.rpartition("-")[0], OTHER))
                axes.plot(
                    [cost(p) for p in members],
                    [100 * p.right.value for p in members],
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
        both[0].set_ylabel(f"right of {problems} problems, %")
        handles, labels = both[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=5, fontsize=8.5)
        drawing = drawn(figure, file.stem, "The frontier across widths", "")
    drawing.write(file.parent)


if __name__ == "__main__":
    main()
