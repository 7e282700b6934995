"""The search of one problem as a state machine: it asks for expansions and is told results."""

from ets._core import Interrupt
from ets.tree.events import Event
from ets.tree.trajectory import Trajectory
from ets.tree_search.asks import Ask, Child
from ets.tree_search.search import KVLimit, TreeSearch

__all__ = ["Ask", "Child", "Event", "Interrupt", "KVLimit", "Trajectory", "TreeSearch"]
