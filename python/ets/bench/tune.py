"""Choosing how strongly to prune: the paper's protocol on a development split."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ets.answer import VoteMethod
from ets.bench.equal_accuracy import LOSS, check_loss, least_kv
from ets.bench.grid import BASELINE, Grid
from ets.bench.statistics import bootstrap_means
from ets.bench.summary import Line, Row, right_of, summarise, whole_problems
from ets.errors import InputError
from ets.extras import needs
from ets.shown.redaction import without_secrets

LAMBDAS = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0)
"""Prices of KV that are tried unless others are given."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What was chosen at one width, and how sure that is."""

    width: int
    chosen: Line
    """REBASE itself where no pruning stayed within the loss."""
    baseline: Line
    confidence: float
    """The share of a bootstrap's draws (problems and seeds) in which the loss is no larger."""
    tried: tuple[Line, ...]


def choose(grid: Grid, rows: Sequence[Row], *, loss: float = LOSS) -> list[Choice]:
    """For each width the strongest pruning whose accuracy is within `loss` of REBASE's.

    Strongest: the least KV before selection, summed over the steps, against REBASE's, the paper's
    figure; of equals the smaller price. The point estimate decides, as in the paper;
    `Choice.confidence` says how far the data bear it.

    # Errors
    `InputError` for a loss outside of [0, 1], or a width without REBASE or without anything else.
    """
    check_loss(loss)
    lines = summarise(grid, rows)
    return [_choose(grid, rows, lines, width, loss) for width in grid.widths]


def _choose(
    grid: Grid, rows: Sequence[Row], lines: Sequence[Line], width: int, loss: float
) -> Choice:
    here = [line for line in lines if line.cell.width == width]
    baseline = next((line for line in here if line.cell.name == BASELINE), None)
    tried = [line for line in here if line.cell.name.startswith("ets")]
    if baseline is None or not tried:
        raise InputError(f"width {width} needs searches by {BASELINE} and by ets to choose from")
    strongest = least_kv(tried, loss) or baseline
    if strongest.kv_ratio is None or strongest.kv_ratio.value <= 1.0:
        strongest = baseline  # nothing is saved
    return Choice(
        width, strongest, baseline, _confidence(grid, rows, strongest, baseline, loss), tuple(tried)
    )


def _confidence(
    grid: Grid, rows: Sequence[Row], chosen: Line, baseline: Line, loss: float
) -> float:
    whole = whole_problems(grid, rows)
    mine, theirs = whole[chosen.cell.label], whole[baseline.cell.label]
    both = [key for key in mine if key in theirs]
    how: VoteMethod = chosen.vote
    means = bootstrap_means(right_of(grid, mine, both, how), right_of(grid, theirs, both, how))
    return float((means >= -loss - 1e-12).mean())


def as_toml(grid: Grid, choice: Choice) -> str:
    """The choice as a file that `ets.Search.from_toml` and `ets solve --config` read.

    Without the keys and passwords that the engines were given.

    # Errors
    `MissingExtraError` without `tomli-w`.
    """
    dumps = toml_writer()
    cell = choice.chosen.cell
    options = {key: value for key, value in cell.options if value is not None}  # TOML has no null
    arguments: Mapping[str, Any] = {
        **without_secrets(grid.search),
        "strategy": {"name": cell.name, **options},
    }
    return f"# Chosen by `ets tune`: {describe(choice)}\n{dumps(arguments)}"


def toml_writer() -> Callable[[Mapping[str, Any]], str]:
    """What writes a choice: asked for before the searches, it is not missed behind them.

    # Errors
    `MissingExtraError` without `tomli-w`.
    """
    with needs("tomli_w", "bench"):
        import tomli_w
    return tomli_w.dumps


def describe(choice: Choice) -> str:
    """The choice in one line."""
    line = choice.chosen
    if line is choice.baseline:
        return (
            f"width {choice.width}: rebase, {line.accuracy.value:.1%} right of {line.problems}; no "
            "pruning that saves KV stayed within the loss"
        )
    against = line.against
    low = "" if against is None else f", 95% from {100 * against.low:+.1f}"
    difference = 0.0 if against is None else 100 * against.value
    saved = 0.0 if line.kv_ratio is None else line.kv_ratio.value
    return (
        f"{line.cell.label}: {line.accuracy.value:.1%} right of {line.problems} problems, "
        f"{difference:+.1f} points to rebase{low}, KV {saved:.2f}x less, "
        f"within the loss in {choice.confidence:.0%} of a bootstrap's draws"
    )
