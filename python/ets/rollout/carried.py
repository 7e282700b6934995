"""A problem on its way from one process to another, between two steps."""

from __future__ import annotations

import pickle
from dataclasses import dataclass, field

from ets.errors import InputError
from ets.pickled import Pickled
from ets.rollout.usage import Usage
from ets.step import Prefix
from ets.tree_search.search import TreeSearch


@dataclass(frozen=True, slots=True)
class Carried(Pickled):
    """All that another process needs in order to go on with a problem as if nothing had happened.

    Its options and engines it has already.
    """

    tree: TreeSearch
    prefixes: dict[int, Prefix] | None = None
    """Those of the root and of the nodes that the tree asks to continue, by node; None: read them
    again from the tree's texts."""
    usage: Usage = field(default_factory=Usage)
    sampled: int = 0
    """Tokens that count against its budget."""
    scored: int = 0
    """PRM calls that do."""
    seconds: float = 0.0
    """Time that does."""

    def packed(self) -> bytes:
        """As `unpacked` reads it."""
        return pickle.dumps(self, pickle.HIGHEST_PROTOCOL)

    @staticmethod
    def unpacked(packed: bytes) -> Carried:
        """What was packed, by a process that is trusted.

        # Errors
        `InputError` for anything else that unpickles.
        """
        found = pickle.loads(packed)
        if not isinstance(found, Carried):
            raise InputError(f"not a packed problem, got {type(found).__name__}")
        return found
