"""What a rollout asks of the replica that its problem is on."""

from __future__ import annotations

from typing import Protocol

from ets.errors import EngineError


class Progress(Protocol):
    """How far a problem has come; what its replica counts."""

    @property
    def kv_tokens(self) -> int:
        """KV tokens that its tree kept at its last selection."""
        ...


class Stay(Protocol):
    """A problem's time on a replica."""

    @property
    def name(self) -> str:
        """The replica's."""
        ...

    def holds(self, progress: Progress) -> None:
        """The problem is there from now on."""
        ...

    def can_end(self) -> bool:
        """Whether the problem can go on elsewhere."""
        ...

    def should_end(self) -> bool:
        """Whether it is to, between two steps."""
        ...

    def lose(self, error: EngineError) -> EngineError:
        """The replica's engines have failed; the error of a problem that cannot go on elsewhere."""
        ...

    def answered(self, begin: float, tokens: int) -> None:
        """A step is complete, begun then, on the monotonic clock, with so many tokens sampled."""
        ...
