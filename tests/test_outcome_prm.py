"""Rewards at the end only: who is asked when, and what the others get by rule."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import ets
from certainty_cases import PROBLEM
from ets import demo
from ets.engines import PRM, Prefix, Score, Step
from ets.prm import OutcomePRM, load_prm
from ets.step import Finish


class Counted:
    """A PRM that always says the same, and counts."""

    def __init__(self, reward: float) -> None:
        self.reward = reward
        self.calls = 0
        self.closed = 0

    async def score(self, prefix: Prefix) -> Score:
        self.calls += 1
        return Score(self.reward, prompt_tokens=10, cached_tokens=4, written_tokens=3)

    async def aclose(self) -> None:
        self.closed += 1


def solution(finish: Finish) -> Prefix:
    return Prefix("p", 0, (), (Step("a", (1,), "step"), Step("b", (2,), finish)))


def scored(prm: PRM, finish: Finish) -> Score:
    return asyncio.run(prm.score(solution(finish)))


@pytest.mark.parametrize("finish", ["step", "length", "context"])
def test_an_outcome_is_not_asked_before_the_policy_ends(finish: Finish) -> None:
    outcome, steps = Counted(0.9), Counted(0.2)
    assert scored(OutcomePRM(outcome, between=0.4), finish) == Score(0.4)
    assert scored(OutcomePRM(outcome, steps=steps), finish).reward == 0.2
    assert (outcome.calls, steps.calls) == (0, 1)


@pytest.mark.parametrize("finish", ["answer", "end"])
def test_a_finished_solution_is_worth_the_stated_mixture(finish: Finish) -> None:
    outcome, steps = Counted(0.9), Counted(0.2)
    assert scored(OutcomePRM(outcome), finish) == Score(0.9, 10, 4, written_tokens=3)
    mixed = scored(OutcomePRM(outcome, steps=steps, weight=0.75), finish)
    assert mixed.reward == pytest.approx(0.75 * 0.9 + 0.25 * 0.2)
    assert (mixed.prompt_tokens, mixed.cached_tokens, mixed.written_tokens) == (20, 8, 6)


def test_a_function_can_be_the_judge() -> None:
    """Of a whole solution: the bundled problems' own answers."""
    said: list[tuple[str, list[str]]] = []
    rows = {str(row["problem"]): str(row["answer"]) for row in demo.problems()}

    def verify(problem: str, steps: list[str]) -> float:
        said.append((problem, steps))
        return float(f"answer is {rows[problem]}." in steps[-1])

    for strategy in (ets.BestOfN(width=8), ets.REBASE(width=8)):
        prm = OutcomePRM(verify, steps=load_prm("demo"), weight=0.5)
        with ets.Search(policy="demo", prm=prm, strategy=strategy) as search:
            result = search.solve(PROBLEM)
        asyncio.run(prm.aclose())
        ended = [t for t in result.tree.trajectories if t.cut is None]
        right = [rows[PROBLEM] in str(t.texts[-1]) for t in ended]
        assert len(ended) == len(said) > 0
        for trajectory, is_right in zip(ended, right, strict=True):
            low, high = (0.5, 1.0) if is_right else (0.0, 0.5)
            assert low <= trajectory.rewards[-1] <= high
        said.clear()


def test_what_a_judge_gives_is_checked() -> None:
    with pytest.raises(ets.EngineError, match=r"Counted gave the reward 2\.0"):
        scored(OutcomePRM(Counted(2.0)), "end")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"outcome": "demo"}, r"outcome must be a function .* got str; ets\.prm\.load_prm"),
        ({"outcome": Counted(1.0), "steps": 3}, "steps must be a function"),
        ({"outcome": Counted(1.0), "between": 2.0}, "between must"),
        ({"outcome": Counted(1.0), "weight": -1.0}, "weight must"),
    ],
)
def test_bad_arguments_are_refused(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(ets.InputError, match=said):
        OutcomePRM(**arguments)


def test_both_judges_are_ended() -> None:
    outcome, steps = Counted(0.9), Counted(0.2)
    asyncio.run(OutcomePRM(outcome, steps=steps).aclose())
    assert (outcome.closed, steps.closed) == (1, 1)


def test_a_name_makes_one_of_other_names() -> None:
    name = "outcome:demo?steps=policy%3Fscale=map&weight=0.25"
    with ets.Search(policy="demo", prm=name, strategy=ets.BestOfN(width=4)) as search:
        mixed = search.solve(PROBLEM).tree
    trees = {}
    for prm in ("demo", "policy?scale=map"):
        with ets.Search(
            policy="demo?top_logprobs=20", prm=prm, strategy=ets.BestOfN(width=4)
        ) as search:
            trees[prm] = search.solve(PROBLEM).tree
    outcome, steps = (tree.nodes for tree in trees.values())
    for node in range(1, len(mixed.nodes)):
        wanted = steps.reward[node]
        if mixed.nodes.finished[node]:
            wanted = 0.25 * outcome.reward[node] + 0.75 * wanted
        assert mixed.nodes.reward[node] == pytest.approx(wanted, abs=1e-5)


def test_a_bad_rule_is_refused_before_anything_is_loaded() -> None:
    with pytest.raises(ets.InputError, match="between must"):
        load_prm("outcome:transformers:/there/is/none?between=2")
