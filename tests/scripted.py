"""A policy and PRM without models: every child is a pure function of (world, path)."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ets.tree_search.search import Child, TreeSearch


@dataclass(frozen=True)
class World:
    """What the scripted engines answer."""

    seed: int = 0
    finish: float = 0.2
    """Chance that a step ends the solution."""
    decimals: int = 6
    """Of the rewards; few make ties."""
    groups: int = 5
    """Meanings that a step may have."""
    wordings: int = 3
    """Texts of one meaning; their embeddings lie close together."""
    max_tokens: int = 40
    """Of one step, from 0 on."""

    def embedding(self, text: str) -> NDArray[np.float32]:
        """Close together for the wordings of one group, far apart otherwise."""
        group, wording = text.split(".")
        base = np.random.default_rng([self.seed, int(group)]).normal(size=8)
        noise = np.random.default_rng([self.seed, int(group), int(wording)]).normal(size=8)
        return (base + 0.02 * noise).astype(np.float32)

    def child(self, search: TreeSearch, node: int, index: int) -> Child:
        """Continuation `index` of `node`."""
        path = [*(search.nodes.index[v] for v in search.nodes.path(node)), index]
        rng = random.Random(f"{self.seed} {path}")
        text = f"{rng.randrange(self.groups)}.{rng.randrange(self.wordings)}"
        tokens = rng.randint(0, self.max_tokens)
        finished = rng.random() < self.finish
        needed = search.needs_embedding(node, tokens, finished)
        return Child(
            parent=node,
            tokens=tokens,
            reward=round(rng.random(), self.decimals),
            finished=finished,
            embedding=self.embedding(text) if needed else None,
            text=text,
            index=index,
        )


def play(
    search: TreeSearch,
    world: World,
    *,
    shuffle: random.Random | None = None,
    between: Callable[[TreeSearch], TreeSearch] = lambda search: search,
) -> TreeSearch:
    """Search to the end; with `shuffle` in random order and parts, `between` after each tell."""
    while asks := search.ask():
        children = [world.child(search, ask.node, i) for ask in asks for i in ask.indices]
        if shuffle is not None:
            shuffle.shuffle(children)
            del children[shuffle.randint(1, len(children)) :]
        search.tell(children)
        search = between(search)
    return search
