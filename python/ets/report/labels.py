"""Names in figures: of lines, of points, of strategies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ets.bench.grid import BASELINE, Cell
from ets.bench.summary import Line
from ets.report.style import INK, MARKS, OTHER, PAPER, Mark

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def mark_of(cell: Cell) -> Mark:
    """The colour and marker of a cell's strategy."""
    return MARKS.get(cell.name, OTHER)


def short_label(cell: Cell) -> str:
    """`ets 16, λb 2`: the cell in little room."""
    names = {"lambda_b": "λb", "lambda_d": "λd", "cluster_threshold": "threshold"}
    options = [f"{names.get(k, k)} {_short(v)}" for k, v in cell.options if k != "width"]
    return ", ".join([f"{cell.name} {cell.width}", *options])


def _short(value: object) -> str:
    return f"{value:g}" if isinstance(value, int | float) else str(value)


def name_at_the_margin(axes: Axes, ends: Sequence[tuple[float, str, str]]) -> None:
    """Names beside the last points, moved apart where they would overlap."""
    low, high = axes.get_ylim()
    least = 0.055 * (high - low)
    places = spread([end[0] for end in ends], least)
    for (_, name, colour), y in zip(ends, places, strict=True):
        axes.annotate(
            name,
            (1.0, y),
            xycoords=("axes fraction", "data"),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            color=colour,
            fontsize=8.5,
            annotation_clip=False,
        )


def spread(values: Sequence[float], least: float) -> list[float]:
    """The values moved so that any two lie `least` apart, their order and centre kept."""
    order = sorted(range(len(values)), key=lambda at: values[at])
    groups: list[tuple[list[int], float]] = []  # members, centre
    for at in order:
        members, centre = [at], values[at]
        while groups:
            before, middle = groups[-1]
            if centre - middle >= least * (len(before) + len(members)) / 2:
                break
            groups.pop()
            n, m = len(before), len(members)
            members, centre = before + members, (n * middle + m * centre) / (n + m)
        groups.append((members, centre))
    placed = [0.0] * len(values)
    for members, centre in groups:
        for number, at in enumerate(members):
            placed[at] = centre + least * (number - (len(members) - 1) / 2)
    return placed


def name_the_front(axes: Axes, points: Sequence[tuple[float, Line]]) -> None:
    """The settings of the front, (cost, line), above and to the left of their points, where by its
    definition no other points are; those that would cover a name are left out."""
    from matplotlib.patheffects import withStroke

    halo = [withStroke(linewidth=3, foreground=PAPER)]
    taken: list[tuple[float, float]] = []
    for x, line in points:
        y = 100 * line.accuracy.value
        px, py = axes.transAxes.inverted().transform(axes.transData.transform((x, y)))
        if any(abs(px - qx) < 0.2 and abs(py - qy) < 0.05 for qx, qy in taken):
            continue
        taken.append((px, py))
        axes.annotate(
            short_label(line.cell),
            (x, y),
            xytext=(-5, 5),
            textcoords="offset points",
            ha="right",
            va="bottom",
            fontsize=8,
            color=INK,
            path_effects=halo,
            zorder=4,
        )


def legend(figure: Figure, lines: Sequence[Line]) -> None:
    """Colours and markers of the strategies, below the axes."""
    from matplotlib.lines import Line2D

    names = dict.fromkeys(line.cell.name for line in lines)
    ordered = sorted(names, key=lambda name: name != BASELINE)
    handles = [
        Line2D(
            [],
            [],
            color=MARKS.get(name, OTHER).colour,
            marker=MARKS.get(name, OTHER).marker,
            markeredgecolor=PAPER,
            label=name,
        )
        for name in ordered
    ]
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=min(5, len(handles)),
        columnspacing=1.4,
        handletextpad=0.5,
        fontsize=8.5,
    )


def plain_numbers(axes: Axes) -> None:
    """1,000 and not 10³, at ticks that people read off."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    low, high = axes.get_xlim()
    subs = (1.0, 2.0, 5.0) if high > 12 * low else (1.0, 1.5, 2.0, 3.0, 5.0, 7.0)
    axes.xaxis.set_major_locator(LogLocator(base=10, subs=subs))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.xaxis.set_minor_locator(NullLocator())
