"""Votes: pools that do not depend on who came first, within a time that is told."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import pytest

import ets.answer.equality
from ets.answer import Vote, aggregate, pool, pool_answers, vote
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


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[Verdicts]:
    verdicts = Verdicts(Verifier())
    monkeypatch.setattr(ets.answer.equality, "_verdicts", verdicts)
    yield verdicts
    verdicts.verifier.close()


def test_what_there_is_no_time_for_is_counted_and_asked_again(fresh: Verdicts) -> None:
    answers = ["x^2+y^2=1", "y^2+x^2=1", "x^2+y^2=2"]
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
