"""Looking over a search's shoulder: what each selection kept, and what is complete so far."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ets.answer import Vote, VoteMethod, extract_answer, vote
from ets.nodes import Nodes
from ets.strategy import Strategy
from ets.thoughts import behind_thoughts
from ets.view import Decision, View


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
    """KV tokens that REBASE would have kept; None where the strategy does not say."""
    best: str
    """The text of the best node's step."""
    reward: float


@dataclass(slots=True, eq=False, repr=False)
class Watch:
    """A strategy that decides as `inner` does and notes down what it saw.

    A strategy's view is the one place where a search shows its tree while it runs; the notes are
    made in the search's own thread and only read by the live view.
    """

    inner: Strategy
    rows: list[Row] = field(default_factory=list)
    wanted: int = 0
    """Continuations asked for by the last decision."""
    _nodes: Nodes | None = None
    _completed: tuple[int, ...] = ()

    @property
    def width(self) -> int:
        """That of the strategy watched."""
        return self.inner.width

    @property
    def needs_embeddings(self) -> bool:
        """That of the strategy watched."""
        return self.inner.needs_embeddings

    def __repr__(self) -> str:
        return repr(self.inner)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def decide(self, view: View) -> Decision:
        """The decision of the strategy watched."""
        decision = self.inner.decide(view)
        kept = np.zeros(len(view.nodes), dtype=np.bool_)
        kept[decision.order[decision.counts > 0]] = True
        done = len(view.completed) - len(self._completed)
        self._nodes, self._completed = view.columns, view.completed
        self.wanted = int(decision.counts.sum())
        if view.depth > 0:
            rewards = view.rewards()
            best = int(rewards.argmax())
            rebase = decision.rebase
            self.rows.append(
                Row(
                    step=view.depth,
                    kept=int(kept.sum()),
                    pruned=int((~kept).sum()),
                    done=done,
                    kv=view.tree.kv_tokens(view.nodes[kept]),
                    rebase=None if rebase is None else view.tree.kv_tokens(view.nodes[rebase > 0]),
                    best=view.columns.text[int(view.nodes[best])] or "",
                    reward=float(rewards[best]),
                )
            )
        return decision

    def end(self, nodes: Nodes) -> None:
        """Note the last step, whose nodes are all complete, so that nothing was decided."""
        level = nodes.levels[-1]
        if not level or (self.rows and self.rows[-1].step >= len(nodes.levels) - 1):
            return
        best = max(level, key=lambda node: nodes.reward[node])
        done = sum(nodes.fate[node] == "done" for node in level)
        self.rows.append(
            Row(
                step=len(nodes.levels) - 1,
                kept=0,
                pruned=len(level) - done,
                done=done,
                kv=None,
                rebase=None,
                best=nodes.text[best] or "",
                reward=nodes.reward[best],
            )
        )

    def votes_so_far(self, method: VoteMethod, pattern: str | None) -> list[Vote]:
        """The votes of the trajectories completed so far, each scored by its last reward."""
        if self._nodes is None:
            return []
        nodes = self._nodes
        texts = [
            "".join(nodes.text[step] or "" for step in nodes.path(node)) for node in self._completed
        ]
        said = [behind_thoughts(text) for text in texts]
        return vote(
            [None if text is None else extract_answer(text, pattern) for text in said],
            [nodes.reward[node] for node in self._completed],
            method,
        )

    @property
    def best(self) -> str | None:
        """The most rewarded partial solution of the last step with a selection."""
        return self.rows[-1].best if self.rows else None
