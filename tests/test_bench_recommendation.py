"""What to run: held against brute force over rows made by hand, and against known truths."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from candidate_cases import candidate, candidates
from ets.bench.candidates import Candidate
from ets.bench.cost import Cost
from ets.bench.recommendation import Limit, Recommendation, recommend
from ets.errors import InputError

NAMES = ("best-of-n", "rebase", "dvts", "mpts")


def found(each: list[Candidate], draws: int = 40, **limit: Any) -> Recommendation:
    return recommend(candidates(each), Limit(**limit), draws=draws)


def of(recommendation: Recommendation, label: str) -> Any:
    return next(s for s in recommendation.standings if s.candidate.label.startswith(label))


@st.composite
def fields(draw: st.DrawFn) -> list[Candidate]:
    """A few candidates over a few problems and seeds; equal ones among them."""
    problems, seeds = draw(st.integers(2, 6)), draw(st.integers(1, 3))
    count = draw(st.integers(1, 6))
    made = []
    for at in range(count):
        rights = draw(
            st.lists(
                st.lists(st.booleans(), min_size=seeds, max_size=seeds),
                min_size=problems,
                max_size=problems,
            )
        )
        cost = draw(st.lists(st.integers(1, 4), min_size=problems, max_size=problems))
        made.append(
            candidate(
                NAMES[at % len(NAMES)],
                rights,
                np.repeat(np.array(cost)[:, None], seeds, axis=1),
                width=at + 1,
                vote=draw(st.sampled_from(("majority", "weighted"))),
            )
        )
    return made


LIMITS = st.fixed_dictionaries(
    {
        "at_most": st.none() | st.sampled_from([1.5, 2.0, 3.0, 10.0]),
        "within": st.none() | st.sampled_from([0.0, 0.1, 0.34, 1.0]),
    }
)


def plain_choice(each: list[Candidate], at_most: float | None, within: float) -> Candidate | None:
    """The rule in so many words, over fractions."""
    paid = [c for c in each if at_most is None or c.spent.policy_tokens.mean() <= at_most + 1e-9]
    if not paid:
        return None
    best = max(c.right.mean() for c in paid)
    near = [c for c in paid if c.right.mean() >= best - within - 1e-9]
    least = min(c.spent.policy_tokens.mean() for c in near)
    cheap = [c for c in near if c.spent.policy_tokens.mean() <= least + 1e-9]
    most = max(c.right.mean() for c in cheap)
    last = [c for c in cheap if c.right.mean() >= most - 1e-9]
    return min(last, key=lambda c: (c.scored, c.cell.name != "best-of-n", c.cell.width, c.label))


@given(fields(), LIMITS)
def test_the_choice_is_that_of_brute_force(each: list[Candidate], limit: dict[str, Any]) -> None:
    expected = plain_choice(each, limit["at_most"], Limit(**limit).loss)
    if expected is None:
        with pytest.raises(InputError, match="a problem is too little: the cheapest, "):
            found(each, **limit)
        return
    recommended = found(each, **limit)
    assert recommended.chosen.candidate is expected
    for standing in recommended.standings:
        mine = (standing.accuracy.value, standing.cost.value)
        beaten = any(
            other.right.mean() >= mine[0] - 1e-9
            and other.spent.policy_tokens.mean() <= mine[1] + 1e-9
            and (
                other.right.mean() > mine[0] + 1e-9
                or other.spent.policy_tokens.mean() < mine[1] - 1e-9
            )
            for other in each
        )
        assert (standing.dominated_by is not None) == beaten


@given(fields(), LIMITS, st.randoms(use_true_random=False))
def test_the_order_of_candidates_is_nothing(
    each: list[Candidate], limit: dict[str, Any], luck: Any
) -> None:
    limit = {**limit, "at_most": None}
    other = [*each]
    luck.shuffle(other)
    one, two = found(each, **limit), found(other, **limit)
    assert one.chosen.candidate is two.chosen.candidate
    assert (one.confidence, one.outcome) == (two.confidence, two.outcome)
    assert {s.candidate.label: s.share for s in one.standings} == {
        s.candidate.label: s.share for s in two.standings
    }


@given(fields(), st.sampled_from([0.0, 0.1, 0.5]), st.data())
def test_a_dominated_candidate_changes_no_choice(
    each: list[Candidate], within: float, data: st.DataObject
) -> None:
    before = found(each, within=within).chosen.candidate
    model = data.draw(st.sampled_from(each))
    worse = replace(
        model,
        cell=replace(model.cell, options=(("width", 99),)),
        right=model.right * data.draw(st.sampled_from([0.0, 1.0])),
        spent=replace(model.spent, policy_tokens=model.spent.policy_tokens + 0.5),
    )
    assert found([*each, worse], within=within).chosen.candidate is before


@given(fields())
def test_as_right_for_less_is_preferred(each: list[Candidate]) -> None:
    dear = found(each).chosen.candidate
    cheap = replace(
        dear,
        cell=replace(dear.cell, options=(("width", 98),)),
        spent=replace(dear.spent, policy_tokens=dear.spent.policy_tokens - 0.5),
    )
    assert found([*each, cheap]).chosen.candidate is cheap


@given(fields(), LIMITS)
def test_a_bootstrap_of_the_whole_choice_draw_by_draw(
    each: list[Candidate], limit: dict[str, Any]
) -> None:
    """Shares and the outcome on what was not drawn, made again with plain loops."""
    limit = {**limit, "at_most": None}
    recommended = found(each, draws=60, **limit)
    loss = Limit(**limit).loss
    problems, seeds = each[0].right.shape
    rng = np.random.default_rng(0)
    rows = rng.integers(0, problems, (60, problems, 1))
    columns = rng.integers(0, seeds, (60, problems, seeds))
    picks: dict[str, int] = dict.fromkeys((c.label for c in each), 0)
    unseen: list[list[float]] = [[] for _ in range(problems)]
    for row, column in zip(rows, columns, strict=True):
        drawn = []
        for one in each:
            tokens = one.spent.policy_tokens[row, column]
            drawn.append(
                replace(
                    one,
                    right=one.right[row, column],
                    spent=replace(one.spent, policy_tokens=tokens),
                )
            )
        chosen = plain_choice(drawn, None, loss)
        assert chosen is not None
        picks[chosen.label] += 1
        truth = next(one for one in each if one.label == chosen.label)
        for problem in set(range(problems)) - set(row[:, 0].tolist()):
            unseen[problem].append(float(truth.right[problem].mean()))
    assert {s.candidate.label: round(s.share * 60) for s in recommended.standings} == picks
    assert recommended.outcome.value == pytest.approx(
        np.mean([np.mean(values) for values in unseen])
    )


def test_a_hundred_problems_alike_for_a_third_of_the_cost() -> None:
    right = [problem < 60 for problem in range(100)]
    each = [
        candidate("best-of-n", right, 100, vote="majority"),
        candidate("rebase", right, 300),
        candidate("mpts", [problem < 55 for problem in range(100)], 50),
    ]
    recommended = found(each, within=0.01)
    assert recommended.chosen.candidate.label == "best-of-n width=4, majority"
    assert (recommended.confidence, of(recommended, "rebase").share) == (1.0, 0.0)
    assert of(recommended, "rebase").dominated_by == "best-of-n width=4, majority"
    assert of(recommended, "mpts").dominated_by is None
    # Five problems that differ, all to one side: by chance with probability 1/16, of three pairs.
    assert not of(recommended, "mpts").told_apart
    assert recommended.simplest is of(recommended, "mpts")
    assert recommended.undecided
    needed = recommended.problems_needed
    assert needed is not None
    assert 140 <= needed < 200, "7 must differ, and 5 of 100 do"


def test_the_cheapest_that_is_alike_is_not_one_that_is_beaten() -> None:
    """At the same cost the more accurate is the one to name."""
    each = [
        candidate("rebase", [problem < 60 for problem in range(100)], 300, width=8),
        candidate("best-of-n", [problem < 54 for problem in range(100)], 100, vote="best"),
        candidate("best-of-n", [problem < 56 for problem in range(100)], 100),
    ]
    recommended = found(each)
    assert recommended.chosen.candidate is each[0]
    assert recommended.simplest.candidate is each[2]
    assert not of(recommended, "best-of-n width=4, best").told_apart


def test_a_hair_less_to_pay_is_no_reason() -> None:
    each = [
        candidate("rebase", [problem < 60 for problem in range(100)], 300),
        candidate("mpts", [problem < 55 for problem in range(100)], 271),
    ]
    assert not found(each).undecided
    cheaper = [each[0], candidate("mpts", [problem < 55 for problem in range(100)], 270)]
    assert found(cheaper).undecided


def test_what_a_hundred_problems_do_tell() -> None:
    each = [
        candidate("best-of-n", [problem < 40 for problem in range(100)], 100, vote="majority"),
        candidate("rebase", [problem < 70 for problem in range(100)], 300),
    ]
    recommended = found(each, draws=1000)
    assert recommended.chosen.candidate.cell.name == "rebase"
    assert not recommended.undecided
    assert recommended.problems_needed is None
    assert (recommended.confidence, recommended.cautious, recommended.shortfall) == (1, 1, 0)
    rivals = recommended.rivals
    assert rivals is not None
    assert rivals.told_apart
    assert rivals.gain.value == pytest.approx(0.3)
    assert 0.15 < rivals.gain.low < 0.3 < rivals.gain.high < 0.45
    paid = found(each, at_most=200)
    assert paid.chosen.candidate.cell.name == "best-of-n"
    assert not of(paid, "rebase").affordable
    assert paid.rivals is None, "no search can be paid"


def test_by_which_cost() -> None:
    """Sampling reads no PRM's tokens, so their weight decides."""
    right = [problem < 60 for problem in range(50)]
    each = [
        candidate("best-of-n", right, 300, vote="majority", prm=100),
        candidate("rebase", right, 100, prm=250),
    ]
    chosen = {
        weight: found(each, cost=Cost(prm_weight=weight)).chosen.candidate.cell.name
        for weight in (0, 0.7, 1.0)
    }
    assert chosen == {0: "rebase", 0.7: "rebase", 1.0: "best-of-n"}
    assert found(each, cost=Cost(by="kv")).chosen.candidate.cell.name == "rebase"
    assert found(each, cost=Cost(by="seconds")).chosen.candidate.cell.name == "rebase"


