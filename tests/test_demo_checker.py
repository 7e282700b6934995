"""The step checker with noise: a PRM of known quality."""

from __future__ import annotations

import asyncio
import json
from functools import cache
from itertools import islice
from typing import Any

import pytest
from scipy.stats import mannwhitneyu

from ets import demo
from ets.demo.blurred_checker import BlurredChecker
from ets.demo.splits import split_problems, split_rows
from ets.demo.wording import wordings
from ets.engines import Prefix, Step
from ets.errors import InputError
from ets.prm import load_prm


def rewards(prm: Any, problem: str, solution: list[str]) -> list[float]:
    """The reward of each step, told as a search tells it."""

    async def all_of_them() -> list[float]:
        prefix = Prefix(problem, 2, (1, 2))
        found = []
        for text in solution:
            prefix = prefix.extend(Step(f"{text}\n\n", (3,), "step"))
            found.append((await prm.score(prefix)).reward)
        return found

    return asyncio.run(all_of_them())


def last_rewards(prm: Any, cases: list[tuple[str, list[str]]]) -> list[float]:
    """The reward of the last step of each solution."""

    async def all_of_them() -> list[float]:
        found = []
        for problem, solution in cases:
            steps = tuple(Step(f"{text}\n\n", (3,), "step") for text in solution)
            found.append((await prm.score(Prefix(problem, 2, (1, 2), steps))).reward)
        return found

    return asyncio.run(all_of_them())


@cache
def solutions() -> tuple[list[tuple[str, list[str]]], list[tuple[str, list[str]]]]:
    """(problem, steps) whose last step is right, and such whose last step is wrong."""
    right, wrong = [], []
    for problem in split_problems("test"):
        steps = [next(iter(sorted(wordings(step)))) for step in problem.steps]
        right += [(problem.text, steps[: k + 1]) for k in range(len(steps))]
        wrong += [(problem.text, [*steps[:k], "It is 1."]) for k in range(len(steps))]
    return right, wrong


@pytest.mark.parametrize("auroc", [0.8, 0.9, 0.97])
def test_it_tells_right_from_wrong_as_often_as_it_was_told_to(auroc: float) -> None:
    prm = load_prm(f"demo-checker?auroc={auroc}")
    right, wrong = (last_rewards(prm, cases) for cases in solutions())
    assert len(right) == len(wrong) > 2000
    found = mannwhitneyu(right, wrong).statistic / (len(right) * len(wrong))
    # Its standard error is below 0.007 here.
    assert found == pytest.approx(auroc, abs=0.02)
    assert all(0 < reward < 1 for reward in right + wrong)


def test_without_noise_it_is_the_verdict_and_all_after_a_wrong_step_is_wrong() -> None:
    problem = next(p for p in split_problems("dev") if len(p.steps) >= 4)
    steps = [next(iter(sorted(wordings(step)))) for step in problem.steps]
    exact = BlurredChecker()
    assert rewards(exact, problem.text, steps) == [1.0] * len(steps)
    spoilt = [steps[0], "Nonsense.", *steps[2:]]
    assert rewards(exact, problem.text, spoilt) == [1.0] + [0.0] * (len(steps) - 1)


def test_the_noise_follows_from_seed_problem_and_steps() -> None:
    problem = split_problems("test")[0]
    steps = [next(iter(sorted(wordings(step)))) for step in problem.steps]
    first = rewards(BlurredChecker(auroc=0.8), problem.text, steps)
    assert rewards(BlurredChecker(auroc=0.8), problem.text, steps) == first
    assert rewards(BlurredChecker(auroc=0.8, seed=1), problem.text, steps) != first
    assert len(set(first)) == len(first)
    # A coin: right and wrong alike.
    assert set(rewards(BlurredChecker(auroc=0.5), problem.text, steps)) == {0.5}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"auroc": 0.4}, r"auroc must be in \[0.5, 1\], got 0.4"),
        ({"auroc": float("nan")}, "auroc must be"),
        ({"seed": -1}, "seed must be"),
    ],
)
def test_wrong_settings_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_prm("demo-checker", **options)


def test_a_problem_that_it_does_not_know_is_refused() -> None:
    with pytest.raises(InputError, match="knows the bundled problems only"):
        rewards(load_prm("demo-checker"), "What is 1 + 1?", ["It is 2."])


def test_the_splits_are_apart_and_the_test_split_is_what_is_shipped() -> None:
    assert json.loads(json.dumps(split_rows("test"))) == demo.problems()
    dev, fresh = split_rows("dev"), split_rows("fresh")
    assert len(dev) == len(fresh) == 500
    assert {row["id"] for row in islice(dev, 2)} == {"dev-000", "dev-001"}
    texts = [{row["problem"] for row in rows} for rows in (dev, fresh, demo.problems())]
    assert len(set.union(*texts)) == 1500
    with pytest.raises(InputError, match="split of the data set demo must be test, dev or fresh"):
        split_rows("train")
