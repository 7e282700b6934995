"""The exact judge of steps: a step is right if it is one of the wordings of the true step."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from ets.demo.task import Problem
from ets.demo.wording import wordings

_ANSWER = re.compile(r"The answer is (\d+)")


def check_step(problem: Problem, index: int, text: str) -> bool:
    """Tell if `text` is a right step number `index` (from 0) after right steps before it."""
    return index < len(problem.steps) and text.strip() in wordings(problem.steps[index])


def check_solution(
    problem: Problem,
    steps: Sequence[str],
    check: Callable[[Problem, int, str], bool] = check_step,
) -> list[bool]:
    """Judge each step; whatever cannot be parsed is wrong, and so is all after a wrong step."""
    verdicts: list[bool] = []
    for index, text in enumerate(steps):
        verdicts.append(all(verdicts) and check(problem, index, text))
    return verdicts


def answer_of(text: str) -> int | None:
    """Return the number after the last "The answer is", None where there is none."""
    found = _ANSWER.findall(text)
    return int(found[-1]) if found else None
