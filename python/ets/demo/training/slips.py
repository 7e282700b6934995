"""The slips of a careless pupil: how a step goes wrong, on purpose, in the training solutions.

Two sorts. *Misconceptions* are systematic: at certain events the pupil does one particular wrong
thing more often than the right one (reads "fewer" as "more", subtracts where piles are shared,
forgets to borrow), so that sampling again and voting does not help, and judging steps does. The
other slips are scattered: a wrong number looked up, an event skipped or repeated, a wrong name, a
sum off by one. After a slip the solution goes on consistently from the wrong value.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace

from ets.demo.chain import LARGEST_NUMBER, NAMES, RELATIONS, Step, carry_on, compute
from ets.demo.task import Problem


@dataclass(frozen=True, slots=True)
class Pupil:
    """How often the pupil slips: the misconception at an event that invites one, and elsewhere."""

    strong: float = 0.6
    weak: float = 0.12
    scattered: float = 0.03


def misconception(step: Step, value: int) -> tuple[Step, bool] | None:
    """Return the systematic error that `step` invites at `value`, and if it is a strong one."""
    right = carry_on(step, value)
    left, amount = right.left, right.right
    if step.kind == "fewer":
        return replace(right, kind="more", op="+", result=left + amount), True
    if step.kind == "split":
        return replace(right, op="-", result=max(left - amount, 0)), amount == 3
    if step.kind == "transfer" and left > amount:
        return replace(right, op="-", result=left - amount), True
    if step.kind == "half_many":
        return replace(right, op="*", result=2 * left), True
    if step.kind == "bags":
        return replace(right, op="+", result=left + amount), False
    if step.kind == "many":
        return replace(right, op="+", result=left + amount), False
    if step.kind == "lose" and left % 10 < amount % 10 and left > amount:
        return replace(right, result=left - amount + 10), amount >= 8
    if step.kind == "gain" and left % 10 + amount % 10 >= 10:
        return replace(right, result=left + amount - 10), False
    return None


def _wrong_value(rng: random.Random, problem: Problem, k: int, step: Step) -> Step:
    known = [problem.start, *(s.right for s in problem.steps)]
    known += [s.result for s in problem.steps[:k]]
    near = [step.left + d for d in (-10, -2, -1, 1, 2, 10)]
    value = rng.choice(known if rng.random() < 0.6 else near)
    return replace(step, left=value, result=compute(step.op, value, step.right))


def _wrong_amount(rng: random.Random, problem: Problem, k: int, step: Step) -> Step:
    known = [s.right for s in problem.steps if s.right <= 12]
    near = [step.right + d for d in (-2, -1, 1, 2)]
    amount = max(rng.choice(known if rng.random() < 0.6 else near), 2)
    if step.kind == "times":
        amount = 5 - step.right
    return replace(step, right=amount, result=compute(step.op, step.left, amount))


def _wrong_operation(rng: random.Random, problem: Problem, k: int, step: Step) -> Step:
    op = rng.choice({"+": "--*", "-": "+", "*": "+-", "/": "-*"}[step.op])
    return replace(step, op=op, result=compute(op, step.left, step.right))


def _wrong_arithmetic(rng: random.Random, problem: Problem, k: int, step: Step) -> Step:
    return replace(step, result=max(step.result + rng.choice((-10, -2, -1, -1, 1, 1, 2, 10)), 0))


def _wrong_person(rng: random.Random, problem: Problem, k: int, step: Step) -> Step:
    if step.source and rng.random() < 0.4:
        return replace(step, person=step.source, source=step.person)
    known = {s.person for s in problem.steps} | {s.source for s in problem.steps if s.source}
    others = sorted((known if rng.random() < 0.7 else set(NAMES)) - {step.person})
    return replace(step, person=rng.choice(others)) if others else step


def _wrong_event(rng: random.Random, problem: Problem, k: int, step: Step) -> Step:
    """Tell the event as another one of the same form, and reckon accordingly."""
    swaps = {
        "gain": ("lose", "-"), "lose": ("gain", "+"),
        "more": ("fewer", "-"), "fewer": ("more", "+"),
        "many": ("more", "+"), "half": ("times", "*"), "half_many": ("many", "*"),
        "split": ("lose", "-"),
    }  # fmt: skip
    if step.kind not in swaps:
        return _wrong_operation(rng, problem, k, step)
    kind, op = swaps[step.kind]
    verb = {"gain": "gets", "lose": "loses"}.get(kind, "")
    result = compute(op, step.left, step.right)
    return replace(step, kind=kind, op=op, verb=verb, result=result)


def _other_event(rng: random.Random, problem: Problem, k: int, step: Step) -> Step:
    """Skip this event for a later one, or do an earlier one again."""
    near = [j for j in (k - 1, k + 1, k + 1, k + 2) if 0 <= j < len(problem.steps)]
    other = problem.steps[rng.choice(near)]
    value = step.left if step.kind != "bags" else problem.start
    return replace(carry_on(other, value), final=step.final)


def _wrong_ending(rng: random.Random, problem: Problem, k: int, step: Step) -> Step:
    return replace(step, final=not step.final)


_SLIPS: tuple[tuple[Callable[[random.Random, Problem, int, Step], Step], int], ...] = (
    (_wrong_value, 5), (_wrong_amount, 4), (_wrong_operation, 3), (_wrong_arithmetic, 5),
    (_wrong_person, 2), (_wrong_event, 3), (_other_event, 4), (_wrong_ending, 1),
)  # fmt: skip
SLIP_NAMES = tuple(slip.__name__.lstrip("_") for slip, _ in _SLIPS)


def scattered_slip(
    rng: random.Random, problem: Problem, k: int, step: Step, only: str = ""
) -> Step:
    """Return step `k` gone wrong in a scattered way; `step` is it as it would be right here."""
    slips = [slip for slip, _ in _SLIPS if not only or slip.__name__ == f"_{only}"]
    weights = [weight for slip, weight in _SLIPS if not only or slip.__name__ == f"_{only}"]
    for _ in range(50):
        wrong = rng.choices(slips, weights)[0](rng, problem, k, step)
        if wrong != step and _fits(wrong):
            return wrong
    return _wrong_arithmetic(rng, problem, k, step)


def pupil_solution(rng: random.Random, problem: Problem, pupil: Pupil) -> list[Step]:
    """Return the pupil's steps: right ones, and from a slip on consistently wrong ones."""
    for _ in range(20):
        steps = _attempt(rng, problem, pupil)
        if all(_fits(step) for step in steps):
            return steps
    return list(problem.steps)


def _attempt(rng: random.Random, problem: Problem, pupil: Pupil) -> list[Step]:
    steps: list[Step] = []
    value, bought = problem.start, 0
    for k, truth in enumerate(problem.steps):
        step = carry_on(truth, value)
        if k and problem.steps[k - 1].kind == "bags":
            step = replace(step, right=bought, result=value + bought)
        trap = misconception(step, value)
        chance = (pupil.strong if trap[1] else pupil.weak) if trap else 0.0
        if trap and rng.random() < chance:
            step = trap[0]
        elif rng.random() < pupil.scattered:
            step = scattered_slip(rng, problem, k, step)
        steps.append(step)
        if step.final:
            break
        if truth.kind == "bags":
            bought = step.result
        else:
            value = step.result
    return steps


def _fits(step: Step) -> bool:
    """Whether the step can be written down: numbers in range, a source where one is named."""
    numbers = (step.left, step.right, step.result)
    named = bool(step.source) or step.kind not in RELATIONS
    return named and all(0 <= number <= LARGEST_NUMBER for number in numbers)
