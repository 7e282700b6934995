"""The columns of a search tree: what is known of every node."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ets.certainty import Certainty
from ets.tree.trajectory import Cut, Limit, Trajectory

Reward = Literal["last", "min", "prod"]
"""How a leaf's reward is formed from the step rewards on its path."""

Fate = Literal["open", "kept", "pruned", "done", "left"]
"""What became of a node: `open` until its selection, then `kept` (it was continued) or `pruned`;
`done` where its trajectory is complete; `left` where the search ended before its selection."""


class Nodes:
    """Parallel lists, one entry a node, index = node id; id 0 is the root, which is the prompt.

    Ids are given step by step, so each depth holds one run of ids and parents come before children.
    Read-only outside `ets.tree_search.search`.
    """

    __slots__ = (
        "branch",
        "certainty",
        "cluster",
        "cut",
        "depth",
        "fate",
        "finished",
        "index",
        "levels",
        "lowest",
        "parent",
        "product",
        "requested",
        "reward",
        "seed",
        "text",
        "tokens",
        "total",
    )

    def __init__(self, prompt_tokens: int, seed: int) -> None:
        self.parent: list[int] = [-1]
        """The node above; -1 for the root."""
        self.index: list[int] = [0]
        """Which of its parent's continuations it is, from 0."""
        self.depth: list[int] = [0]
        self.tokens: list[int] = [prompt_tokens]
        """Tokens of the step itself; the root's are the prompt's."""
        self.total: list[int] = [0]
        """Tokens of the steps from depth 1 to it; the prompt is not counted."""
        self.reward: list[float] = [1.0]
        """The PRM's reward of the step; 1.0 for the root, which no path reward counts."""
        self.lowest: list[float] = [1.0]
        """The least step reward on its path."""
        self.product: list[float] = [1.0]
        """The product of the step rewards on its path."""
        self.finished: list[bool] = [False]
        """Whether the policy ended the solution there."""
        self.cut: list[Limit | None] = [None]
        """The limit of an engine that cut the solution there."""
        self.text: list[str | None] = [None]
        self.certainty: list[Certainty | None] = [None]
        """How certain the policy was of the step's tokens, where it says."""
        self.branch: list[int] = [0]
        """Its ancestor at depth 1 (itself there); 0 for the root."""
        self.cluster: list[int] = [-1]
        """Its cluster's label in the selection that it stood in; -1 without clustering."""
        self.fate: list[Fate] = ["open"]
        self.requested: list[int] = [0]
        """Continuations asked of it so far."""
        self.seed: list[int] = [seed]
        """The seed that its sample was asked with."""
        self.levels: list[range] = [range(1)]
        """The ids at each depth."""

    def __len__(self) -> int:
        return len(self.parent)

    def add(
        self,
        parent: int,
        index: int,
        seed: int,
        tokens: int,
        reward: float,
        finished: bool,
        cut: Limit | None,
        text: str | None,
        certainty: Certainty | None = None,
    ) -> int:
        """Append a node and return its id; the caller keeps `levels`."""
        node = len(self.parent)
        self.parent.append(parent)
        self.index.append(index)
        self.depth.append(self.depth[parent] + 1)
        self.tokens.append(tokens)
        self.total.append(self.total[parent] + tokens)
        self.reward.append(reward)
        self.lowest.append(min(self.lowest[parent], reward))
        self.product.append(self.product[parent] * reward)
        self.finished.append(finished)
        self.cut.append(cut)
        self.text.append(text)
        self.certainty.append(certainty)
        self.branch.append(self.branch[parent] or node)
        self.cluster.append(-1)
        self.fate.append("open")
        self.requested.append(0)
        self.seed.append(seed)
        return node

    def rewards(self, nodes: NDArray[np.int64], how: Reward) -> NDArray[np.float64]:
        """The path rewards of `nodes`, int64[n] -> float64[n]."""
        column = {"last": self.reward, "min": self.lowest, "prod": self.product}[how]
        return np.array([column[node] for node in nodes.tolist()], dtype=np.float64)

    def trajectory(self, node: int, cut: Cut | None) -> Trajectory:
        """The path to `node` as a trajectory, completed or not."""
        path = self.path(node)
        return Trajectory(
            node=node,
            path=path,
            rewards=tuple(self.reward[v] for v in path),
            tokens=self.total[node],
            cut=cut,
            texts=tuple(self.text[v] for v in path),
        )

    def path(self, node: int) -> tuple[int, ...]:
        """The ids from depth 1 to `node`, both included; empty for the root."""
        path = []
        while node > 0:
            path.append(node)
            node = self.parent[node]
        return tuple(reversed(path))
