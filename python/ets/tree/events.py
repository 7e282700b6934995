"""What happened in a search."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, ClassVar

from ets.pickled import Record
from ets.tree.kv_record import KVStep


@dataclass(frozen=True, slots=True)
class Expanded(Record):
    """Continuations were asked for."""

    kind: ClassVar[str] = "expanded"
    step: int
    """The depth of the nodes that are continued."""
    nodes: tuple[int, ...]
    """[k]: their ids, in the order of the asks."""
    counts: tuple[int, ...]
    """[k]: continuations of each, >= 1."""


@dataclass(frozen=True, slots=True)
class Scored(Record):
    """All children of a step are in, and are nodes now."""

    kind: ClassVar[str] = "scored"
    step: int
    """Their depth."""
    nodes: tuple[int, ...]
    """[m]: the new ids, ascending."""
    parents: tuple[int, ...]
    """[m]"""
    rewards: tuple[float, ...]
    """[m]: in [0, 1]."""
    tokens: tuple[int, ...]
    """[m]: of the step itself."""


@dataclass(frozen=True, slots=True)
class Finished(Record):
    """A trajectory is complete."""

    kind: ClassVar[str] = "finished"
    step: int
    node: int
    """Its last node."""
    cut: str | None
    """The limit that cut it (`ets.tree.trajectory.Cut`); None where the policy ended it."""


@dataclass(frozen=True, slots=True)
class Pruned(Record):
    """A selection was made."""

    kind: ClassVar[str] = "pruned"
    step: int
    """The candidates' depth."""
    kept: tuple[int, ...]
    """The candidates that are continued, ascending ids."""
    dropped: tuple[int, ...]
    """The others, ascending ids."""
    clusters: int = 0
    """Clusters among the candidates; 0 where there was no clustering."""
    objective: float | None = None
    """The pruner's value of what it kept; None where no pruner ran."""
    bound: float | None = None
    """No other choice is worth more than this."""
    optimal: bool | None = None
    """Whether the pruner's answer is proven optimal."""


@dataclass(frozen=True, slots=True)
class Ended(Record):
    """The search is over."""

    kind: ClassVar[str] = "ended"
    step: int
    """The depth that it reached."""
    reason: str


Event = Expanded | Scored | Finished | Pruned | Ended

EVENTS: dict[str, type[Event]] = {
    kind.kind: kind for kind in (Expanded, Scored, Finished, Pruned, Ended)
}


def values(record: Event | KVStep) -> dict[str, Any]:
    """The fields of a record as they are: `asdict` would copy every number of every column."""
    return {field.name: getattr(record, field.name) for field in fields(record)}


def event_to_dict(event: Event) -> dict[str, Any]:
    """An event as JSON-able values, its kind under `kind`."""
    return {"kind": event.kind, **values(event)}


def event_from_dict(data: dict[str, Any]) -> Event:
    """The event that `event_to_dict` made a dict of. `KeyError`, `TypeError` if it is none."""
    values = {k: tuple(v) if isinstance(v, list) else v for k, v in data.items() if k != "kind"}
    kind: Callable[..., Event] = EVENTS[data["kind"]]
    return kind(**values)
