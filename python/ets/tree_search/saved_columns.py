"""Checks of the columns of a saved search, quick enough for millions of entries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, get_args

import numpy as np

from ets.checks import shown
from ets.errors import InputError
from ets.tree.nodes import Fate
from ets.tree.trajectory import Limit

CHECKED = ("parent", "index", "tokens", "reward", "finished", "cut", "text")
"""What nodes and told children have in common."""
_WHOLE = {"parent": -1, "index": 0, "tokens": 0, "cluster": -1}
"""Columns of integers, and the least that each may hold."""
_MOST_TOKENS = 2**32 - 1


def check_columns(what: str, columns: Mapping[str, Any]) -> None:
    """Refuse columns of nodes or children whose entries are not what a search holds.

    Raises `InputError` that names the column, the entry and the value.
    """
    for name, least in _WHOLE.items():
        if name in columns:
            most = _MOST_TOKENS if name == "tokens" else None
            check_whole(f"{what}.{name}", columns[name], least, most)
    reward = _column(f"{what}.reward", columns["reward"], (float, int), "a number in [0, 1]")
    values = np.array(reward, dtype=np.float64)
    _refuse(f"{what}.reward", reward, ~((values >= 0) & (values <= 1)), "a number in [0, 1]")
    _column(f"{what}.finished", columns["finished"], (bool,), "true or false")
    _column(f"{what}.text", columns["text"], (str, type(None)), "a text or null")
    _among(f"{what}.cut", columns["cut"], (None, *get_args(Limit)))
    if "fate" in columns:
        _among(f"{what}.fate", columns["fate"], get_args(Fate))


def check_whole(name: str, column: Any, least: int, most: int | None = None) -> None:
    """Refuse a column that does not hold integers in this range, at most of 63 bits."""
    most = 2**63 - 1 if most is None else most
    wanted = f"an integer from {least} to {most}"
    entries = _column(name, column, (int,), wanted)
    if entries and (min(entries) < least or max(entries) > most):
        _refuse(name, entries, [not least <= entry <= most for entry in entries], wanted)


def _among(name: str, column: Any, options: tuple[object, ...]) -> None:
    entries = _column(name, column, (str, type(None)), f"one of {options}")
    if set(entries) - set(options):
        _refuse(name, entries, [entry not in options for entry in entries], f"one of {options}")


def _column(name: str, column: Any, kinds: tuple[type, ...], wanted: str) -> list[Any]:
    """The column, a list of these very types: a bool is no integer."""
    if not isinstance(column, list):
        raise InputError(f"{name} must be a list, got {shown(column)}")
    if not set(map(type, column)) <= set(kinds):
        _refuse(name, column, [type(entry) not in kinds for entry in column], wanted)
    return column


def _refuse(name: str, column: list[Any], wrong: Sequence[Any] | Any, wanted: str) -> None:
    """`InputError` for the first entry that is wrong, if there is one."""
    for at in np.flatnonzero(wrong)[:1].tolist():
        raise InputError(f"{name}[{at}] must be {wanted}, got {shown(column[at])}")
