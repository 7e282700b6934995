"""What a search returns."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from ets.answer import Vote
from ets.answer.tally import Outcome, Solution, Tally
from ets.dialogue import Dialogue, Messages, posed, transcript
from ets.pickled import Record
from ets.rollout.shortfall import shortfall
from ets.rollout.usage import Usage
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
        `engine_lost`, which `lost` explains."""
        return self.tree.end

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
        return self.tree.kv

    @property
    def kv_saved(self) -> float:
        """The share of REBASE's KV tokens, summed over steps, that was not kept; 0.4: 40% less."""
        rebase = self.kv.rebase.sum
        return 1.0 - self.kv.after.sum / rebase if rebase else 0.0

    def save_tree(self, path: str | os.PathLike[str]) -> None:
        """Write the tree as one HTML file to look at: what the search saw, and what it cut.

        # Errors
        `OSError` if it cannot be written.
        """
        page = tree_page(self.tree, self._outcome, problem=self._problem_text)
        Path(path).write_text(page, "utf-8")

    def _repr_html_(self) -> str:
        """The tree, in a notebook."""
        return tree_frame(self.tree, self._outcome, problem=self._problem_text)

    @property
    def _problem_text(self) -> str:
        given = self.problem
        return given if isinstance(given, str) else transcript(posed("problem", given))

    @property
    def _outcome(self) -> Outcome:
        return Outcome(self.trajectories, self.votes, self.undecided)

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
        }


@dataclass(frozen=True, slots=True)
class Answered(Record):
    """The last event of a stream: the votes are counted."""

    kind: ClassVar[str] = "answer"
    result: SearchResult
