"""The PRM of rollouts in `benches/rollout_truth.py`, on a scripted policy of known chances."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from ets.demo.training.evaluate import auroc
from ets.step import Finish, Prefix, Step
from rollout_truth import RolloutTruth

EXPECTED = {"problem": "7"}


class ScriptedChances:
    """Three steps and an answer; a step `N` says that the answer is right in N of 10 solutions."""

    def __init__(self, finish: Finish = "step") -> None:
        self.finish = finish
        self.asked: list[tuple[tuple[str, ...], int]] = []

    def start(self, problem: str) -> Prefix:
        return Prefix(problem, 1, (1,))

    async def sample(self, prefix: Prefix, *, seed: int, max_tokens: int) -> Step:
        self.asked.append((tuple(step.text for step in prefix.steps), seed))
        assert max_tokens > 0
        if len(prefix.steps) < 3:
            return Step("on\n\n", (2, 3), self.finish)
        right = np.random.default_rng(seed).random() < int(prefix.steps[0].text) / 10
        return Step(f"The answer is {7 if right else 8}.", (4,) * 5, "answer")

    async def aclose(self) -> None: ...


def truth(policy: ScriptedChances, rollouts: int, max_tokens: int = 100) -> RolloutTruth:
    return RolloutTruth(policy, EXPECTED, auroc=0.9, rollouts=rollouts, max_tokens=max_tokens)


def begun(*texts: str, finish: Finish = "step") -> Prefix:
    steps = [Step(text, (2, 3), "step") for text in texts[:-1]]
    last = Step(texts[-1], (2, 3), finish)
    return Prefix("problem", 1, (1,), (*steps, last))


def scored(judge: RolloutTruth, *prefixes: Prefix) -> list[float]:
    async def all_of_them() -> list[float]:
        return [(await judge.score(prefix)).reward for prefix in prefixes]

    return asyncio.run(all_of_them())


@pytest.mark.parametrize("chance", [0, 3, 10])
def test_a_value_is_the_share_of_rollouts_that_end_right(chance: int) -> None:
    judge = truth(ScriptedChances(), rollouts=400)
    scored(judge, begun(str(chance)))
    (value,) = judge.values.values()
    assert value == pytest.approx(chance / 10, abs=0.1)
    assert judge.tokens == 400 * (2 + 2 + 5)


def test_a_solution_that_ended_is_checked_and_not_gone_on_with() -> None:
    policy = ScriptedChances()
    judge = truth(policy, rollouts=3)
    right, wrong = (begun("5", f"The answer is {n}.", finish="answer") for n in (7, 8))
    scored(judge, right, wrong)
    assert list(judge.values.values()) == [1.0, 0.0]
    assert not policy.asked


def test_rewards_follow_from_the_steps_alone() -> None:
    """Other calls before, or another instance, change nothing; other steps do."""
    one, other = (truth(ScriptedChances(), rollouts=4) for _ in range(2))
    first, second = begun("5"), begun("5", "on\n\n")
    assert scored(one, first, second) == scored(other, second, first)[::-1]
    assert scored(one, first) != scored(one, second)


def test_rollouts_of_two_steps_share_no_seed() -> None:
    policy = ScriptedChances()
    scored(truth(policy, rollouts=4), begun("5"), begun("5", "on\n\n"))
    seeds = [seed for _, seed in policy.asked]
    assert len(set(seeds)) == len(seeds)


def test_a_rollout_stops_at_the_limit_and_is_wrong() -> None:
    policy = ScriptedChances()
    judge = truth(policy, rollouts=5, max_tokens=5)
    scored(judge, begun("10"))
    assert list(judge.values.values()) == [0.0]
    assert judge.tokens == 5 * (2 + 2)  # two steps, and the answer has no room


@pytest.mark.parametrize("finish", ["context", "refused", "end"])
def test_a_rollout_ends_with_its_solution(finish: Finish) -> None:
    policy = ScriptedChances(finish)
    judge = truth(policy, rollouts=5)
    scored(judge, begun("10"))
    assert len(policy.asked) == 5
    assert list(judge.values.values()) == [0.0]


def test_the_blur_is_the_one_that_is_stated() -> None:
    """Of steps of value 1 and 0 the AUROC is 0.9, and the reward is the posterior of value 1."""
    judge = truth(ScriptedChances(), rollouts=1)
    prefixes = [begun(str(10 * (n % 2)), f"{n}") for n in range(3000)]
    rewards = scored(judge, *prefixes)
    above, pairs = auroc([(reward, n % 2 == 1) for n, reward in enumerate(rewards)])
    assert above / pairs == pytest.approx(0.9, abs=0.02)
    sure = [n % 2 for n, reward in enumerate(rewards) if 0.7 < reward < 0.8]
    assert np.mean(sure) == pytest.approx(0.75, abs=0.1)
