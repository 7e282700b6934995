"""What a worker sends of a problem that it searches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Stepped:
    """A step is complete."""

    carried: bytes | None
    """The problem as it is now, packed; None where packing at every step would take too long."""
    tokens: int
    """Sampled in this step."""
    depth: int
    """Complete steps."""
    kv_tokens: int
    """That the tree keeps."""
    answered: bool
    """Whether a trajectory is completed."""


@dataclass(frozen=True, slots=True)
class Left:
    """The problem has to go on elsewhere: an engine of this worker is lost."""

    carried: bytes
    """As it was after its last complete step."""
    words: str
    """The engine's last ones."""


@dataclass(frozen=True, slots=True)
class Done:
    """The search is over."""

    result: bytes
    """A pickled `SearchResult`."""
    at_once: int | None
    """How many problems fit into the KV cache, by what is known now; None where nobody asked."""


Sent: TypeAlias = Stepped | Left | Done
