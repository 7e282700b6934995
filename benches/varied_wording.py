"""The words of the varied task: the bundled problems, but the text of a step hardly ever repeats.

A step is told on lines of its own: what is asked now, what is known, in either order and one of
them left out at times, then one of the bundled wordings. So a step has some 2,000 to 20,000 texts
that mean the same, each made of tokens that the bundled pair knows.
"""

from __future__ import annotations

import random
import re
from functools import partial

from ets.demo.chain import NAMES, RELATIONS, Step
from ets.demo.task import Problem
from ets.demo.tokenizer import TAG, encode, token_id
from ets.demo.training.packing import Judge, Style, judged
from ets.demo.wording import word_step, wordings

TREE_LENGTH = 512

_ASKED = (
    "How many {i} does {p} have now?",
    "How many does {p} have now?",
    "How many {i} does {p} have in the end?",
    "How many {i} does {p} have?",
    "How many {i} are with {p} now?",
    "Now to {p} and the {i}.",
    "Now to the {i} of {p}.",
    "Then to {p}.",
    "As to {p} and the {i}:",
    "From now, all is with {p}.",
)
_KNOWN = (
    "{o} has {v} {i}.",
    "{o} had {v} {i}.",
    "{o} had {v} before.",
    "{o} had {v} {i} before.",
    "At first {o} has {v}.",
    "At first {o} had {v} {i}.",
    "As before, {o} has {v} {i}.",
    "There are {v} {i} with {o}.",
    "There are {v} with {o}.",
    "Now {o} has {v} {i}.",
    "With {o} are {v} {i}.",
    "{o} keeps {v} {i} from before.",
)
_ASKED_OF_BAGS = (
    "How many {i} are in all the bags?",
    "How many are in all the bags?",
    "How many more {i} are in the bags?",
    "How many {i} are with {p} in bags?",
    "Now to the bags.",
    "Now to the bags of {p}.",
    "Then to the bags of {i}.",
    "As to the bags:",
)
_KNOWN_OF_BAGS = (
    "There are {v} bags.",
    "There are {v} bags of {n}.",
    "Each bag has {n} {i}.",
    "Each of {v} bags has {n}.",
    "With each bag {p} gets {n} {i}.",
    "{p} buys {v} bags.",
    "{p} gets {v} bags of {n} {i}.",
    "Now {p} has {v} bags.",
    "With each bag are {n}.",
)
_COMPUTED = re.compile(
    r"(\d+) (\+|-|\*|/|plus|minus|less|times|divided by|over) (\d+) (?:=|is) (\d+)"
)
_SIGNS = {"plus": "+", "minus": "-", "less": "-", "times": "*", "divided by": "/", "over": "/"}


def before(step: Step) -> tuple[list[str], list[str]]:
    """Every line that may ask, and every line that may tell what is known, before a step."""
    bags = step.kind == "bags"
    owner = step.source if step.kind in RELATIONS else step.person
    slots = {
        "p": step.person, "o": owner, "i": step.item, "v": step.left, "n": step.right,
    }  # fmt: skip
    asked, known = (_ASKED_OF_BAGS, _KNOWN_OF_BAGS) if bags else (_ASKED, _KNOWN)
    return [line.format(**slots) for line in asked], [line.format(**slots) for line in known]


def word_varied(rng: random.Random, step: Step) -> str:
    """Put a step into one of its texts, drawn at random."""
    lines = [rng.choice(lines) for lines in before(step)]
    return "\n".join([*rng.sample(lines, rng.choice((1, 2, 2, 2, 2))), word_step(rng, step)])


def check_varied(problem: Problem, index: int, text: str) -> bool:
    """Tell if `text` is a right step number `index` (from 0) after right steps before it."""
    if index >= len(problem.steps):
        return False
    step = problem.steps[index]
    *told, last = text.strip().split("\n")
    kinds = [[k for k, lines in enumerate(before(step)) if line in lines] for line in told]
    known = all(kinds) and kinds in ([], [[0]], [[1]], [[0], [1]], [[1], [0]])
    return known and last in wordings(step)


def judge_varied(step: Step) -> Judge:
    """Judge the texts of a true step."""
    told = [[encode(line + "\n") for line in lines] for lines in before(step)]
    return partial(_judged, told=told, ends=[encode(text) for text in wordings(step)])


def meaning(text: str) -> str:
    """What a step comes to, whatever its words: what is computed, of whom, and if it is the end.

    Of a text that computes nothing, the text.
    """
    last = text.strip().split("\n")[-1]
    found = _COMPUTED.search(last)
    if found is None:
        return text.strip()
    left, op, right, result = found.groups()
    sign = _SIGNS.get(op, op)
    pair = sorted((left, right)) if sign in "+*" else [left, right]
    # Some wordings of bags name nobody.
    names = [] if " bag" in last else sorted(name for name in NAMES if name in last)
    return " ".join([*pair, sign, result, *names, "end" if "The answer" in last else ""])


def _judged(
    text: str, told: list[list[list[int]]], ends: list[list[int]]
) -> tuple[list[int], list[int]]:
    ids: list[int] = []
    labels: list[int] = []
    still, right = list(told), True
    *lines, last = text.split("\n")
    for line in [*(line + "\n" for line in lines), last]:
        found, agree = judged(line, [*(other for some in still for other in some), *ends])
        ids += found[:-1]
        labels += [label * right for label in agree[:-1]]
        right = right and bool(agree[-1])
        still = [some for some in still if found[:-1] not in some]
    right = right and encode(last) in ends
    return [*ids, token_id(TAG)], [*labels, int(right)]


VARIED = Style(word_varied, judge_varied, check_varied, TREE_LENGTH)
