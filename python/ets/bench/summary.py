"""From the rows of a run to one line per strategy and way to vote."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ets.answer import VoteMethod
from ets.bench.grid import BASELINE, INDEPENDENT, Cell, Grid
from ets.bench.statistics import (
    Interval,
    mcnemar,
    paired_bootstrap,
    paired_ratio,
    pass_at_k,
    vote_at_k,
    wilson,
)

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class AtK:
    """What k of the independent samples would have come to, mean over problems and seeds."""

    k: int
    passed: float
    """pass@k: one of them is right."""
    majority: float
    weighted: float


@dataclass(frozen=True, slots=True)
class Line:
    """A strategy at one width, means over problems and seeds."""

    cell: Cell
    vote: VoteMethod
    problems: int
    """Those that were searched with every seed."""
    accuracy: Interval
    """Wilson's interval over the problems, the seeds averaged."""
    against: Interval | None
    """Accuracy less that of REBASE at this width on the same problems and seeds; None without."""
    p_value: float | None
    """McNemar's, of the first seed."""
    kv_before: float
    """KV tokens before selection, summed over the steps: the paper's figure."""
    kv_before_mean: float
    """KV tokens before a selection, mean over the steps."""
    kv_before_peak: float
    """The most before a selection, mean over searches."""
    kv_after: float
    """KV tokens after selection, summed over the steps."""
    kv_mean: float
    """KV tokens after a selection, mean over the steps."""
    kv_peak: float
    """The most after a selection, mean over searches."""
    kv_ratio: Interval | None
    """`kv_before` of REBASE divided by this one's, on the problems that both have: the paper's
    reduction. None without REBASE."""
    policy_tokens: float
    """Sampled."""
    prm_tokens: float
    """Read by the PRM and not taken from its cache."""
    policy_calls: float
    """Samples."""
    prm_calls: float
    """Scorings."""
    seconds: float
    """Wall time of a search among the others in flight."""
    policy_share: float | None
    """Of that, the time in which a sample was in flight; None where a row does not say it."""
    prm_share: float | None
    """The time in which a scoring was in flight; both may be at once."""
    select_share: float
    """The pruner's."""
    cluster_share: float
    """That of the clustering."""
    solvable: float
    """The share of searches of which a completed trajectory is right."""
    banked: float
    """The share of samples and scorings that came from the bank."""
    at_k: tuple[AtK, ...]
    """For independent samples, k = 1, 2, 4, ... to the width; empty for a search, whose completed
    trajectories are not independent."""


def summarise(grid: Grid, rows: Sequence[Row]) -> list[Line]:
    """The lines of a run, in the order of the grid; cells without a finished problem are left out.

    A problem counts for a cell once all seeds are there; comparisons are over problems that both
    cells have. The search's own vote decides; independent samples are also shown by the other two,
    unless there is no PRM, without which there is only the majority.
    """
    whole = whole_problems(grid, rows)
    lines = []
    for cell in grid.cells():
        found = whole.get(cell.label)
        if not found:
            continue
        baseline = next(
            (whole.get(c.label) for c in grid.cells() if _is_baseline(c, cell.width)), None
        )
        lines += [
            _line(grid, cell, how, found, baseline or {}) for how in votes_of_cell(grid, cell)
        ]
    return lines


def whole_problems(grid: Grid, rows: Sequence[Row]) -> dict[str, dict[Any, dict[int, Row]]]:
    """[cell][problem][seed]: the rows of those problems of a cell that have every seed."""
    by_cell: dict[str, dict[Any, dict[int, Row]]] = {}
    for row in rows:
        by_cell.setdefault(row["cell"], {}).setdefault(row["id"], {})[row["seed"]] = row
    return {
        label: {key: found for key, found in problems.items() if len(found) == len(grid.seeds)}
        for label, problems in by_cell.items()
    }


def _is_baseline(cell: Cell, width: int) -> bool:
    return cell.name == BASELINE and cell.width == width


def votes_of_cell(grid: Grid, cell: Cell) -> list[VoteMethod]:
    """The ways in which a cell's trajectories vote, the run's own first."""
    own: VoteMethod = grid.search.get("vote", "weighted")
    if grid.search.get("prm") == "none":  # all weights are 1, and no sample is the best
        return ["majority" if own == "weighted" and cell.name == INDEPENDENT else own]
    others: tuple[VoteMethod, ...] = ("majority", "weighted", "best")
    return [own, *(how for how in others if how != own)] if cell.name == INDEPENDENT else [own]


