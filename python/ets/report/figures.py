"""The figures of a benchmark: accuracy against width, KV and tokens; KV at equal accuracy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ets.bench.equal_accuracy import EqualAccuracy
from ets.bench.summary import Line
from ets.report.forest import Bar, forest
from ets.report.labels import (
    legend,
    mark_of,
    name_at_the_margin,
    name_the_front,
    plain_numbers,
    short_label,
)
from ets.report.style import MUTED, PAPER, Drawing, Mark, canvas, drawn

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SIZE = (5.9, 4.1)
_MOST_NAMED = 10
"""Series that are named at the right margin; more would not fit."""

LineStyle = str | tuple[int, tuple[float, ...]]
_DASHES: tuple[LineStyle, ...] = ("-", (0, (4, 1.6)), (0, (1.4, 1.4)), (0, (6, 1.5, 1.4, 1.5)))


def by_the_runs_vote(lines: Sequence[Line]) -> list[Line]:
    """One line a cell: independent samples are drawn by the run's own vote, the first of theirs."""
    return list({line.cell: line for line in reversed(lines)}.values())[::-1]


def accuracy_by_width(lines: Sequence[Line]) -> Drawing:
    """Accuracy of every setting against its width, with Wilson's intervals."""
    lines = by_the_runs_vote(lines)
    widths = sorted({line.cell.width for line in lines})
    if len(widths) == 1:
        return _accuracy_of_one_width(lines, widths[0])
    series = _series(lines)
    with canvas(*_SIZE) as (figure, axes):
        axes.set_xscale("log", base=2)
        axes.set_xticks(widths, [str(width) for width in widths])
        ends, styles = [], _styles(series)
        for number, (name, members) in enumerate(series.items()):
            mark = mark_of(members[0].cell)
            members = sorted(members, key=lambda line: line.cell.width)
            # Side by side, so that intervals do not hide one another.
            shift = 2 ** (0.03 * (number - (len(series) - 1) / 2))
            xs = [line.cell.width * shift for line in members]
            _points(axes, xs, members, mark, styles[name])
            ends.append((100 * members[-1].accuracy.value, name, mark.colour))
        _percent(axes, lines)
        axes.grid(visible=False, axis="x")
        axes.set_xlabel("width (completed trajectories)")
        if len(ends) <= _MOST_NAMED:
            name_at_the_margin(axes, ends)
        else:
            legend(figure, lines)
        return drawn(
            figure,
            "accuracy-by-width",
            "Accuracy against width",
            "Share of problems that are answered right. Bars: 95% intervals (Wilson) over the "
            "problems; points of one width stand beside each other only to be told apart."
            + _told(styles),
        )


def accuracy_by_kv(lines: Sequence[Line]) -> Drawing:
    """Accuracy against KV tokens, the Pareto front marked."""
    return _pareto(
        by_the_runs_vote(lines),
        lambda line: line.kv_before,
        "KV tokens before selection, summed over the steps",
        "accuracy-by-kv",
        "Accuracy against KV cache",
    )


def accuracy_by_tokens(lines: Sequence[Line]) -> Drawing:
    """Accuracy against the tokens of both models, the Pareto front marked."""
    return _pareto(
        by_the_runs_vote(lines),
        lambda line: line.policy_tokens + line.prm_tokens,
        "tokens: sampled by the policy + read by the PRM",
        "accuracy-by-tokens",
        "Accuracy against tokens",
    )


def kv_at_equal_accuracy(claims: Sequence[EqualAccuracy], lines: Sequence[Line]) -> Drawing:
    """KV reduction against REBASE beside the difference in accuracy that it costs."""
    bars = []
    for claim in claims:
        line = claim.line or _nearest(claim, lines)
        if line is None or line.against is None or line.kv_ratio is None:
            continue
        bars.append(
            Bar(
                label=short_label(line.cell),
                mark=mark_of(line.cell),
                difference=line.against,
                ratio=line.kv_ratio,
                filled=claim.line is not None,
            )
        )
    loss = claims[0].loss if claims else 0.0
    return forest(
        bars,
        "kv-at-equal-accuracy",
        "Less KV at equal accuracy, against REBASE of the same width",
        "For each strategy and width the setting with the least KV whose accuracy is within "
        f"{100 * loss:g} points of REBASE's (dashed); hollow where none is: then the most "
        "accurate one. Bars: 95% intervals, a bootstrap's over paired problems.",
        loss=loss,
        labels=("accuracy less REBASE's, points", "KV reduction, times"),
    )


