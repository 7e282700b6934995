"""Votes: pools that do not depend on who came first, within a time that is told."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ets.answer.equality
from ets.answer import Vote, aggregate, pool, pool_answers, same_answer, vote
from ets.answer.reading import read
from ets.answer.verifier import Verdicts, Verifier


def pools(answers: list[str]) -> list[tuple[str, int]]:
    return [(v.answer, v.count) for v in vote(answers, [1.0] * len(answers), "majority")]


def test_per_cent_is_a_hundredth_and_the_commonest_form_stands_for_the_pool() -> None:
    assert pools(["50", "50%", "50%", "0.5"]) == [("50%", 3), ("50", 1)]
    assert pools(["0.5", r"\frac{1}{2}", r"\frac{1}{2}", "1/2"]) == [(r"\frac{1}{2}", 4)]


def test_a_missing_unit_or_name_joins_the_greatest_pool_that_has_one() -> None:
    assert pools(["5", "5 cm", "5 m", "5 m"]) == [("5 m", 3), ("5 cm", 1)]
    assert pools(["5", "x=5", "y=5", "y=5"]) == [("y=5", 3), ("x=5", 1)]


def test_a_rounded_decimal_joins_what_it_rounds() -> None:
    assert pools(["0.333333", "1/3", "0.33"]) == [("0.333333", 2), ("0.33", 1)]


def test_answers_without_text_do_not_vote() -> None:
    assert pools(["", " ", "5"]) == [("5", 1)]
    assert pool([None, "", "5"]) == [None, None, "5"]


@pytest.mark.parametrize(
    "answers",
    [
        ["50", "50%", "0.5", "1/2"],
        ["5", "5 cm", "5 m", "5 m"],
        ["1/3", "0.333333", "0.33333333", "0.3333"],
        ["(1,2)", "1,2", "2,1", r"\{1,2\}"],
    ],
)
def test_pools_are_the_same_in_any_order(answers: list[str]) -> None:
    found = set()
    for order in itertools.permutations(answers):
        forms = pool(list(order))
        members = [[a for a, f in zip(order, forms, strict=True) if f == form] for form in forms]
        found.add(frozenset(frozenset(group) for group in members))
    assert len(found) == 1


def test_a_vote_of_formulas_asks_nobody() -> None:
    """The grammar values them: 64 different ones once were 2,016 questions to math-verify."""
    formulas = [rf"\frac{{x^2+{k}}}{{\sqrt{{x^2+{k}}}}}" for k in range(1, 65)]
    again = [rf"\sqrt{{{k}+x^2}}" for k in range(1, 65)]
    pooling = pool_answers(formulas + again, seconds=0.0)
    assert pooling.undecided == 0
    assert pooling.answers == formulas + formulas


def test_a_vote_of_equations_asks_nobody() -> None:
    lines = [f"{k}x+3y=6" for k in range(1, 65)]
    again = [f"6y = {-2 * k}x + 12" for k in range(1, 65)] + [f"{k}x+3y<6" for k in range(1, 65)]
    pooling = pool_answers(lines + again, seconds=0.0)
    assert pooling.undecided == 0
    assert pooling.answers == lines + lines + again[64:]


FORMS = [
    "5", "x=5", "5 cm", "0.05 m", "50 mm", "5 kg", "x-5=0", "5=x", "5.0", "y=5",
    "1/3", "0.333333", "0.3333333", "0.333...", "333333/1000000", r"33.\overline{3}\%", "0.33",
    "50%", "50", "0.5", r"\frac12", "half", "(1,2)", "1,2", "2,1", r"\{2,1\}", "x=1,y=2",
    "y=2x+1", "2x+1", "2x-y+1=0", "x=2y", "x>3", r"(3,\infty)", "3<x", "R", "r", "(A)", "A",
    "x>3 and x<5", "(3,5)", "two and a half", "5/2", "7:30 pm", "19:30", "7:30",
]  # fmt: skip


def partition(answers: list[str]) -> frozenset[frozenset[int]]:
    found: dict[str | None, set[int]] = {}
    for i, form in enumerate(pool(answers)):
        found.setdefault(form, set()).add(i)
    return frozenset(map(frozenset, found.values()))


@settings(deadline=None, max_examples=200)
@given(st.lists(st.sampled_from(FORMS), max_size=12), st.randoms(use_true_random=False))
def test_pools_do_not_depend_on_order(answers: list[str], random: Random) -> None:
    order = list(range(len(answers)))
    random.shuffle(order)
    shuffled = partition([answers[i] for i in order])
    assert {frozenset(order[i] for i in group) for group in shuffled} == partition(answers)


@settings(deadline=None, max_examples=200)
@given(st.lists(st.sampled_from(FORMS), min_size=1, max_size=12))
def test_the_commonest_form_stands_for_its_pool(answers: list[str]) -> None:
    forms = pool(answers)
    for form in set(forms):
        members = [a for a, f in zip(answers, forms, strict=True) if f == form]
        most = max(members.count(member) for member in members)
        assert form == next(member for member in members if members.count(member) == most)


@given(st.lists(st.sampled_from(FORMS), max_size=3))
def test_equal_keys_are_an_equivalence_that_the_grader_keeps(answers: list[str]) -> None:
    for a, b in itertools.combinations(answers, 2):
        if read(a).key is not None and read(a).key == read(b).key:
            assert same_answer(a, b)


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[Verdicts]:
    verdicts = Verdicts(Verifier())
    monkeypatch.setattr(ets.answer.equality, "_verdicts", verdicts)
    yield verdicts
    verdicts.verifier.close()


def test_what_there_is_no_time_for_is_counted_and_asked_again(fresh: Verdicts) -> None:
    answers = [r"1+\max(x,y)", r"\max(x,y)+1", r"\max(x,y)-1"]
    late = pool_answers(answers, seconds=0.0)
    assert late.answers == answers
    assert (late.undecided, late.seconds) == (3, 0.0)
    early = pool_answers(answers, seconds=120.0)
    assert early.answers == [answers[0], answers[0], answers[2]]
    assert (early.undecided, early.seconds) == (0, None)
    assert vote(answers, [1.0, 2.0, 2.5], seconds=120.0)[0] == Vote(answers[0], 3.0, 2)


def test_rewards_in_an_array() -> None:
    rewards = np.array([0.5, 0.25], dtype=np.float32)
    assert aggregate(rewards, "min") == 0.25  # type: ignore[arg-type]
    assert type(aggregate(rewards)) is float  # type: ignore[arg-type]