def _line(
    grid: Grid,
    cell: Cell,
    how: VoteMethod,
    found: dict[Any, dict[int, Row]],
    baseline: dict[Any, dict[int, Row]],
) -> Line:
    rows = [row for seeds in found.values() for row in seeds.values()]
    right = right_of(grid, found, list(found), how)
    both = [key for key in found if key in baseline]
    against = p_value = ratio = None
    if both and cell.name != BASELINE:
        mine = right_of(grid, found, both, how)
        theirs = right_of(grid, baseline, both, votes_of_cell(grid, cell)[0])
        against = paired_bootstrap(mine, theirs)
        p_value = mcnemar(mine[:, 0], theirs[:, 0])
    if both:
        mine_kv = kv_of(grid, found, both)
        ratio = paired_ratio(kv_of(grid, baseline, both), mine_kv) if mine_kv.all() else None
    calls = fmean(row["usage"]["policy_calls"] + row["usage"]["prm_calls"] for row in rows)
    banked = fmean(row["usage"]["policy_banked"] + row["usage"]["prm_banked"] for row in rows)
    return Line(
        cell=cell,
        vote=how,
        problems=len(found),
        accuracy=wilson(float(right.mean(axis=1).sum()), len(found)),
        against=against,
        p_value=p_value,
        kv_before=fmean(row["kv"]["before"]["sum"] for row in rows),
        kv_before_mean=fmean(row["kv"]["before"]["mean"] for row in rows),
        kv_before_peak=fmean(row["kv"]["before"]["peak"] for row in rows),
        kv_after=fmean(row["kv"]["after"]["sum"] for row in rows),
        kv_mean=fmean(row["kv"]["after"]["mean"] for row in rows),
        kv_peak=fmean(row["kv"]["after"]["peak"] for row in rows),
        kv_ratio=ratio,
        policy_tokens=fmean(row["usage"]["policy_tokens"] for row in rows),
        prm_tokens=fmean(
            row["usage"]["prm_tokens"] - row["usage"]["prm_cached_tokens"] for row in rows
        ),
        policy_calls=fmean(row["usage"]["policy_calls"] for row in rows),
        prm_calls=fmean(row["usage"]["prm_calls"] for row in rows),
        seconds=fmean(row["seconds"] for row in rows),
        policy_share=_engine_share(rows, "policy_seconds"),
        prm_share=_engine_share(rows, "prm_seconds"),
        select_share=_share(rows, "select_seconds"),
        cluster_share=_share(rows, "cluster_seconds"),
        solvable=fmean(any(row["hits"]) for row in rows),
        banked=banked / calls if calls else 0.0,
        at_k=_at_k(rows) if cell.name == INDEPENDENT else (),
    )


def _engine_share(rows: Sequence[Row], name: str) -> float | None:
    """Rows of a replay, or written before it was measured, have no such figure."""
    return _share(rows, name) if all(name in row for row in rows) else None


def _share(rows: Sequence[Row], name: str) -> float:
    """Of the wall time of all searches; 0 of no time at all."""
    seconds = sum(row["seconds"] for row in rows)
    return float(sum(row[name] for row in rows) / seconds) if seconds else 0.0


def _at_k(rows: Sequence[Row]) -> tuple[AtK, ...]:
    most = min(len(row["hits"]) for row in rows)
    return tuple(
        AtK(
            k,
            fmean(pass_at_k(len(row["hits"]), sum(row["hits"]), k) for row in rows),
            fmean(vote_at_k(row["classes"], row["hits"], k) for row in rows),
            fmean(vote_at_k(row["classes"], row["hits"], k, weights=row["scores"]) for row in rows),
        )
        for k in (1 << i for i in range(most.bit_length()))
    )


def right_of(
    grid: Grid, found: dict[Any, dict[int, Row]], keys: list[Any], how: VoteMethod
) -> NDArray[np.float64]:
    """[problems, seeds]: 1 where the winner of the vote is right."""
    return np.array(
        [[found[key][seed]["right"][how] for seed in grid.seeds] for key in keys], float
    )


def kv_of(grid: Grid, found: dict[Any, dict[int, Row]], keys: list[Any]) -> NDArray[np.float64]:
    """[problems, seeds]: KV tokens before selection, summed over the steps."""
    return np.array(
        [[found[key][seed]["kv"]["before"]["sum"] for seed in grid.seeds] for key in keys], float
    )
