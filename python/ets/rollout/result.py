"""What a search returns."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from ets.answer import Vote
from ets.answer.mode import Standing
from ets.answer.tally import Outcome, Solution, Tally
from ets.dialogue import Dialogue, Messages, posed, transcript
from ets.pickled import Record
from ets.rollout.shortfall import shortfall
from ets.rollout.usage import Usage
from ets.strategy import BestOfN
from ets.tree.kv_record import KVRecord
from ets.tree_page.page import tree_frame, tree_page
from ets.tree_search.search import TreeSearch


@dataclass(frozen=True, slots=True)
class SearchResult(Record):
    """The outcome of searching one problem."""

    problem: str | list[dict[str, str]]
    """As it was given: a text, or messages."""
    answer: str | None
    """The answer with the most votes; None where no trajectory came to one: `note` says why."""
    score: float
    """That answer's share of the votes' weight, in [0, 1]."""
    votes: list[Vote]
    """Answers that are equal mathematically pool their votes; best first."""
    trajectories: list[Solution]
    tree: TreeSearch = field(repr=False)
    usage: Usage
    lost: str | None = None
    """Where an engine that answered no more ended the search: what it was, in one line."""
    undecided: int = 0
    """Pairs of answers that the vote had no time to compare, and that count as different."""
    searches: tuple[SearchResult, ...] = ()
    """Those whose votes it pools, in the order in which they were begun, where a problem is
    searched `until` its answer is certain. `usage` and `kv` are their sums,
    `tree` is the first one's."""
    certainty: Standing | None = None
    """Of such a problem: whether its answer is certain, and by which votes; None where there were
    none to test."""
    ended: str | None = None
    """Of such a problem: why no more votes were asked for."""

    _later: ClassVar[frozenset[str]] = frozenset({"searches", "certainty", "ended"})

    @classmethod
    def of(
        cls,
        tree: TreeSearch,
        tally: Tally | None = None,
        *,
        problem: str | Dialogue | Messages = "",
        usage: Usage | None = None,
        seconds: float | None = None,
    ) -> SearchResult:
        """The result of a tree search, over or not: the votes of its completed trajectories.

        For loops of your own, which have a `TreeSearch` and no `Search`. `tally` says how votes are
        weighed, by default as `ets.Search` does; `seconds` is what comparing answers may take.
        """
        given = problem if isinstance(problem, str) else posed("problem", problem)
        outcome = (tally or Tally()).count(tree.trajectories, seconds)
        return cls(
            problem=given if isinstance(given, str) else given.messages,
            answer=outcome.answer,
            score=outcome.score,
            votes=outcome.votes,
            trajectories=outcome.solutions,
            tree=tree,
            usage=usage or Usage(),
            undecided=outcome.undecided,
        )

    @property
    def end(self) -> str | None:
        """Why the search ended: `width_used_up`, `max_depth`, `no_candidates`, `none_kept`,
        `kv_budget`, the budget that was used up (`token_budget`, `time_budget`, `prm_budget`), or
        `engine_lost`, which `lost` explains. Of a problem that is searched `until` its answer is
        certain: `certain`, `uncertain` (no more votes were allowed), a budget or `engine_lost`."""
        return self.tree.end if self.ended is None else self.ended

    @property
    def trees(self) -> list[TreeSearch]:
        """All that were searched: `tree`, or those of `searches`."""
        return [search.tree for search in self.searches] or [self.tree]

    @property
    def ballots(self) -> list[tuple[str | None, float]]:
        """Who voted: answer and score of each trajectory; answer and 1.0 of each search, where a
        problem was searched step by step `until` its answer was certain."""
        if self.searches and not isinstance(self.tree.strategy, BestOfN):
            return [(search.answer, 1.0) for search in self.searches]
        return [(solution.answer, solution.score) for solution in self.trajectories]

    @property
    def note(self) -> str | None:
        """One line that says why there is no answer, or that most trajectories were cut, and which
        option to raise; None where there is nothing to say."""
        return shortfall(
            [solution.cut for solution in self.trajectories],
            [solution.answer for solution in self.trajectories],
            self.end,
        )

    @property
    def kv(self) -> KVRecord:
        """KV tokens of each step and their totals: before selection, after it, and what REBASE
        would have kept of the same candidates."""
        if not self.searches:
            return self.tree.kv
        return KVRecord([step for search in self.searches for step in search.kv])

    @property
    def kv_saved(self) -> float:
        """The share of REBASE's KV tokens, summed over steps, that was not kept; 0.4: 40% less."""
        rebase = self.kv.rebase.sum
        return 1.0 - self.kv.after.sum / rebase if rebase else 0.0

    def save_tree(self, path: str | os.PathLike[str]) -> None:
        """Write the tree as one HTML file to look at: what the search saw, and what it cut. Of
        several `searches` each has a tree of its own, and this is the first one's.

        # Errors
        `OSError` if it cannot be written.
        """
        page = tree_page(self.tree, self._of_tree, problem=self._problem_text)
        Path(path).write_text(page, "utf-8")

    def _repr_html_(self) -> str:
        """The tree, in a notebook."""
        return tree_frame(self.tree, self._of_tree, problem=self._problem_text)

    @property
    def _problem_text(self) -> str:
        given = self.problem
        return given if isinstance(given, str) else transcript(posed("problem", given))

    @property
    def _of_tree(self) -> Outcome:
        shown = self.searches[0] if self.searches else self
        return Outcome(shown.trajectories, shown.votes, shown.undecided)

    def to_dict(self) -> dict[str, Any]:
        """Everything but the tree, as JSON-able values (`tree.to_json()` saves the tree)."""
        return {
            "problem": self.problem,
            "answer": self.answer,
            "score": self.score,
            "votes": [asdict(vote) for vote in self.votes],
            "trajectories": [asdict(solution) for solution in self.trajectories],
            "usage": self.usage.to_dict(),
            "kv": {name: asdict(getattr(self.kv, name)) for name in ("before", "after", "rebase")},
            "end": self.end,
            "lost": self.lost,
            "note": self.note,
            "undecided": self.undecided,
            "certainty": None if self.certainty is None else asdict(self.certainty),
            "searches": len(self.trees),
        }


@dataclass(frozen=True, slots=True)
class Answered(Record):
    """The last event of a stream: the votes are counted."""

    kind: ClassVar[str] = "answer"
    result: SearchResult
