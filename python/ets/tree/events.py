"""What happened in a search, and the KV cache that it needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, overload

from ets.pickled import Record


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


@dataclass(frozen=True, slots=True)
class KVStep(Record):
    """The KV cache at one selection, in tokens; shared prefixes and the prompt count once."""

    depth: int
    """Of the candidates."""
    width: int
    """The remaining width."""
    candidates: int
    kept: int
    """Candidates that are continued."""
    kv_before: int
    """Of all candidates, before selection: what the paper's figure sums over the steps."""
    kv_after: int
    """Of the candidates that are continued."""
    kv_rebase: int
    """Of the candidates that REBASE would have continued from this very state."""
    kv_budget: int | None
    """The most that `kv_after` was allowed to be; None: no limit."""


@dataclass(frozen=True, slots=True)
class KVTotals(Record):
    """One of the three figures over all steps, in tokens; zeros for a search of no step."""

    sum: int
    mean: float
    peak: int


@dataclass(slots=True)
class KVRecord(Record, Sequence[KVStep]):
    """The KV record of a search: one `KVStep` a selection, the totals over them."""

    steps: list[KVStep] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.steps)

    @overload
    def __getitem__(self, index: int) -> KVStep: ...
    @overload
    def __getitem__(self, index: slice) -> list[KVStep]: ...
    def __getitem__(self, index: int | slice) -> KVStep | list[KVStep]:
        return self.steps[index]

    def __iter__(self) -> Iterator[KVStep]:
        return iter(self.steps)

    @property
    def before(self) -> KVTotals:
        """Before selection."""
        return _totals([step.kv_before for step in self.steps])

    @property
    def after(self) -> KVTotals:
        """After selection."""
        return _totals([step.kv_after for step in self.steps])

    @property
    def rebase(self) -> KVTotals:
        """What REBASE would have kept at the same states; not a REBASE search of its own."""
        return _totals([step.kv_rebase for step in self.steps])


@dataclass(frozen=True, slots=True)
class Timing(Record):
    """Wall time of one selection, in microseconds. Kept apart: it differs from run to run."""

    depth: int
    cluster_us: float
    select_us: float
    """The pruner alone."""
    decide_us: float
    """The strategy's whole decision, the two others included."""


def _totals(values: list[int]) -> KVTotals:
    total = sum(values)
    return KVTotals(total, total / len(values) if values else 0.0, max(values, default=0))
