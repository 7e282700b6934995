"""ets: efficient tree search at inference time."""

from importlib.metadata import version as _version

from ets._core import Interrupt, Selection, Tree, cluster_steps, rebase_weights, select_leaves
from ets.answer.tally import Solution
from ets.errors import EngineError, InputError, MissingExtraError, SolverError
from ets.search.budget import Budget
from ets.search.result import SearchResult
from ets.search.search import Search
from ets.step import Prefix, Score, Step
from ets.strategy import DORA, DVTS, ETS, REBASE, BeamSearch, BestOfN, ParticleFilter
from ets.tree_search.search import Ask, Child, Trajectory, TreeSearch

__version__ = _version("ets-search")

__all__ = [
    "DORA",
    "DVTS",
    "ETS",
    "REBASE",
    "Ask",
    "BeamSearch",
    "BestOfN",
    "Budget",
    "Child",
    "EngineError",
    "InputError",
    "Interrupt",
    "MissingExtraError",
    "ParticleFilter",
    "Prefix",
    "Score",
    "Search",
    "SearchResult",
    "Selection",
    "Solution",
    "SolverError",
    "Step",
    "Trajectory",
    "Tree",
    "TreeSearch",
    "__version__",
    "cluster_steps",
    "rebase_weights",
    "select_leaves",
]
