"""ets: efficient tree search at inference time.

`Search` runs a policy, a PRM and a strategy on problems; `TreeSearch` is its core without any I/O,
for loops of your own; `Tree` and the functions beside it are the pruner alone. What engines of your
own must offer is in `ets.engines`, what a strategy of your own must in `ets.strategy`, all errors
are in `ets.errors`.
"""

from ets._core import Selection, Tree, __version__, cluster_steps, rebase_weights, select_leaves
from ets.errors import EngineError, InputError
from ets.search import Budget, Certain, Search, SearchResult, SharedBudget
from ets.strategy import DORA, DVTS, ETS, MPTS, REBASE, BeamSearch, BestOfN, ParticleFilter
from ets.tree_search import Child, TreeSearch
from ets.workers.processes import Workers

__all__ = [
    "DORA",
    "DVTS",
    "ETS",
    "MPTS",
    "REBASE",
    "BeamSearch",
    "BestOfN",
    "Budget",
    "Certain",
    "Child",
    "EngineError",
    "InputError",
    "ParticleFilter",
    "Search",
    "SearchResult",
    "Selection",
    "SharedBudget",
    "Tree",
    "TreeSearch",
    "Workers",
    "__version__",
    "cluster_steps",
    "rebase_weights",
    "select_leaves",
]
