"""What tables read of searches made before, in `kept_searches.csv`: hours of work, a small file.

A line is a search on a problem of the split `fresh`; `fresh.py --keep` writes it. So the tables of
`docs/results.md` can be printed again, and a strategy held against the same searches, without
making them anew.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_suffix(".csv")
COLUMNS = (
    "width",
    "strategy",
    "seed",
    "problem",
    "right",
    "vote",
    "kv_before",
    "kv_peak",
    "kv_kept",
    "policy_tokens",
)
Row = dict[str, Any]
"""A search as `ets bench` writes it, or the part of it that is kept."""
Key = tuple[int, str]
"""Seed and problem."""
Rows = dict[Key, Row]
Line = tuple[str, ...]


def kept(width: int, strategy: str) -> Rows:
    """The kept searches of one strategy at one width."""
    rows = [row_of(line) for line in read() if line[:2] == (str(width), strategy)]
    return {(row["seed"], row["id"]): row for row in rows}


def write(found: Mapping[tuple[int, str], Rows]) -> None:
    """Keep searches by width and strategy, in place of kept ones of the same problem and seed."""
    lines: dict[Line, Line] = {line[:4]: line for line in read()}
    for (width, strategy), rows in found.items():
        for row in rows.values():
            line = line_of(width, strategy, row)
            lines[line[:4]] = line
    ordered = sorted(lines.values(), key=lambda line: (int(line[0]), line[1:4]))
    with FILE.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(ordered)


def read() -> list[Line]:
    """The lines below the head."""
    if not FILE.exists():
        return []
    with FILE.open(newline="") as file:
        head, *lines = (tuple(cells) for cells in csv.reader(file))
    if head != COLUMNS:
        raise ValueError(f"{FILE.name} has the columns {head}, not {COLUMNS}")
    return lines


def line_of(width: int, strategy: str, row: Row) -> Line:
    """What is kept of a search."""
    before, after = row["kv"]["before"], row["kv"]["after"]
    right = int(row["right"]["weighted"])
    counts = (before["sum"], before["peak"], after["sum"], row["usage"]["policy_tokens"])
    key = (str(width), strategy, str(row["seed"]), row["id"])
    return (*key, str(right), f"{row['vote']:.4f}", *map(str, counts))


def row_of(line: Line) -> Row:
    """The search, in the form in which `ets bench` writes it."""
    _, _, seed, problem, right, vote, before, peak, after, tokens = line
    return {
        "seed": int(seed),
        "id": problem,
        "right": {"weighted": right == "1"},
        "vote": float(vote),
        "kv": {"before": {"sum": int(before), "peak": int(peak)}, "after": {"sum": int(after)}},
        "usage": {"policy_tokens": int(tokens)},
    }
