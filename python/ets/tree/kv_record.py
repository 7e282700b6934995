"""The KV cache that a search needed, selection by selection, and what a selection took."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import overload

from ets.pickled import Record


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
