"""Why each candidate was pruned, from what a search has recorded."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ets._core import rebase_weights
from ets.strategy import DORA, ETS, MPTS, ParticleFilter
from ets.strategy.base import Strategy
from ets.strategy.pruned import Candidates
from ets.tree.events import Pruned
from ets.tree.frontier import Frontier
from ets.tree.kv_record import KVStep
from ets.tree.nodes import Reward
from ets.tree_page.searched import Searched

Reason = Literal["reward", "cluster", "kv", "ended"]
"""Why a node is not continued:

- `reward`: by its reward alone: under ETS, MPTS and REBASE its share of the width rounds to none,
  among all candidates or, under the first two, among those that the pruner kept; under another
  strategy it is not among those that this one continues.
- `cluster`: the pruner left it out, and another leaf of its cluster is continued.
- `kv`: the pruner left it out: its share of the reward is not worth the KV cache of its branch, or
  has no room in the KV budget.
- `ended`: the search ended before it was decided.

Where a time limit stopped the pruner before its proof, what it kept and REBASE then gave nothing
is not known, and counts as left out.
"""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is known of one node's selection."""

    reason: Reason | None
    """None where it was continued, is complete, or is not decided yet."""
    share: int | None
    """The continuations that REBASE would give it; None for a node that was no candidate, and where
    a strategy of your own compared itself with another REBASE."""


class Verdicts:
    """Finds the verdicts of one search, whose selections are told one by one, in their order."""

    def __init__(self) -> None:
        self._frontier: Frontier | None = None

    def take(self, search: Searched, step: KVStep, event: Pruned) -> dict[int, Verdict]:
        """Those of one selection's candidates, ids ascending; from rewards, clusters and the width.

        It may make the selection again, which takes the time that it took.
        """
        strategy, nodes = search.strategy, search.nodes
        candidates = np.array(sorted((*event.kept, *event.dropped)), dtype=np.int64)
        shares = rebase_shares(search, step, candidates)
        frontier = self._frontier = _next(self._frontier, search, candidates.tolist())
        chosen = set(event.kept)
        if isinstance(strategy, ETS | MPTS) and event.optimal:
            chosen |= _chosen(search, strategy, step, frontier, candidates, shares)
        covered = {nodes.cluster[node] for node in event.kept} - {-1}
        known = frontier.kv_tokens(shares > 0) == step.kv_rebase
        dropped, found = set(event.dropped), {}
        for node, share in zip(candidates.tolist(), shares.tolist(), strict=True):
            reason: Reason | None = None
            if node in dropped:
                if share == 0 or node in chosen or not isinstance(strategy, ETS | MPTS):
                    reason = "reward"
                else:
                    reason = "cluster" if nodes.cluster[node] in covered else "kv"
            found[node] = Verdict(reason, share if known else None)
        return found


def verdicts(search: Searched) -> list[Verdict]:
    """A verdict for each node, index = id."""
    found = [Verdict("ended" if fate == "left" else None, None) for fate in search.nodes.fate]
    pruned = {event.step: event for event in search.events if isinstance(event, Pruned)}
    reading = Verdicts()
    for step in search.kv:
        for node, verdict in reading.take(search, step, pruned[step.depth]).items():
            found[node] = verdict
    return found


def _next(frontier: Frontier | None, search: Searched, candidates: list[int]) -> Frontier:
    """The frontier of one step's candidates from that of the step above."""
    if frontier is None:
        return Frontier(search.tree, candidates)
    nodes = search.nodes
    parents = [nodes.parent[node] for node in candidates]
    return frontier.grow(candidates, parents, [nodes.tokens[node] for node in candidates])


def path_reward(strategy: Strategy) -> Reward:
    """How the strategy forms a leaf's reward; `last` for one that does not say."""
    how: Reward = getattr(strategy, "reward", "last")
    return how if how in get_args(Reward) else "last"


def rebase_shares(
    search: Searched, step: KVStep, candidates: NDArray[np.int64]
) -> NDArray[np.int64]:
    """What REBASE would give each, int64[n], as the KV record has it (see `selection.py`)."""
    rewards = search.nodes.rewards(candidates, path_reward(search.strategy))
    temperature = getattr(search.strategy, "temperature", None)
    # The temperatures of these two are those of other formulas.
    own = not isinstance(search.strategy, DORA | ParticleFilter)
    if own and isinstance(temperature, int | float) and temperature > 0:
        return rebase_weights(rewards, step.width, temperature)
    return rebase_weights(rewards, step.width)


def _chosen(
    search: Searched,
    strategy: ETS | MPTS,
    step: KVStep,
    frontier: Frontier,
    candidates: NDArray[np.int64],
    shares: NDArray[np.int64],
) -> set[int]:
    """What the pruner kept, some of which may then have been given nothing.

    That is not recorded, but a proven selection follows from what is, so it is made again; without
    a time limit, for this machine may be slower.
    """
    labels = np.array([search.nodes.cluster[node] for node in candidates.tolist()], dtype=np.int64)
    clustered = bool((labels >= 0).all())
    binds = step.kv_budget is not None and step.kv_before > step.kv_budget
    among = partial(
        Candidates,
        tree=frontier.tree,
        leaves=frontier.leaves,
        shares=shares,
        kv_budget=step.kv_budget if binds else None,
    )
    if isinstance(strategy, ETS):
        chosen = strategy.choose(among(clusters=labels if clustered else None))
    elif clustered:
        chosen = strategy.choose(among(clusters=labels))
    else:  # the root's step
        return set(candidates.tolist())
    return set(candidates[chosen.kept].tolist())
