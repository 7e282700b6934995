"""The page of two benchmarks side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ets.bench.compare import Comparison, Flip, Pair, compare
from ets.bench.run_folder import RunFolder
from ets.bench.statistics import Interval
from ets.report.bench_page import css_colour
from ets.report.columns import ABSENT, points, points_interval, times, times_interval
from ets.report.forest import Bar, forest
from ets.report.labels import mark_of, short_label
from ets.report.pages import render, write_page
from ets.report.style import Drawing


@dataclass(frozen=True, slots=True)
class ComparePage:
    """A page and its figure, not yet on the disk."""

    html: str
    drawings: Sequence[Drawing]
    comparison: Comparison

    def write(self, folder: Path) -> Path:
        """`report.html` and the figure as a PNG file, which the page itself does not need."""
        return write_page(folder, self.html, self.drawings)


def compare_page(first: RunFolder, second: RunFolder) -> ComparePage:
    """The second run against the first: cell by cell, configurations, what flipped.

    # Errors
    `InputError` where they have no search in common; `MissingExtraError` without the extra `bench`.
    """
    comparison = compare(first, second)
    names = run_names(first, second)
    drawing = _drawing(comparison.pairs, names)
    searches = sum(pair.problems * pair.seeds for pair in comparison.pairs)
    html = render(
        "compare.html",
        title=f"{names[1]} against {names[0]}",
        first=names[0],
        second=names[1],
        size=f"{len(comparison.pairs)} cells and {searches:,} searches in common",
        notes=_notes(comparison, names),
        pairs=[_pair(pair) for pair in comparison.pairs],
        drawing=drawing,
        differences=comparison.differences,
        flips=_flips(comparison.pairs, first, second, names),
    )
    return ComparePage(html, [drawing], comparison)


def run_names(first: RunFolder, second: RunFolder) -> tuple[str, str]:
    """Their folders' names, with those above them where these are equal."""
    paths = first.path.resolve(), second.path.resolve()
    if paths[0].name != paths[1].name:
        return paths[0].name, paths[1].name
    if paths[0] == paths[1]:
        return f"{paths[0].name} (first)", f"{paths[1].name} (second)"
    most = max(len(path.parts) for path in paths)
    tails = [path.parts for path in paths]
    depth = next(n for n in range(1, most + 1) if tails[0][-n:] != tails[1][-n:])
    return "/".join(tails[0][-depth:]), "/".join(tails[1][-depth:])


def _notes(comparison: Comparison, names: tuple[str, str]) -> list[str]:
    notes = []
    if comparison.unlike:
        notes.append(
            f"{comparison.unlike} problems of one key are not the same problem in both runs; they "
            "are left out."
        )
    for name, cells in zip(names, (comparison.only_first, comparison.only_second), strict=True):
        if cells:
            notes.append(f"Only in {name}: {', '.join(cells)}.")
    return notes


def _drawing(pairs: Sequence[Pair], names: tuple[str, str]) -> Drawing:
    bars = [
        Bar(short_label(pair.cell), mark_of(pair.cell), pair.difference, pair.kv_ratio)
        for pair in pairs
    ]
    return forest(
        bars,
        "comparison",
        f"{names[1]} against {names[0]}",
        "Each cell on the problems and seeds of both runs. Bars: 95% intervals, a bootstrap's over "
        "paired problems.",
        loss=None,
        labels=("difference in accuracy, points", "KV before selection, first : second"),
    )


def _pair(pair: Pair) -> dict[str, Any]:
    gained = sum(flip.gained for flip in pair.flips)
    return {
        "label": short_label(pair.cell),
        "colour": css_colour(mark_of(pair.cell).colour),
        "problems": pair.problems,
        "first": f"{pair.first.value:.1%}",
        "first_value": pair.first.value,
        "first_interval": _percent_interval(pair.first),
        "second": f"{pair.second.value:.1%}",
        "second_value": pair.second.value,
        "second_interval": _percent_interval(pair.second),
        "difference": points(pair.difference),
        "difference_value": pair.difference.value,
        "difference_interval": points_interval(pair.difference),
        "p": f"{pair.p_value:.2g}",
        "p_value": pair.p_value,
        "gained": gained,
        "lost": len(pair.flips) - gained,
        "flips": len(pair.flips),
        "ratio": times(pair.kv_ratio),
        "ratio_value": "" if pair.kv_ratio is None else pair.kv_ratio.value,
        "ratio_interval": times_interval(pair.kv_ratio),
        "first_tokens": pair.first_tokens,
        "second_tokens": pair.second_tokens,
        "first_seconds": pair.first_seconds,
        "second_seconds": pair.second_seconds,
    }


def _flips(
    pairs: Sequence[Pair], first: RunFolder, second: RunFolder, names: tuple[str, str]
) -> list[dict[str, Any]]:
    texts = {p.key: p.text for run in (second, first) for p in run.problems()}
    expected = {row["id"]: row["expected"] for row in first.rows()}
    return [
        _flip(flip, texts.get(flip.problem, ""), expected[flip.problem], names)
        for pair in pairs
        for flip in pair.flips
    ]


def _flip(flip: Flip, text: str, expected: str | None, names: tuple[str, str]) -> dict[str, Any]:
    return {
        "problem": flip.problem,
        "text": text,
        "cell": short_label(flip.cell),
        "seed": flip.seed,
        "right_in": names[1] if flip.gained else names[0],
        "expected": expected,
        "first": ABSENT if flip.first is None else flip.first,
        "second": ABSENT if flip.second is None else flip.second,
    }


def _percent_interval(interval: Interval) -> str:
    return f"{100 * interval.low:.1f} to {100 * interval.high:.1f}"