def front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Which of the points (cost, worth) no other one beats, by ascending cost.

    One beats another that costs no less and is worth no more, unless both are equal in both.
    """
    order = sorted(range(len(points)), key=lambda at: (points[at][0], -points[at][1]))
    found: list[int] = []
    for at in order:
        if not found or points[at][1] > points[found[-1]][1] or points[at] == points[found[-1]]:
            found.append(at)
    return found


def _nearest(claim: EqualAccuracy, lines: Sequence[Line]) -> Line | None:
    of_it = [
        line
        for line in by_the_runs_vote(lines)
        if (line.cell.name, line.cell.width) == (claim.strategy, claim.width)
    ]
    return max(of_it, key=lambda line: line.accuracy.value, default=None)


def _series(lines: Sequence[Line]) -> dict[str, list[Line]]:
    """Lines that are joined: one setting over the widths, or, of one width, over the settings."""
    one_width = len({line.cell.width for line in lines}) == 1
    found: dict[str, list[Line]] = {}
    for line in lines:
        name = line.cell.name
        if not one_width:
            name = short_label(line.cell).replace(f" {line.cell.width}", "", 1)
        found.setdefault(name, []).append(line)
    return found


def _styles(series: dict[str, list[Line]]) -> dict[str, LineStyle]:
    """Dashes that tell the settings of one strategy apart, which have its colour."""
    seen: Counter[str] = Counter()
    found = {}
    for name, members in series.items():
        strategy = members[0].cell.name
        found[name] = _DASHES[seen[strategy] % len(_DASHES)]
        seen[strategy] += 1
    return found


def _told(styles: dict[str, LineStyle]) -> str:
    """What dashes mean, where there are any."""
    if all(style == _DASHES[0] for style in styles.values()):
        return ""
    return " Dashed and dotted: further settings of a strategy, in the order of the tables."


def _pareto(
    lines: Sequence[Line],
    cost: Callable[[Line], float],
    what: str,
    name: str,
    title: str,
) -> Drawing:
    best = front([(cost(line), line.accuracy.value) for line in lines])
    with canvas(*_SIZE) as (figure, axes):
        logarithmic = all(cost(line) > 0 for line in lines)
        if logarithmic:
            axes.set_xscale("log")
        axes.plot(
            [cost(lines[at]) for at in best],
            [100 * lines[at].accuracy.value for at in best],
            color=MUTED,
            alpha=0.25,
            linewidth=9,
            solid_capstyle="round",
            solid_joinstyle="round",
            zorder=1,
        )
        series = _series(lines)
        styles = _styles(series)
        for series_name, members in series.items():
            members = sorted(members, key=cost)
            xs, mark = [cost(line) for line in members], mark_of(members[0].cell)
            _points(axes, xs, members, mark, styles[series_name])
        _percent(axes, lines)
        if logarithmic:
            low, high = axes.get_xlim()
            axes.set_xlim(
                low * (low / high) ** 0.25, high
            )  # room for a name beside the first point
            plain_numbers(axes)
        axes.set_xlabel(what)
        name_the_front(axes, [(cost(lines[at]), lines[at]) for at in best])
        legend(figure, lines)
        return drawn(
            figure,
            name,
            title,
            "Up and to the left is better. Grey band: the Pareto front of the point estimates, "
            "its settings named. Bars: 95% intervals (Wilson) over the problems." + _told(styles),
        )


def _points(
    axes: Axes, xs: Sequence[float], lines: Sequence[Line], mark: Mark, style: LineStyle
) -> None:
    ys = [100 * line.accuracy.value for line in lines]
    below = [y - 100 * line.accuracy.low for y, line in zip(ys, lines, strict=True)]
    above = [100 * line.accuracy.high - y for y, line in zip(ys, lines, strict=True)]
    axes.errorbar(xs, ys, [below, above], fmt="none", ecolor=mark.colour, elinewidth=1, alpha=0.35)
    axes.plot(
        xs,
        ys,
        color=mark.colour,
        marker=mark.marker,
        markeredgecolor=PAPER,
        markeredgewidth=0.8,
        markersize=7 if mark.marker in "PX" else 6.5,
        linestyle=style,
        linewidth=1.3,
        zorder=3,
    )


def _percent(axes: Axes, lines: Sequence[Line]) -> None:
    axes.set_ylabel("problems right, %")
    low = min(line.accuracy.low for line in lines)
    high = max(line.accuracy.high for line in lines)
    room = 0.04 * max(0.05, high - low)
    axes.set_ylim(100 * max(0.0, low - room), 100 * min(1.02, high + room))


def _accuracy_of_one_width(lines: Sequence[Line], width: int) -> Drawing:
    """A dot for each setting: against a single width there is no line to draw."""
    with canvas(_SIZE[0], max(2.4, 0.8 + 0.3 * len(lines))) as (figure, axes):
        for place, line in enumerate(lines):
            mark, accuracy = mark_of(line.cell), line.accuracy
            axes.plot(
                [100 * accuracy.low, 100 * accuracy.high], [place, place], color=mark.colour, lw=1.6
            )
            axes.plot(100 * accuracy.value, place, mark.marker, color=mark.colour)
        axes.set_yticks(range(len(lines)), [short_label(line.cell) for line in lines])
        axes.invert_yaxis()
        axes.grid(visible=False, axis="y")
        axes.set_xlabel("problems right, %")
        return drawn(
            figure,
            "accuracy-by-width",
            f"Accuracy at width {width}",
            "Share of problems that are answered right. Bars: 95% intervals (Wilson) over the "
            "problems.",
        )
