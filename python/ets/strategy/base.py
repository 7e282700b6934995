"""What a strategy sees of a search, and what it answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ets._core import Interrupt, Selection, Tree
from ets.errors import InputError
from ets.pickled import Pickled
from ets.tree.frontier import Frontier
from ets.tree.nodes import Nodes, Reward


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class View:
    """One selection's state, read-only: the candidates and everything above them."""

    nodes: NDArray[np.int64]
    """[n], n >= 1: the candidates' ids, ascending. They are the unfinished nodes of one depth."""
    depth: int
    """Their depth; 0 at the first call, when the root is the only candidate."""
    width: int
    """The remaining width, >= 1: the strategy's width less the trajectories completed."""
    tree: Tree
    """The arena: paths, KV tokens, `select`. Those read all that is above the candidates; where
    steps are many, `contracted()` costs less."""
    columns: Nodes
    """Every node so far."""
    completed: tuple[int, ...]
    """The last nodes of the trajectories completed so far, in the order of their ids."""
    lookup: Callable[[], NDArray[np.float32]] = field(repr=False)
    """Makes what `embeddings()` returns."""
    max_depth: int = 25
    """Steps at which a trajectory is cut, >= 1."""
    kv_budget: int | None = None
    """The most KV tokens, the prompt's included, that the candidates continued may hold
    (`tree.kv_tokens`); at least one candidate fits by itself. None: no limit."""
    interrupt: Interrupt | None = None
    """What ends the search while the strategy computes; for `tree.select` and `cluster_steps`."""
    frontier: Frontier | None = field(default=None, repr=False)
    """What `contracted()` is made of; None: of the whole tree."""

    def contracted(self) -> tuple[Tree, NDArray[np.int64]]:
        """A tree that stays small however deep the search is, and the candidates' ids there, [n].

        Any of the candidates hold the same KV tokens and are selected in the same way as in `tree`.
        """
        found = None if self.frontier is None else self.frontier.contracted(self.nodes)
        return self.tree.contracted(self.nodes) if found is None else found

    def rewards(self, how: Reward = "last") -> NDArray[np.float64]:
        """The candidates' path rewards, float64[n]."""
        return self.columns.rewards(self.nodes, how)

    def texts(self) -> list[str | None]:
        """The candidates' last steps, [n]; None where none was told."""
        return [self.columns.text[node] for node in self.nodes.tolist()]

    def same_texts(self) -> bool:
        """Whether all last steps are known and equal, so that there is nothing to cluster."""
        texts = self.texts()
        return texts[0] is not None and all(text == texts[0] for text in texts)

    def embeddings(self) -> NDArray[np.float32]:
        """The embeddings of the candidates' last steps, float32[n, d].

        Raises `InputError` where one was not told, which happens only if the strategy's
        `needs_embeddings` is false, at depth 0, or if all texts are equal.
        """
        return self.lookup()


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Decision(Pickled):
    """Which candidates are continued, how often, and in which order."""

    order: NDArray[np.int64]
    """[k]: positions in `View.nodes`, in the order in which their continuations are asked for. A
    candidate that is not named, or only with a count of 0, is pruned. One may be named again."""
    counts: NDArray[np.int64]
    """[k]: continuations of each, >= 0."""
    clusters: NDArray[np.int64] | None = None
    """[n]: cluster labels, where the strategy clustered."""
    selection: Selection | None = None
    """The pruner's answer, where the strategy asked it."""
    rebase: NDArray[np.int64] | None = None
    """[n]: the counts that REBASE would give all candidates, where the strategy knows them."""
    cluster_us: float = 0.0
    """Microseconds of wall time that clustering took."""
    select_us: float = 0.0
    """Microseconds of wall time that the pruner took."""

    @property
    def clusters_found(self) -> int:
        """The number of clusters; 0 where there was no clustering."""
        return 0 if self.clusters is None else int(self.clusters.max()) + 1


@runtime_checkable
class Strategy(Protocol):
    """What decides who is continued; those of `ets.strategy`, or an object of your own.

    A strategy holds settings only. All it decides by is in the view, so that a search can be saved,
    loaded, and run beside others with the same strategy object.

    One that keeps to `View.kv_budget` says so by an attribute `obeys_kv_budget`, true; without it a
    search with a KV budget refuses the strategy. One that chooses among no steps, and so can do
    with policies that write whole answers, has an attribute `needs_steps`, false.
    """

    @property
    def width(self) -> int:
        """Trajectories to complete, >= 1."""
        ...

    @property
    def needs_embeddings(self) -> bool:
        """Whether the unfinished children told to the search must bring embeddings."""
        ...

    def decide(self, view: View) -> Decision:
        """Choose. Called once a step with at least one candidate and a remaining width of >= 1."""
        ...


def stack(
    nodes: list[int], known: dict[int, NDArray[np.float32]], texts: list[str | None]
) -> NDArray[np.float32]:
    """The nodes' embeddings, float32[n, d]; one that is missing is that of an equal text."""
    by_text = {texts[node]: vector for node, vector in known.items()}
    rows = []
    for node in nodes:
        vector = known.get(node)
        if vector is None and texts[node] is not None:
            vector = by_text.get(texts[node])
        if vector is None:
            raise InputError(f"node {node} has no embedding")
        rows.append(vector)
    return np.stack(rows)