def test_a_measured_weight_is_that_of_the_seconds() -> None:
    right = [True, False]
    search = candidate("rebase", right, 100, prm=50)
    timed = replace(search.spent, prm_seconds=np.full((2, 1), 10.0))  # 0.2 s a token; sampling: 1
    each = [replace(search, spent=timed)]
    recommended = found(each, cost=Cost(prm_weight="measured"))
    assert recommended.limit.cost.prm_weight == pytest.approx(0.2)
    assert recommended.chosen.cost.value == pytest.approx(110)
    with pytest.raises(InputError, match="prm_weight=measured needs searches whose PRM read"):
        found(
            [candidate("best-of-n", right, 100, vote="majority")], cost=Cost(prm_weight="measured")
        )


def test_seconds_that_nobody_measured() -> None:
    right = [True, False]
    parts = candidate("best-of-n", right, 1, width=2, vote="majority", seconds=False)
    whole = candidate("best-of-n", right, 4, width=4, vote="majority")
    recommended = found([parts, whole], cost=Cost(by="seconds"))
    assert recommended.unpriced == ("best-of-n width=2, majority",)
    assert recommended.chosen.candidate is whole
    with pytest.raises(InputError, match="by seconds: no candidate's cost is known"):
        found([parts], cost=Cost(by="seconds"))
    older = replace(parts, sampled=None)
    with pytest.raises(InputError, match="by seconds: rows of best-of-n width=2, majority do not"):
        found([older], cost=Cost(by="seconds"))
    for about, why in (
        (
            {"machines": ("a", "b")},
            r"by seconds: the runs were made on different machines \(a; b\)",
        ),
        ({"banked": True}, "by seconds: samples or scorings of the run came from a bank"),
    ):
        with pytest.raises(InputError, match=why):
            recommend(candidates([whole], **about), Limit(cost=Cost(by="seconds")))
        recommend(candidates([whole], **about), Limit(), draws=10)


def test_what_is_no_limit() -> None:
    for wrong, why in (
        ({"at_most": 0}, "at_most must be above 0, got 0"),
        ({"within": 1.5}, r"within must be in \[0, 1\], a share of the problems, got 1.5"),
    ):
        with pytest.raises(InputError, match=why):
            Limit(**wrong)
    with pytest.raises(InputError, match="by must be one of"):
        Cost(by="euros")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="prm_weight must be >= 0, or measured, got -1"):
        Cost(prm_weight=-1)
    assert (Limit().loss, Limit(at_most=5).loss, Limit(at_most=5, within=0.02).loss) == (
        0.01,
        0,
        0.02,
    )
    with pytest.raises(InputError, match="a choice needs at least 2 problems, got 1"):
        found([candidate("rebase", [True], 1)])


def test_one_candidate_is_the_choice() -> None:
    only = found([candidate("rebase", [True, False, True], 5)])
    assert (only.confidence, only.cautious, only.shortfall, only.comparisons) == (1, 1, 0, 0)
    assert not only.undecided
