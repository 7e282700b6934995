"""The problems of `benches/deeper_pair.py`, and the trees that its PRM learns of."""

from __future__ import annotations

import random

import pytest

pytest.importorskip("torch")  # the style is one of training

from deeper_pair import DEEP, LIMIT, STEPS, deep_problems
from ets.demo.check import check_solution
from ets.demo.tokenizer import encode
from ets.demo.training.packing import pack_tree
from ets.demo.wording import STEP_END, word_step


def test_problems_are_distinct_deep_and_of_their_split() -> None:
    problems = deep_problems("dev", 3, 60)
    assert len({problem.text for problem in problems}) == 60
    assert [len(problem.steps) for problem in problems[:18]] == [*STEPS, *STEPS]
    assert {problem.split for problem in problems} == {"dev"}
    assert deep_problems("dev", 3, 20) == problems[:20]


def test_the_longest_solutions_fit() -> None:
    """Into the limit on tokens, and with room for branches into a packed tree."""
    rng = random.Random(2)
    for problem in deep_problems("train", 4, 45):
        steps = [word_step(rng, step) for step in problem.steps]
        assert all(check_solution(problem, steps))
        assert len(encode(STEP_END.join(steps))) < LIMIT
        tree = pack_tree(rng, problem, style=DEEP)
        assert len(tree.ids) <= DEEP.length
        groups = [group for group in tree.group if group >= 0]
        assert len(groups) > len(problem.steps)
