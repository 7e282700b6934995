"""What recorded searches of one problem hold: every step that any of them sampled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ets.pending import Ask
from ets.tree_search import Child, TreeSearch
from ets.view import Strategy

Vector = Callable[[str], NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class _Recorded:
    """One sampled step."""

    tokens: int
    reward: float
    finished: bool
    text: str | None


@dataclass(frozen=True, slots=True)
class Reach:
    """How far a replay found what it asked for."""

    asked: int
    """Samples."""
    recorded: int

    @property
    def whole(self) -> bool:
        """Whether every sample was there, so that the replay is what a search would have been."""
        return self.asked == self.recorded


class Recording:
    """The steps of searches of one problem with one seed, by whatever strategies.

    A sample's seed says on which path it was asked for, so the searches of different strategies
    share a sample wherever they share a node. Where two hold different steps for it, as they may if
    the batches of an engine round differently, the first one counts, and `disagreements` grows.
    """

    def __init__(self, first: TreeSearch) -> None:
        self.disagreements = 0
        """Samples that two searches recorded differently."""
        self._like = first
        self._steps: dict[int, _Recorded] = {}
        self.add(first)

    def add(self, search: TreeSearch) -> None:
        """Take in the steps of one more search."""
        nodes = search.nodes
        for node in range(1, len(nodes)):
            step = _Recorded(
                nodes.tokens[node], nodes.reward[node], nodes.finished[node], nodes.text[node]
            )
            known = self._steps.setdefault(nodes.seed[node], step)
            self.disagreements += known != step

    def __len__(self) -> int:
        return len(self._steps)

    def replay(self, strategy: Strategy, vector: Vector | None) -> tuple[TreeSearch, Reach]:
        """Search again under `strategy`, as far as the recorded steps reach.

        A sample that was not recorded is given up, as one that failed, and the search goes on
        without it. `vector` embeds a step's text; None will do where the strategy needs none.
        """
        like = self._like
        search = TreeSearch(
            strategy,
            like.prompt_tokens,
            seed=like.seed,
            max_tokens=like.max_tokens,
            max_depth=like.max_depth,
            kv_budget=like.kv_budget,
        )
        asked = recorded = 0
        while asks := search.ask():
            children = [self._child(search, *want, vector) for ask in asks for want in _wants(ask)]
            known = [child for child in children if child is not None]
            asked += len(children)
            recorded += len(known)
            search.tell(known)
            if len(known) < len(children):
                search.close_step()
        return search, Reach(asked, recorded)

    def _child(
        self, search: TreeSearch, parent: int, index: int, seed: int, vector: Vector | None
    ) -> Child | None:
        step = self._steps.get(seed)
        if step is None:
            return None
        embedding = None
        if (
            vector is not None
            and step.text is not None
            and search.needs_embedding(parent, step.tokens, step.finished)
        ):
            embedding = vector(step.text)
        return Child(
            parent=parent,
            index=index,
            tokens=step.tokens,
            reward=step.reward,
            finished=step.finished,
            text=step.text,
            embedding=embedding,
        )


def _wants(ask: Ask) -> list[tuple[int, int, int]]:
    """Parent, index and seed of each sample asked for."""
    return [(ask.node, index, seed) for index, seed in zip(ask.indices, ask.seeds, strict=True)]
