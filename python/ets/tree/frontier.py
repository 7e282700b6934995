"""The candidates of a step in a tree of their own, which is small however deep they are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ets._core import Tree


class Frontier:
    """Nodes of a tree, for sums and selections that cost no more in a deep tree than in a shallow
    one.

    It holds a contracted tree (`Tree.contracted`), in which long runs above the nodes are one node.
    A step goes on from it, so that no step looks at what lies above the one before.
    """

    __slots__ = ("_places", "leaves", "tree")

    def __init__(self, tree: Tree, nodes: Sequence[int]) -> None:
        """Of distinct `nodes` of `tree`; `InputError` for others."""
        self._start(nodes, *tree.contracted(np.array(nodes, dtype=np.int64)))

    def grow(self, nodes: Sequence[int], parents: Sequence[int], tokens: Sequence[int]) -> Frontier:
        """The frontier of `nodes`, [n], each a new child of one of this one's nodes."""
        above = np.array([self._places[parent] for parent in parents], dtype=np.int64)
        ids = self.tree.extend(above, np.array(tokens, dtype=np.int64))
        grown = Frontier.__new__(Frontier)
        grown._start(nodes, *self.tree.contracted(ids))
        return grown

    def kv_tokens(self, chosen: NDArray[np.bool_]) -> int:
        """KV tokens of the nodes where `chosen`, bool[n], and all above; the prompt's included."""
        return self.tree.kv_tokens(self.leaves[chosen])

    def contracted(self, nodes: NDArray[np.int64]) -> tuple[Tree, NDArray[np.int64]] | None:
        """The contracted tree, and the ids there of some of its nodes; None where one is not."""
        try:
            places = [self._places[node] for node in nodes.tolist()]
        except KeyError:
            return None
        return self.tree, np.array(places, dtype=np.int64)

    def _start(self, nodes: Sequence[int], tree: Tree, leaves: NDArray[np.int64]) -> None:
        self.tree = tree
        """The contracted tree."""
        self.leaves = leaves
        """The ids of the nodes there, int64[n]."""
        self._places = dict(zip(nodes, leaves.tolist(), strict=True))

    def __len__(self) -> int:
        """Nodes of the contracted tree."""
        return len(self.tree)
