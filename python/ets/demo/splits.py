"""The bundled problems by split: `test`, of which results are reported, and `dev`, to tune on."""

from __future__ import annotations

from itertools import islice
from typing import Any

from ets.demo.task import Problem, problem_stream
from ets.errors import InputError

SEEDS = {"test": 2026, "dev": 1}
SIZE = 500


def split_problems(split: str | None) -> list[Problem]:
    """The problems of a split, with the truth about their steps; made again, always the same.

    # Errors
    `InputError` for another split.
    """
    if split not in SEEDS:
        raise InputError(f"split of the data set demo must be test or dev, got {split!r}")
    return list(islice(problem_stream(SEEDS[split], split), SIZE))


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
