"""What the page of a tree draws: all at once, or piece by piece as the search grows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from ets.answer import pool
from ets.answer.tally import Outcome, Tally
from ets.strategy.registry import shown_settings
from ets.tree.events import Ended, Event, Finished, Pruned, Scored
from ets.tree.kv_record import KVStep
from ets.tree.trajectory import Cut
from ets.tree_page.formulas import Formulas
from ets.tree_page.mathml import Convert, mathml
from ets.tree_page.reasons import Verdict, Verdicts, path_reward, verdicts
from ets.tree_page.searched import Searched


class PageData:
    """The data of one page, as JSON-able values.

    It comes in pieces of one form: what a piece names at its top takes the place of what was there,
    but `kv` and `formulas` go behind it, and of `nodes` each column is laid over the nodes from
    `first` on. A whole search is one piece.
    """

    def __init__(
        self, problem: str = "", tally: Tally | None = None, convert: Convert = mathml
    ) -> None:
        self._problem = problem
        self._tally = tally or Tally()
        self._formulas = Formulas(convert)
        self._verdicts = Verdicts()

    def whole(self, search: Searched, outcome: Outcome) -> dict[str, Any]:
        """All of a search, over or not."""
        every = range(len(search.nodes))
        nodes = {
            "first": 0,
            **self._grown(search, every),
            **_decided(search, every, verdicts(search)),
            **_outcome_columns(search, outcome),
        }
        return self._piece(
            **self._head(search),
            **self._votes(outcome),
            end=search.end,
            kv=[_kv(step) for step in search.kv],
            nodes=nodes,
        )

    def beginning(self, search: Searched) -> dict[str, Any]:
        """What is known before the first event: the problem, the strategy, and the root."""
        return self._piece(
            **self._head(search),
            end=None,
            kv=[],
            nodes={"first": 0, **self._grown(search, range(1)), "fate": ["open"]},
        )

    def take(self, search: Searched, event: Event) -> dict[str, Any] | None:
        """What an event adds; None for one that adds nothing. `search` holds what it names.

        # Errors
        Those of the pruner, whose selection is made again where a reason follows from it.
        """
        nodes = search.nodes
        if isinstance(event, Scored) and event.nodes:
            new = range(event.nodes[0], event.nodes[-1] + 1)
            return self._piece(nodes={"first": new.start, **self._grown(search, new)})
        if isinstance(event, Finished):
            cut = cast(Cut | None, event.cut)
            said = self._tally.solution(nodes.trajectory(event.node, cut))
            done = {"fate": ["done"], "answer": [said.answer], "score": [said.score]}
            return self._piece(nodes={"first": event.node, **done})
        if isinstance(event, Pruned):
            step = next(step for step in search.kv if step.depth == event.step)
            found = self._verdicts.take(search, step, event)
            level = nodes.levels[event.step]
            known = [found.get(node, Verdict(None, None)) for node in level]
            columns = {"first": level.start, **_decided(search, level, known)}
            return self._piece(kv=[_kv(step)], nodes=columns)
        if isinstance(event, Ended):
            level = nodes.levels[-1]
            left = [node for node in level if nodes.fate[node] == "left"]
            if not left:
                return self._piece(end=event.reason)
            known = [Verdict("ended" if node in left else None, None) for node in level]
            columns = {"first": level.start, **_decided(search, level, known)}
            return self._piece(end=event.reason, nodes=columns)
        return None

    def outcome(self, search: Searched, outcome: Outcome) -> dict[str, Any]:
        """What the votes add at the end."""
        columns = {"first": 0, **_outcome_columns(search, outcome)}
        return self._piece(**self._votes(outcome), end=search.end, nodes=columns)

    def text(self, text: str) -> dict[str, Any]:
        """A text beside the tree with its formulas, which stand in the next piece."""
        return {"text": text, "math": self._formulas.spans(text)}

    def _piece(self, **values: Any) -> dict[str, Any]:
        if new := self._formulas.new():
            values["formulas"] = new
        return values

    def _head(self, search: Searched) -> dict[str, Any]:
        return {
            "problem": self._problem,
            "problem_math": self._formulas.spans(self._problem),
            "strategy": type(search.strategy).__name__,
            "settings": shown_settings(search.strategy),
            "limits": {
                "max_tokens": search.max_tokens,
                "max_depth": search.max_depth,
                "kv_budget": search.kv_budget,
                "seed": search.seed,
            },
            "path_reward": path_reward(search.strategy),
            "prompt_tokens": search.prompt_tokens,
        }

    def _votes(self, outcome: Outcome) -> dict[str, Any]:
        return {
            "answer": outcome.answer,
            "votes": [
                [vote.answer, round(vote.weight, 4), vote.count, self._formulas.answer(vote.answer)]
                for vote in outcome.votes
            ],
        }

    def _grown(self, search: Searched, ids: range) -> dict[str, Any]:
        """The columns that a node has from its beginning."""
        nodes = search.nodes
        rewards = {"last": nodes.reward, "min": nodes.lowest, "prod": nodes.product}
        along = rewards[path_reward(search.strategy)]
        part = slice(ids.start, ids.stop)
        return {
            "parent": nodes.parent[part],
            "depth": nodes.depth[part],
            "tokens": nodes.tokens[part],
            "total": nodes.total[part],
            # More digits than the page shows: what is rounded twice is not what is rounded once.
            "reward": [round(reward, 6) for reward in nodes.reward[part]],
            "path_reward": [float(f"{reward:.6g}") for reward in along[part]],
            "text": nodes.text[part],
            "math": [self._formulas.spans(text) for text in nodes.text[part]],
        }


def _decided(search: Searched, ids: range, known: Sequence[Verdict]) -> dict[str, Any]:
    """The columns that a selection sets."""
    nodes, part = search.nodes, slice(ids.start, ids.stop)
    return {
        "cluster": nodes.cluster[part],
        "fate": nodes.fate[part],
        "asked": nodes.requested[part],
        "share": [verdict.share for verdict in known],
        "why": [verdict.reason for verdict in known],
    }


def _outcome_columns(search: Searched, outcome: Outcome) -> dict[str, Any]:
    """The columns that the votes set."""
    count = len(search.nodes)
    answers: list[str | None] = [None] * count
    scores: list[float | None] = [None] * count
    votes: list[int | None] = [None] * count
    for solution, place in zip(outcome.solutions, _pools(outcome), strict=True):
        node = solution.node
        answers[node], scores[node], votes[node] = solution.answer, solution.score, place
    return {"answer": answers, "score": scores, "vote": votes}


def _pools(outcome: Outcome) -> list[int | None]:
    """The place in `votes` of each solution's answer; None without one."""
    places = {vote.answer: place for place, vote in enumerate(outcome.votes)}
    firsts = pool([solution.answer for solution in outcome.solutions])
    return [None if first is None else places.get(first) for first in firsts]


def _kv(step: KVStep) -> dict[str, Any]:
    return {
        "depth": step.depth,
        "width": step.width,
        "before": step.kv_before,
        "after": step.kv_after,
        "rebase": step.kv_rebase,
        "budget": step.kv_budget,
    }
