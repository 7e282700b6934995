"""From a search's result to the solutions that answer a request."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ets.rollout.result import SearchResult
from ets.serve.certain import shown_part


@dataclass(frozen=True, slots=True)
class Chosen:
    """A solution as it is answered."""

    text: str
    finish: Literal["stop", "length"]
    """`length` where a limit cut it."""
    tokens: int


def chosen(result: SearchResult, certain: str, n: int, stops: Sequence[str]) -> list[Chosen]:
    """The solutions of the n best answers, of each answer the one of the highest score.

    Where no solution has an answer, the one of the highest score; where none was completed, what is
    `certain` of any. At least one, at most n.
    """
    found = result.trajectories
    answers = [vote.answer for vote in result.votes[:n]]
    # A vote's answer is written as at least one of its solutions has it.
    picked = [max((s for s in found if s.answer == a), key=lambda s: s.score) for a in answers]
    if not picked and found:
        picked = [max(found, key=lambda s: s.score)]
    if not picked:
        return [_cut(Chosen(certain, "length", 0), stops)]
    return [
        _cut(Chosen(s.text, "stop" if s.finished else "length", s.tokens), stops) for s in picked
    ]


def _cut(solution: Chosen, stops: Sequence[str]) -> Chosen:
    text = shown_part(solution.text, stops, over=True)
    return solution if text == solution.text else Chosen(text, "stop", solution.tokens)
