"""What a run was, in names and values."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ets.bench.grid import Grid
from ets.bench.run_folder import RunFolder
from ets.bench.summary import Row
from ets.shown.redaction import redacted

Facts = list[tuple[str, str]]


def heading(grid: Grid) -> str:
    """The data set, and its split where one was chosen."""
    dataset = redacted(grid.dataset)
    return f"{dataset}, {grid.split}" if grid.split else dataset


def engines(grid: Grid) -> str:
    """Policy and PRM."""
    policy = grid.search.get("policy", "demo")
    prm = grid.search.get("prm", "demo")
    return f"policy {redacted(policy)}, PRM {redacted(prm)}"


def size(run: RunFolder, grid: Grid) -> str:
    """Problems, seeds and cells in one line."""
    return ", ".join(
        _count(number, noun)
        for number, noun in (
            (int(run.config["dataset"]["problems"]), "problem"),
            (len(grid.seeds), "seed"),
            (len(grid.cells()), "cell"),
        )
    )


def missing(run: RunFolder, grid: Grid, rows: int) -> str:
    """What an unfinished run lacks; empty where it is finished."""
    total = int(run.config["dataset"]["problems"]) * len(grid.seeds) * len(grid.cells())
    return "" if rows >= total else f"{rows:,} of {total:,} searches are there."


def replayed(run: RunFolder, rows: Sequence[Row]) -> str:
    """What to know of a replay; empty for a run of its own."""
    if not is_replay(run):
        return ""
    asked = sum(row["replay"]["asked"] for row in rows)
    recorded = sum(row["replay"]["recorded"] for row in rows)
    whole = sum(row["replay"]["asked"] == row["replay"]["recorded"] for row in rows)
    return (
        f"A replay of {run.config['dataset']['replay_of']}, without a model: "
        f"{recorded / max(1, asked):.1%} of the samples asked for were recorded, and "
        f"{whole / max(1, len(rows)):.1%} of the searches found all of theirs. The others had "
        "fewer solutions to vote than a search would have had. What the PRM would have read is not "
        "known."
    )


def is_replay(run: RunFolder) -> bool:
    """Whether a run was made of another one's samples."""
    return "replay_of" in run.config["dataset"]


def configuration(run: RunFolder) -> list[tuple[str, Facts]]:
    """All that `run.json` says, under headings."""
    config = run.config
    grid = {key: value for key, value in config["configuration"].items() if key != "search"}
    return [
        ("grid", _facts({**grid, "problems' digest": config["dataset"]["sha256"][:16]})),
        ("search", _facts(config["configuration"].get("search", {}))),
        ("versions", _facts(config.get("versions", {}))),
        ("machine", _facts(config.get("machine", {}))),
    ]


def shown(value: object) -> str:
    """A plain value as people write it."""
    if value is None:
        return "–"
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return ", ".join(map(shown, value)) or "–"
    return json.dumps(value, ensure_ascii=False)


def _facts(values: Mapping[str, Any]) -> Facts:
    return [(name, shown(value)) for name, value in values.items()]


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
