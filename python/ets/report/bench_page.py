"""The page of one benchmark: claim, figures, tables, every problem."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ets.bench.contents import finished_rows, grid_of
from ets.bench.equal_accuracy import LOSS, EqualAccuracy, at_equal_accuracy
from ets.bench.run_folder import Key, RunFolder
from ets.bench.summary import Line, summarise
from ets.errors import InputError
from ets.report import facts
from ets.report.columns import (
    accuracy_groups,
    points,
    points_interval,
    times,
    times_interval,
    work_groups,
)
from ets.report.figures import (
    accuracy_by_kv,
    accuracy_by_tokens,
    accuracy_by_width,
    by_the_runs_vote,
    kv_at_equal_accuracy,
)
from ets.report.labels import mark_of, short_label
from ets.report.pages import render, write_page
from ets.report.problem_data import problem_data
from ets.report.style import INK, Drawing
from ets.report.what_to_run import what_to_run

_BEAR = MappingProxyType(
    {
        (True, True): "both",
        (True, False): "the saving only",
        (False, True): "equal accuracy only",
        (False, False): "neither",
    }
)
"""What intervals bear: the saving, equal accuracy."""


@dataclass(frozen=True, slots=True)
class BenchPage:
    """A page and its figures, not yet on the disk."""

    html: str
    drawings: Sequence[Drawing]
    claims: Sequence[EqualAccuracy]

    def write(self, folder: Path) -> Path:
        """`report.html` and a PNG file for each figure; the page itself needs none of them."""
        return write_page(folder, self.html, self.drawings)


def bench_page(
    run: RunFolder,
    *,
    loss: float = LOSS,
    trees: Mapping[Key, str] | None = None,
    trees_note: str = "",
) -> BenchPage:
    """The page of a run, finished or not; `trees` are links to pages of searches.

    # Errors
    `InputError` for a folder without a finished search or of another version, or a loss outside of
    [0, 1]; `MissingExtraError` without the extra `bench`.
    """
    grid = grid_of(run)
    rows = finished_rows(run, grid)
    lines = summarise(grid, rows)
    if not lines:
        raise InputError(f"{run.path} has no problem that was searched with every seed")
    claims = at_equal_accuracy(lines, loss=loss)
    figures = [accuracy_by_width(lines), accuracy_by_kv(lines)]
    if not facts.is_replay(run):  # which does not know what the PRM would have read
        figures.append(accuracy_by_tokens(lines))
    claim_figure = kv_at_equal_accuracy(claims, lines)
    html = render(
        "bench.html",
        title=f"Benchmark: {facts.heading(grid)}",
        heading=facts.heading(grid),
        engines=facts.engines(grid),
        size=facts.size(run, grid),
        missing=facts.missing(run, grid, len(rows)),
        replayed=facts.replayed(run, rows),
        loss=f"{100 * loss:g}",
        to_run=what_to_run(run),
        claims=[_claim(claim) for claim in claims],
        claim_figure=claim_figure,
        figures=figures,
        lines=lines,
        cells=by_the_runs_vote(lines),
        vote=grid.search.get("vote", "weighted"),
        colour=lambda cell: css_colour(mark_of(cell).colour),
        short=short_label,
        accuracy_groups=accuracy_groups(),
        work_groups=work_groups(),
        samples=_samples(lines),
        samples_k=_ks(lines),
        data=problem_data(grid, rows, run.problems(), trees or {}),
        trees_note=trees_note,
        configuration=facts.configuration(run),
    )
    drawings = [*figures, claim_figure] if claims else figures
    return BenchPage(html, drawings, claims)


def css_colour(colour: str) -> str:
    """A figure's colour in the page around it."""
    return "var(--ink)" if colour == INK else colour


def _claim(claim: EqualAccuracy) -> dict[str, Any]:
    line = claim.line
    against, ratio = (None, None) if line is None else (line.against, line.kv_ratio)
    one = claim.settings == 1
    return {
        "strategy": claim.strategy,
        "width": claim.width,
        "colour": "var(--muted)" if line is None else css_colour(mark_of(line.cell).colour),
        "setting": None if line is None else _settings(line),
        "none": "its setting is not within it" if one else f"none of {claim.settings} is within it",
        "ratio": times(ratio),
        "ratio_value": "" if ratio is None else ratio.value,
        "ratio_interval": times_interval(ratio),
        "difference": points(against),
        "difference_value": "" if against is None else against.value,
        "difference_interval": points_interval(against),
        "verdict": "" if line is None else _BEAR[claim.reduction_is_borne, claim.accuracy_is_borne],
    }


def _settings(line: Line) -> str:
    """A cell's options but its width."""
    return short_label(line.cell).partition(", ")[2] or "default"


def _ks(lines: Sequence[Line]) -> list[int]:
    return sorted({at.k for line in lines for at in line.at_k})


def _samples(lines: Sequence[Line]) -> list[dict[str, Any]]:
    """pass@k, majority@k and weighted majority@k of each cell of independent samples."""
    cells = {line.cell: line for line in lines if line.at_k}
    ks = _ks(lines)
    found = []
    for cell, line in cells.items():
        by_k = {at.k: at for at in line.at_k}
        for name, title in (
            ("passed", "pass@k"),
            ("majority", "majority@k"),
            ("weighted", "weighted majority@k"),
        ):
            shares = [f"{getattr(by_k[k], name):.1%}" if k in by_k else "" for k in ks]
            found.append({"label": short_label(cell), "vote": title, "shares": shares})
    return found
