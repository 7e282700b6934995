"""A forest plot: differences in accuracy and KV ratios, a row for each comparison."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ets.bench.statistics import Interval
from ets.report.columns import signed
from ets.report.style import INK, MUTED, PAPER, RULE, Drawing, Mark, canvas, drawn

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_WIDTH = 9.2
_ROW, _MARGIN = 0.31, 1.05
"""Inches."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One row: a difference of shares, a ratio, each with its interval."""

    label: str
    mark: Mark
    difference: Interval
    ratio: Interval | None
    """None: there is nothing to divide."""
    filled: bool = True


def forest(
    bars: Sequence[Bar],
    name: str,
    title: str,
    caption: str,
    *,
    loss: float | None,
    labels: tuple[str, str],
) -> Drawing:
    """Differences in points on the left, ratios on the right; `loss`, a share, is dashed."""
    with canvas(_WIDTH, _MARGIN + _ROW * max(3, len(bars))) as (figure, left):
        left.remove()
        left, right = figure.subplots(1, 2, sharey=True, gridspec_kw={"width_ratios": (1, 1)})
        for place, bar in enumerate(bars):
            _row(left, place, bar, [100 * x for x in _ends(bar.difference)], signed)
            if bar.ratio is not None:
                _row(right, place, bar, _ends(bar.ratio), lambda x: f"{x:.2f}×")
        left.axvline(0, color=MUTED, linewidth=1, zorder=1)
        right.axvline(1, color=MUTED, linewidth=1, zorder=1)
        if loss is not None:
            left.axvline(-100 * loss, color=MUTED, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
        left.set_yticks(range(len(bars)), [bar.label for bar in bars])
        left.set_ylim(len(bars) - 0.4, -0.6)
        for axes, label in ((left, labels[0]), (right, labels[1])):
            axes.set_xlabel(label)
            axes.grid(visible=False, axis="y")
            axes.spines["left"].set_visible(False)
            axes.tick_params(axis="y", length=0)
            axes.margins(x=0.12)
        for place in range(1, len(bars), 2):
            for axes in (left, right):
                axes.axhspan(place - 0.5, place + 0.5, color=RULE, alpha=0.35, lw=0, zorder=0)
        return drawn(figure, name, title, caption)


def _ends(interval: Interval) -> list[float]:
    return [interval.low, interval.value, interval.high]


def _row(axes: Axes, place: int, bar: Bar, ends: list[float], form: Callable[[float], str]) -> None:
    low, value, high = ends
    colour = bar.mark.colour
    axes.plot([low, high], [place, place], color=colour, linewidth=1.6, zorder=2)
    axes.plot(
        value,
        place,
        bar.mark.marker,
        color=colour if bar.filled else PAPER,
        markeredgecolor=colour,
        markeredgewidth=1.3,
        zorder=3,
    )
    axes.annotate(
        form(value),
        (1.0, place),
        xycoords=("axes fraction", "data"),
        xytext=(2, 0),
        textcoords="offset points",
        ha="left",
        va="center",
        fontsize=8.5,
        color=INK if bar.filled else MUTED,
        annotation_clip=False,
    )
