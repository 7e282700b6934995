"""Looking over a search's shoulder: what each selection kept, and what is complete so far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ets.answer import Vote, VoteMethod, extract_answer, vote
from ets.answer.thoughts import behind_thoughts
from ets.rollout.result import Answered
from ets.strategy import MPTS
from ets.tree.events import Ended, Event, Expanded, Finished, Pruned
from ets.tree.kv_record import KVStep
from ets.tree.nodes import Nodes
from ets.tree_page.reasons import rebase_shares
from ets.tree_search.search import TreeSearch


@dataclass(frozen=True, slots=True)
class Row:
    """One step of the search: what became of its nodes."""

    step: int
    kept: int
    pruned: int
    done: int
    kv: int | None
    """KV tokens of the leaves kept; None after the last selection."""
    rebase: int | None
    """KV tokens that REBASE would have kept; None after the last selection."""
    best: str
    """The text of the best node's step."""
    reward: float
    mass: float | None = None
    """Under MPTS the part of the width that the clusters kept promised together."""
    handed_on: float | None = None
    """Of that and the rest, what pruned leaves promised, and others were given."""


@dataclass(slots=True)
class Watch:
    """What a live view shows of a search, noted down event by event.

    `note` is called by whoever reads the stream, the rest by the view, which draws in a thread.
    """

    width: int
    """The strategy's."""
    rows: list[Row] = field(default_factory=list)
    wanted: int = 0
    """Continuations asked for by the last decision."""
    _done: int = 0
    """Trajectories completed by the step that is not noted yet."""
    _tree: TreeSearch | None = None

    def note(self, event: Event | Answered, tree: TreeSearch | None) -> None:
        """Take the stream's next event; `tree` is the stream's, and holds what the event names."""
        self._tree = tree
        if isinstance(event, Expanded):
            self.wanted = sum(event.counts)
        elif isinstance(event, Finished):
            self._done += 1
        elif isinstance(event, Pruned) and event.step > 0 and tree is not None:
            self._selected(event, tree)
        elif isinstance(event, Ended) and tree is not None:
            self._ended(event.step, tree)

    def _selected(self, event: Pruned, tree: TreeSearch) -> None:
        kv = next(step for step in reversed(tree.kv.steps) if step.depth == event.step)
        self._add(
            tree.nodes,
            (*event.kept, *event.dropped),
            step=event.step,
            kept=len(event.kept),
            pruned=len(event.dropped),
            kv=kv.kv_after,
            rebase=kv.kv_rebase,
            **_masses(event, kv, tree),
        )

    def _ended(self, step: int, tree: TreeSearch) -> None:
        """Note the last step where nothing was decided any more."""
        level = tree.nodes.levels[step]
        if step > 0 and level and not (self.rows and self.rows[-1].step >= step):
            pruned = len(level) - self._done
            self._add(tree.nodes, level, step=step, kept=0, pruned=pruned, kv=None, rebase=None)

    def _add(self, nodes: Nodes, among: Sequence[int], **counts: Any) -> None:
        best = max(among, key=lambda node: nodes.reward[node])
        self.rows.append(
            Row(done=self._done, best=nodes.text[best] or "", reward=nodes.reward[best], **counts)
        )
        self._done = 0

    def votes_so_far(self, method: VoteMethod, pattern: str | None) -> list[Vote]:
        """The votes of the trajectories completed so far, each scored by its last reward."""
        done = [] if self._tree is None else list(self._tree.trajectories)
        said = [behind_thoughts("".join(text or "" for text in path.texts)) for path in done]
        return vote(
            [None if text is None else extract_answer(text, pattern) for text in said],
            [path.rewards[-1] for path in done],
            method,
        )

    @property
    def best(self) -> str | None:
        """The most rewarded partial solution of the last step with a selection."""
        return self.rows[-1].best if self.rows else None


def _masses(event: Pruned, kv: KVStep, tree: TreeSearch) -> dict[str, float]:
    """The parts of the width that a row of MPTS shows; none of another strategy."""
    if not isinstance(tree.strategy, MPTS):
        return {}
    candidates = np.array(sorted((*event.kept, *event.dropped)), dtype=np.int64)
    shares = rebase_shares(tree, kv, candidates)
    clusters = np.array([tree.nodes.cluster[node] for node in candidates.tolist()])
    dropped = np.isin(candidates, event.dropped)
    kept = np.isin(clusters, clusters[~dropped])
    return {
        "mass": float(shares[kept].sum() / kv.width),
        "handed_on": float(shares[dropped].sum() / kv.width),
    }
