"""How far a problem has come, on whichever replicas."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from ets.dialogue import Posed
from ets.errors import EngineError
from ets.rollout.carried import Carried
from ets.rollout.stay import Progress


class Searched(Progress, Protocol):
    """What a problem's search has come to, in this process or another."""

    lost: EngineError | None
    """The loss of an engine that ended its last stay, or the search."""

    @property
    def ended(self) -> bool:
        """Whether the search is over."""
        ...

    @property
    def depth(self) -> int:
        """Complete steps."""
        ...

    def give_up(self, error: EngineError) -> None:
        """End the search, as nobody is left to go on with it.

        # Errors
        `error`, where no trajectory is completed.
        """
        ...


S = TypeVar("S", bound=Searched)


@dataclass(slots=True)
class Course(Generic[S]):
    """A problem, from what was given to the end of its search."""

    posed: Posed
    carried: Carried | None = None
    """Where it begins, if not at the root."""
    watched: bool = False
    """Whether somebody looks at its events."""
    searched: S | None = None
    """None before its first step."""
    replicas: list[str] = field(default_factory=list)
    """Those on which it was searched, each time it came to one."""
    stays: int = 0
    """Replicas that it was given to."""
    losses: int = 0
    """Replicas that were lost with it since its newest step."""
    depth: int = 0
    """Of that step."""

    @property
    def goes_on(self) -> bool:
        """Whether there is something left to search."""
        return self.searched is None or not self.searched.ended

    def check(self, most_losses: int) -> None:
        """Count a stay on a replica that answered, and may have been lost with the problem.

        # Errors
        `EngineLostError`, the last one, where replica after replica is lost: it may be the problem
        that ends them.
        """
        searched = self.searched
        if searched is None or searched.lost is None:
            return
        if searched.depth > self.depth:
            self.losses, self.depth = 0, searched.depth
        self.losses += 1
        if self.losses > most_losses:
            raise searched.lost
