"""Chains of events, which arithmetic word problems tell, with the true value after every one.

A chain follows one pile of things: somebody has some, buys and loses some, shares them, passes
them on; somebody else has three times as many, and so on. Every event matters for the question,
so a wrong step always means a wrong solution, and the truth of a step is a simple record.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

NAMES = ("Ana", "Ben", "Eva", "Ivy", "Leo", "Lia", "Max", "Mia", "Ned", "Sam", "Tom", "Zoe")
ITEMS = (
    "apples", "beads", "books", "cards", "coins", "cookies",
    "eggs", "marbles", "pens", "shells", "stamps", "toys",
)  # fmt: skip
GAINS = ("buys", "finds", "gets", "wins")
LOSSES = ("drops", "gives", "loses", "sells")
OPERATIONS = {
    "gain": "+", "lose": "-", "times": "*", "split": "/", "half": "/", "bags": "*",
    "more": "+", "fewer": "-", "many": "*", "half_many": "/", "transfer": "+",
}  # fmt: skip
RELATIONS = frozenset({"more", "fewer", "many", "half_many", "transfer"})

LARGEST = 99
"""The largest true value; wrong solutions may go up to `LARGEST_NUMBER`."""
LARGEST_NUMBER = 199


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a solution: `left op right = result`, about `person` (and `source`).

    `source` is the person whose pile `person`'s is compared with or comes from, else empty.
    """

    kind: str
    op: str
    left: int
    right: int
    result: int
    person: str
    source: str
    verb: str
    item: str
    final: bool = False


def compute(op: str, left: int, right: int) -> int:
    """Work out one operation the way the solutions do: no remainders, nothing below zero."""
    if op == "+":
        return left + right
    if op == "-":
        return max(left - right, 0)
    if op == "*":
        return left * right
    return left // right if right else 0


def carry_on(step: Step, value: int) -> Step:
    """Return `step` as it would go from another value than the true one."""
    if step.kind == "bags":
        return step
    return replace(step, left=value, result=compute(step.op, value, step.right))


def draw_chain(rng: random.Random, start: int, n_steps: int) -> tuple[Step, ...]:
    """Draw `n_steps` steps that begin with a pile of `start` things."""
    item = rng.choice(ITEMS)
    people = rng.sample(NAMES, rng.choice((1, 2, 2, 3)))
    value, holder = start, 0
    steps: list[Step] = []
    while len(steps) < n_steps:
        kinds = ["gain", "lose", "gain", "lose"]
        if len(steps) + 2 <= n_steps:
            kinds += ["bags"]
        if value <= 33:
            kinds += ["times"]
        kinds += ["half"] * 2 * (value % 2 == 0 and value >= 8)
        kinds += ["split"] * 2 * any(value % k == 0 for k in (3, 4, 5))
        if holder + 1 < len(people):
            kinds += ["more", "fewer", "many", "half_many", "transfer"] * 2
        step = _draw_step(rng, rng.choice(kinds), value, people, holder, item)
        if step is None:
            continue
        if step.kind == "bags":
            if value + step.result > LARGEST:
                continue
            steps.append(step)
            step = _gain(value, step.result, step.person, item)
        steps.append(step)
        value = step.result
        holder = people.index(step.person)
    steps[-1] = replace(steps[-1], final=True)
    return tuple(steps)


def _gain(value: int, amount: int, person: str, item: str) -> Step:
    return Step("gain", "+", value, amount, value + amount, person, "", "buys", item)


def _draw_step(
    rng: random.Random, kind: str, value: int, people: list[str], holder: int, item: str
) -> Step | None:
    """Draw an event of this kind; None where the value does not allow it."""
    person, source, verb = people[holder], "", ""
    left, right = value, rng.randint(2, 12)
    if kind in RELATIONS:
        source, person = person, people[holder + 1]
    if kind == "gain":
        verb = rng.choice(GAINS)
    elif kind == "lose":
        verb = rng.choice(LOSSES)
    elif kind == "times":
        right = rng.choice((2, 3))
    elif kind == "many":
        right = rng.choice((2, 3, 4))
    elif kind in ("half", "half_many"):
        right = 2
    elif kind == "split":
        right = rng.choice([k for k in (3, 4, 5) if value % k == 0])
    elif kind == "bags":
        left, right = rng.randint(2, 6), rng.randint(2, 6)
    op = OPERATIONS[kind]
    result = compute(op, left, right)
    if not 3 <= result <= LARGEST or (op == "/" and left % right):
        return None
    return Step(kind, op, left, right, result, person, source, verb, item)
