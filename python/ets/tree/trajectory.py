"""A completed path of a search."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ets.pickled import Record

Limit = Literal["context", "prm_context", "max_tokens", "refused"]
"""What an engine cut a solution for: what the policy can read (`context`) or the PRM
(`prm_context`), the tokens that a whole answer may have, or a refusal to answer."""
Cut = Literal["max_tokens", "max_depth", "context", "prm_context", "refused"]
"""What cuts a solution short: a limit of the search, or an engine."""


@dataclass(frozen=True, slots=True)
class Trajectory(Record):
    """A completed path from the root."""

    node: int
    """Its last node."""
    path: tuple[int, ...]
    """[depth]: its nodes from depth 1 on."""
    rewards: tuple[float, ...]
    """[depth]: the reward of each step."""
    tokens: int
    """Of its steps; the prompt is not counted."""
    cut: Cut | None
    """The limit that cut it; None where the policy ended it."""
    texts: tuple[str | None, ...]
    """[depth]: the steps' texts, as far as they were told."""

    @property
    def finished(self) -> bool:
        """Whether the policy ended it, so that it may hold an answer."""
        return self.cut is None
