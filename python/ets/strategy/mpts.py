"""MPTS: mass-preserving tree search."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ets._core import cluster_steps
from ets.checks import as_integer, check_number, shown
from ets.errors import InputError
from ets.pickled import Pickled
from ets.strategy.base import Decision, View
from ets.strategy.pruned import (
    Candidates,
    Chosen,
    Labels,
    NodeCost,
    Solver,
    check_settings,
    prune,
)
from ets.strategy.width import all_to_root, largest_remainder
from ets.tree.nodes import Reward

Grouping: TypeAlias = Callable[[list[str | None]], Sequence[int] | NDArray[np.int64]]
"""Makes a label for each of the candidates' last steps; equal labels, one cluster."""


MAX_HALVINGS = 10
"""Of the price, before it is 0."""
MASS_NOISE = 1e-9
"""What sums of shares may fall short by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MPTS(Pickled):
    """Mass-preserving tree search: a cluster is worth what its candidates promise together, and the
    share of what is pruned is handed on to what is kept.

    With `O_i` the REBASE share of candidate `i`, `c` the clusters of last steps, `M_c` the sum of
    `O_i` over all candidates of `c`, `m_c` the number of them that is kept and `cost` as in `ETS`,
    the pruner keeps, to a proven optimum, the candidates that maximise

    ```text
    sum_c M_c * (1 - rho ** m_c) + lambda_r * sum_{i kept} O_i - lambda_b * cost of the nodes kept
    ```

    Then the full remaining width goes to them: in proportion to `M_c` between the clusters with a
    candidate kept, within one in proportion to `exp(reward / temperature)`, rounded to whole
    continuations by largest remainder, ties by reward. Who is rounded to none is pruned as well.

    ETS pays each cluster the same, and twins that it prunes take their share of the width with
    them. Here a state that many candidates reach keeps its share with few of them in the KV cache.
    Unpublished; docs/results.md has what it is worth.

    Raises `InputError` for a field out of range.
    """

    width: int
    """Trajectories to complete, 1 to 2**32."""
    lambda_b: float = 2.0
    """Price of keeping the whole tree, 0 to 1e300; 0 prunes nothing, as long as all fits in the
    search's KV budget."""
    rho: float = 0.5
    """What a further candidate of a cluster is worth of what the one before it was, in [0, 1). 0
    keeps at most one of each, which wants clusters that mean the very same, as `text` does."""
    min_mass: float = 0.0
    """The part of the mass that the clusters kept must have, in [0, 1]: where they have less, the
    price of this selection is a half of `lambda_b`, then a quarter, and after ten halvings nothing.
    Where a KV budget binds, the price is the one found without it."""
    lambda_r: float = 0.001
    """Worth of the shares `O_i` themselves, 0 to 1e300: chooses among the members of a cluster."""
    clusters: Literal["embedding", "text"] | Grouping = "embedding"
    """`embedding`: average linkage of the last steps' embeddings; `text`: equal last steps, which
    needs no embedder; or a function of the last steps' texts that returns a label for each."""
    cluster_threshold: float = 0.01
    """Cosine distance at which average linkage is cut, in [0, 2]."""
    temperature: float = 0.2
    """Of the shares `exp(reward / temperature)`, > 0."""
    node_cost: NodeCost = "uniform"
    """`uniform`: each node costs the same; `tokens`: each costs its share of the tokens."""
    reward: Reward = "last"
    """How a leaf's reward is formed from its path."""
    solver: Solver = "auto"
    """`auto` and `exact`: the exact method; `milp`: a mixed-integer program, the much slower second
    opinion."""
    time_limit: float | None = 1.0
    """Seconds that one selection may take at one price, > 0; past it the best found so far is
    taken, and `Decision.selection` says that it is not proven. None: no limit, but under a KV
    budget that binds, 5 s."""

    def __post_init__(self) -> None:
        check_settings(self)
        check_number("lambda_r", self.lambda_r, "in [0, 1e300]", lambda x: 0 <= x <= 1e300)
        check_number("rho", self.rho, "in [0, 1)", lambda x: 0 <= x < 1)
        check_number("min_mass", self.min_mass, "in [0, 1]", lambda x: 0 <= x <= 1)
        if not callable(self.clusters) and self.clusters not in ("embedding", "text"):
            raise InputError(
                "clusters must be 'embedding', 'text' or a function of the last steps' texts, got "
                f"{shown(self.clusters)}"
            )

    @property
    def needs_embeddings(self) -> bool:
        """Whether clusters are those of embeddings."""
        return self.clusters == "embedding"

    @property
    def obeys_kv_budget(self) -> bool:
        """True: the leaves kept are the best of those sets that fit in the search's KV budget."""
        return True

    def masses(self, among: Candidates[Labels]) -> NDArray[np.float64]:
        """What the candidates of each cluster promise together, float64[K]; they sum to 1."""
        shares = among.shares
        masses: NDArray[np.float64] = np.bincount(among.clusters, weights=shares) / shares.sum()
        return masses

    def choose(self, among: Candidates[Labels]) -> Chosen:
        """What is worth its KV cache, at the highest price at which enough of the mass is kept."""
        masses = self.masses(among)
        objective = {
            "lambda_d": 1.0,
            "lambda_r": self.lambda_r,
            "cluster_worth": masses,
            "rho": self.rho,
            "node_cost": self.node_cost,
            "solver": self.solver,
        }
        if not self.min_mass:
            return among.select(objective | {"lambda_b": self.lambda_b})
        # A KV budget may leave no room for so much mass, and its selections take their time.
        unlimited = replace(among, kv_budget=None)
        for price in (*(self.lambda_b / 2**k for k in range(MAX_HALVINGS + 1)), 0.0):
            chosen = unlimited.select(objective | {"lambda_b": price})
            kept_mass = masses[np.unique(among.clusters[chosen.kept])].sum()
            if kept_mass >= self.min_mass - MASS_NOISE:
                break
        if among.kv_budget is None:
            return chosen
        return among.select(objective | {"lambda_b": price})

    def decide(self, view: View) -> Decision:
        """Cluster, weigh, select, and hand the whole remaining width to the leaves kept."""
        if view.depth == 0:
            return all_to_root(view)
        return prune(
            self, view, lambda: self._clusters(view), partial(self._handed_out, view.width)
        )

    def _clusters(self, view: View) -> NDArray[np.int64]:
        """A label for each candidate, int64[n], from 0 in order of first appearance."""
        texts = view.texts()
        n = len(texts)
        if callable(self.clusters):
            return _numbered(_checked(self.clusters(texts), n))
        if self.clusters == "text":
            if None in texts:
                raise InputError(
                    f"clusters='text' needs the steps' texts; node "
                    f"{view.nodes[texts.index(None)]} was told without one"
                )
            return _numbered(texts)
        if n == 1 or view.same_texts():
            return np.zeros(n, dtype=np.int64)
        return cluster_steps(view.embeddings(), self.cluster_threshold, interrupt=view.interrupt)

    def _handed_out(
        self,
        width: int,
        among: Candidates[Labels],
        rewards: NDArray[np.float64],
        kept: NDArray[np.int64],
    ) -> NDArray[np.int64]:
        """Continuations of each candidate kept, int64[k]; they sum to the width."""
        masses = self.masses(among)
        rewards, clusters = rewards[kept], among.clusters[kept]
        mass = masses[clusters]
        if not mass.any():
            # Of clusters that promise nothing one may be all that fits in a KV budget.
            clusters, mass = np.zeros_like(clusters), np.ones_like(mass)
        best = np.full(len(masses), -np.inf)
        np.maximum.at(best, clusters, rewards)
        promise = np.exp((rewards - best[clusters]) / self.temperature)
        of_cluster = np.bincount(clusters, weights=promise)
        weights = mass * (promise / of_cluster[clusters])
        return largest_remainder(weights, width, rewards)


def _checked(labels: Any, n: int) -> list[int]:
    """What a function of the user's own returned, as n integers."""
    right = f"clusters(texts) must return one integer for each of the {n} texts"
    if not isinstance(labels, Iterable):
        raise InputError(f"{right}, got {shown(labels)}")
    found: list[int] = []
    for label in labels:
        number = as_integer(label)
        if number is None:
            raise InputError(f"{right}, got {shown(label)} for text {len(found)}")
        found.append(number)
    if len(found) != n:
        raise InputError(f"{right}, got {len(found)}")
    return found


def _numbered(labels: Sequence[Any]) -> NDArray[np.int64]:
    numbers: dict[Any, int] = {}
    return np.array([numbers.setdefault(label, len(numbers)) for label in labels], dtype=np.int64)
