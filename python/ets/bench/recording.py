"""What recorded searches of one problem hold: every step that any of them sampled."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ets.certainty import Certainty
from ets.engines.values import checked_reward
from ets.prm.policy import PolicyPRM
from ets.strategy.base import Strategy
from ets.tree.trajectory import Limit
from ets.tree_search.asks import Ask
from ets.tree_search.search import Child, TreeSearch

Vector = Callable[[str], NDArray[np.float32] | None]
"""Embeds a step's text; None where that is not known."""


@dataclass(frozen=True, slots=True)
class _Recorded:
    """One sampled step."""

    tokens: int
    reward: float
    finished: bool
    cut: Limit | None
    text: str | None
    certainty: Certainty | None

    def reads_as(self, other: _Recorded) -> bool:
        """Whether the policy wrote the same, whatever the PRM said of it."""
        mine = (self.tokens, self.finished, self.cut, self.text)
        return mine == (other.tokens, other.finished, other.cut, other.text)


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
    share a sample wherever they share a node. Two may hold different steps for it, if the batches
    of an engine round differently; these are counted, and the first one serves the others.

    Where the policy was its own PRM, `judge` is that: rewards may be ranks among a step's
    continuations, which are others under another strategy, so a replay makes them anew.
    """

    def __init__(self, first: TreeSearch, judge: PolicyPRM | None = None) -> None:
        self.other_steps = 0
        """Records of a step that the first record of its sample has otherwise."""
        self.other_rewards = 0
        """Records of the same step with another reward."""
        self._like = first
        self._judge = judge
        self._steps: dict[int, _Recorded] = {}
        self.add(first)

    def add(self, search: TreeSearch) -> None:
        """Take in the steps of one more search."""
        for seed, step in _steps_of(search):
            known = self._steps.setdefault(seed, step)
            if not known.reads_as(step):
                self.other_steps += 1
            elif known.reward != step.reward and self._judge is None:
                self.other_rewards += 1

    def __len__(self) -> int:
        return len(self._steps)

    def replay(
        self, strategy: Strategy, vector: Vector | None, own: TreeSearch | None = None
    ) -> tuple[TreeSearch, Reach]:
        """Search again under `strategy`, as far as the recorded steps reach.

        A sample that was not recorded is given up, as one that failed, and the search goes on
        without it; so is one that needs a vector and has none. `vector` may be None where the
        strategy needs none. The steps of `own`, the search that this strategy had itself, win over
        those of others.
        """
        like = self._like
        steps = self._steps if own is None else {**self._steps, **dict(_steps_of(own))}
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
            children = [
                _child(search, *want, steps, vector) for ask in asks for want in _wants(ask)
            ]
            known = [child for child in children if child is not None]
            asked += len(children)
            recorded += len(known)
            search.tell(self._judged(search, known))
            if len(known) < len(children):
                search.close_step()
        return search, Reach(asked, recorded)

    def _judged(self, search: TreeSearch, children: list[Child]) -> list[Child]:
        """A step's children as a search's engines would have judged them."""
        judge, nodes = self._judge, search.nodes
        if judge is None:
            return children
        rewards = []
        for child in children:
            path = [(nodes.certainty[v], nodes.tokens[v]) for v in nodes.path(child.parent)]
            verdict = judge.verdict([*path, (child.certainty, child.tokens)])
            rewards.append(checked_reward(verdict, judge))
        judged = [checked_reward(reward, judge) for reward in judge.judge_step(rewards)]
        return [replace(c, reward=reward) for c, reward in zip(children, judged, strict=True)]


def _child(
    search: TreeSearch,
    parent: int,
    index: int,
    seed: int,
    steps: Mapping[int, _Recorded],
    vector: Vector | None,
) -> Child | None:
    step = steps.get(seed)
    if step is None:
        return None
    embedding = None
    if (
        vector is not None
        and step.text is not None
        and step.cut is None
        and search.needs_embedding(parent, step.tokens, step.finished)
    ):
        embedding = vector(step.text)
        if embedding is None:
            return None
    return Child(
        parent=parent,
        index=index,
        tokens=step.tokens,
        reward=step.reward,
        finished=step.finished,
        cut=step.cut,
        text=step.text,
        embedding=embedding,
        certainty=step.certainty,
    )


def _steps_of(search: TreeSearch) -> Iterator[tuple[int, _Recorded]]:
    """Each sample's seed and what it was."""
    nodes = search.nodes
    for node in range(1, len(nodes)):
        yield (
            nodes.seed[node],
            _Recorded(
                nodes.tokens[node],
                nodes.reward[node],
                nodes.finished[node],
                nodes.cut[node],
                nodes.text[node],
                nodes.certainty[node],
            ),
        )


def _wants(ask: Ask) -> list[tuple[int, int, int]]:
    """Parent, index and seed of each sample asked for."""
    return [(ask.node, index, seed) for index, seed in zip(ask.indices, ask.seeds, strict=True)]
