"""What the page reads of a tree search."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ets._core import Tree
from ets.strategy import Strategy
from ets.tree.events import Event
from ets.tree.kv_record import KVRecord
from ets.tree.nodes import Nodes


class Searched(Protocol):
    """A tree search, over or not; `ets.TreeSearch` is one, and stands above this package."""

    @property
    def strategy(self) -> Strategy: ...
    @property
    def prompt_tokens(self) -> int: ...
    @property
    def seed(self) -> int: ...
    @property
    def max_tokens(self) -> int: ...
    @property
    def max_depth(self) -> int: ...
    @property
    def kv_budget(self) -> int | None: ...
    @property
    def tree(self) -> Tree: ...
    @property
    def nodes(self) -> Nodes: ...
    @property
    def events(self) -> Sequence[Event]: ...
    @property
    def kv(self) -> KVRecord: ...
    @property
    def end(self) -> str | None: ...
