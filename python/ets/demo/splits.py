"""The bundled problems by split: `test`, of which results are reported, `dev`, to tune on, and
`fresh`, which nobody looked at before the settings were fixed that it was made to confirm."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import Any

from ets.demo.task import Problem, problem_stream
from ets.errors import InputError


@dataclass(frozen=True, slots=True)
class Split:
    """How a split is drawn."""

    seed: int
    part: str
    """Of all possible problems: `dev` or `test`; the pair was trained on neither."""
    not_in: tuple[str, ...] = ()
    """Other splits whose problems are left out."""


SPLITS = {
    "test": Split(2026, "test"),
    "dev": Split(1, "dev"),
    "fresh": Split(20261128, "test", ("test",)),
}
SIZE = 500


def split_problems(split: str | None) -> list[Problem]:
    """The problems of a split, with the truth about their steps; made again, always the same.

    # Errors
    `InputError` for another split.
    """
    if split not in SPLITS:
        *but_one, last = SPLITS
        raise InputError(
            f"split of the data set demo must be {', '.join(but_one)} or {last}, got {split!r}"
        )
    drawn = SPLITS[split]
    known = {problem.text for other in drawn.not_in for problem in split_problems(other)}
    stream = problem_stream(drawn.seed, drawn.part)
    return list(islice((problem for problem in stream if problem.text not in known), SIZE))


def split_rows(split: str | None) -> list[dict[str, Any]]:
    """The same as rows of a data set: `id`, `problem`, `answer`, `steps` (how many)."""
    return [
        {
            "id": f"{split}-{number:03}",
            "problem": problem.text,
            "answer": problem.answer,
            "steps": len(problem.steps),
        }
        for number, problem in enumerate(split_problems(split))
    ]
