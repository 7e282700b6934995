"""Fewer of a search's independent samples: what narrower searches would have come to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import fsum
from statistics import fmean
from typing import Any

from ets.answer import VoteMethod
from ets.bench.grid import INDEPENDENT, Cell
from ets.bench.searching import Row

_NEEDED = ("samples", "tokens")


@dataclass(frozen=True, slots=True)
class Narrower:
    """What `width` of a row's samples come to: means over the disjoint groups of that many.

    Samples are the same whatever the width, so the first group is the very search of that width
    (samples 0 to `width` - 1), the second one another of the same kind, and so on.
    """

    right: float
    """The share of the groups whose vote is right."""
    policy_tokens: float
    kv: float
    """KV tokens before selection, summed over the steps; the prompt counts in every step."""


def narrower_widths(cell: Cell, rows: Sequence[Row], widths: Sequence[int]) -> list[int]:
    """Of `widths` and the powers of 2, those that the cell's searches also tell of, ascending.

    None for what is no plain independent sampling: a setting beside the width (a rule that stops
    early, say) makes how many samples there are depend on what they were. None either where a
    search did not complete its width, or where an older version wrote the rows.
    """
    if cell.name != INDEPENDENT or len(cell.options) > 1 or not rows:
        return []
    for row in rows:
        if any(name not in row for name in _NEEDED) or len(row["classes"]) != cell.width:
            return []
    powers = (1 << at for at in range(cell.width.bit_length()))
    return sorted({width for width in (*powers, *widths) if width < cell.width})


def narrower(row: Row, width: int, how: VoteMethod) -> Narrower:
    """The mean of the groups of `width` samples, the last one left out where it is smaller."""
    groups = list(_groups(row["samples"], width))
    return Narrower(
        right=fmean(winner_is_right(row, group, how) for group in groups),
        policy_tokens=fmean(sum(row["tokens"][i] for i in group) for group in groups),
        kv=fmean(_kv(row["samples"], group) for group in groups),
    )


def winner_is_right(row: Row, group: Sequence[int], how: VoteMethod) -> bool:
    """Whether those of a row's trajectories that are in `group` vote for a right answer.

    Ties go to the answer that came first, as in `ets.answer.vote`.
    """
    pools: dict[int, list[float]] = {}
    first: dict[int, int] = {}
    for i in group:
        pool = row["classes"][i]
        if pool >= 0:
            pools.setdefault(pool, []).append(row["scores"][i])
            first.setdefault(pool, i)
    if not pools:
        return False
    winner = max(pools, key=lambda pool: (_weight(pools[pool], how), -first[pool]))
    return bool(row["hits"][first[winner]])


def _weight(scores: Sequence[float], how: VoteMethod) -> float:
    if how == "weighted":
        return fsum(scores)
    return float(len(scores)) if how == "majority" else max(scores)


def _groups(samples: Mapping[str, Any], width: int) -> Iterator[list[int]]:
    """Places in the row, ascending, of samples 0 to `width` - 1, of the next ones, and so on."""
    by_number = sorted(range(len(samples["number"])), key=lambda i: samples["number"][i])
    for begin in range(0, len(by_number) - width + 1, width):
        yield sorted(by_number[begin : begin + width])


def _kv(samples: Mapping[str, Any], group: Sequence[int]) -> int:
    alone: int = sum(samples["kv"][i] for i in group)
    selections: int = max(samples["steps"][i] for i in group)  # the first one is of the prompt
    return alone + int(samples["prompt_tokens"]) * selections
