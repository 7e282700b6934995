"""Measure the pair: `python -m ets.demo.training.evaluate --split dev`; the model card has `test`.

Figures come with 95% intervals from a bootstrap over problems.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import comb
from pathlib import Path
from typing import cast

import numpy as np
import torch

from ets.demo import policy_path, prm_path
from ets.demo.check import answer_of, check_solution
from ets.demo.splits import split_problems
from ets.demo.task import Problem
from ets.demo.training.model import PRM, Policy, load
from ets.demo.training.packing import PLAIN, Style
from ets.demo.training.sample import LONGEST, judge, sample_solutions

VOTES = 16


@dataclass(frozen=True, slots=True)
class Sample:
    """One sampled solution: its steps, the checker's verdicts and the PRM's rewards."""

    steps: list[str]
    right: list[bool]
    rewards: list[float]
    answer: int | None


def draw(
    policy: Policy, prm: PRM | None, problems: Sequence[Problem], count: int, seed: int,
    style: Style = PLAIN, limit: int = LONGEST,
) -> list[list[Sample]]:  # fmt: skip
    """Sample, check and judge `count` solutions of each problem."""
    drawn = sample_solutions(policy, [p.text for p in problems], count, seed, limit=limit)
    flat = [steps for solutions in drawn for steps in solutions]
    texts = [p.text for p in problems for _ in range(count)]
    rewards = judge(prm, texts, flat) if prm else [[0.0] * len(steps) for steps in flat]
    samples = iter(rewards)
    return [
        [Sample(steps, check_solution(problem, steps, style.check), next(samples),
                answer_of(steps[-1]))
         for steps in solutions]
        for problem, solutions in zip(problems, drawn, strict=True)
    ]  # fmt: skip


def vote(samples: Sequence[Sample], weight: Callable[[Sample], float]) -> int | None:
    """Return the answer with the most weight; the first drawn wins a tie."""
    votes: dict[int, float] = defaultdict(float)
    for sample in samples:
        if sample.answer is not None:
            votes[sample.answer] += weight(sample)
    return max(votes, key=lambda answer: votes[answer]) if votes else None


def last(sample: Sample) -> float:
    """The last step's reward."""
    return sample.rewards[-1]


def auroc(pairs: Iterable[tuple[float, bool]]) -> tuple[float, int]:
    """Return concordant pairs of right and wrong (ties half), and how many pairs there are."""
    rows = list(pairs)
    right = np.array([reward for reward, good in rows if good])
    wrong = np.sort([reward for reward, good in rows if not good])
    if not len(right) or not len(wrong):
        return 0.0, 0
    below = np.searchsorted(wrong, right, "left") + np.searchsorted(wrong, right, "right")
    return float(below.sum()) / 2, len(right) * len(wrong)


def judgements(samples: Sequence[Sample], whole: bool) -> dict[int, list[tuple[float, bool]]]:
    """Collect (reward, right) by step number, of all steps or up to the first error."""
    found: dict[int, list[tuple[float, bool]]] = defaultdict(list)
    for sample in samples:
        for number, (reward, good) in enumerate(zip(sample.rewards, sample.right, strict=True)):
            found[number].append((reward, good))
            if not good and not whole:
                break
    return found


def within(drawn: Sequence[Sequence[Sample]], whole: bool) -> tuple[list[float], list[int]]:
    """Per problem, concordant and all pairs of steps of the same number."""
    good, count = [], []
    for samples in drawn:
        pairs = [auroc(rows) for rows in judgements(samples, whole).values()]
        good.append(sum(pair[0] for pair in pairs))
        count.append(sum(pair[1] for pair in pairs))
    return good, count


def pass_at(right: int, count: int, k: int) -> float:
    """The unbiased chance that one of `k` samples is right, from `right` of `count`."""
    return 1 - comb(count - right, k) / comb(count, k)


def interval(numerators: Sequence[float], denominators: Sequence[float] | None = None) -> str:
    """Format a ratio of sums with its bootstrap 95% interval."""
    above = np.asarray(numerators, float)
    below = np.ones_like(above) if denominators is None else np.asarray(denominators, float)
    picks = np.random.default_rng(0).integers(len(above), size=(2000, len(above)))
    spread = above[picks].sum(1) / np.maximum(below[picks].sum(1), 1e-9)
    low, high = np.quantile(spread, (0.025, 0.975))
    return f"{above.sum() / max(below.sum(), 1e-9):.3f} [{low:.3f}, {high:.3f}]"


def report(problems: Sequence[Problem], drawn: Sequence[Sequence[Sample]]) -> dict[str, str]:
    """Return every figure of the model card."""
    count = len(drawn[0])
    right = [sum(all(s.right) and s.answer == p.answer for s in samples)
             for p, samples in zip(problems, drawn, strict=True)]  # fmt: skip
    answers = [[s.answer == p.answer for s in samples]
               for p, samples in zip(problems, drawn, strict=True)]  # fmt: skip
    figures = {"pass@1 (answer)": interval([sum(a) / count for a in answers])}
    figures["pass@1 (every step right)"] = interval([r / count for r in right])
    for k in (4, 16, 64):
        if k <= count:
            figures[f"pass@{k}"] = interval([pass_at(sum(a), count, k) for a in answers])
    for steps in sorted({len(p.steps) for p in problems}):
        rows = [sum(a) / count for p, a in zip(problems, answers, strict=True)
                if len(p.steps) == steps]  # fmt: skip
        figures[f"pass@1, {steps} steps"] = interval(rows)
    ways: dict[str, Callable[[Sample], float]] = {
        "majority": lambda s: 1.0, "weighted majority (last)": last,
        "weighted majority (prod)": lambda s: float(np.prod(s.rewards)),
    }  # fmt: skip
    score: dict[str, list[float]] = defaultdict(list)
    for problem, samples in zip(problems, drawn, strict=True):
        some = samples[:VOTES]
        for name, weight in ways.items():
            score[name].append(float(vote(some, weight) == problem.answer))
        for name, key in (("last", last), ("min", lambda s: min(s.rewards))):
            best = max(some, key=key).answer
            score[f"best-of-n ({name})"].append(float(best == problem.answer))
    figures |= {f"{name} @{VOTES}": interval(values) for name, values in score.items()}
    gain = np.subtract(score["best-of-n (last)"], score["majority"])
    figures[f"best-of-{VOTES} (last) less majority@{VOTES}, paired"] = interval(list(gain))
    for name, whole in (("to the first error", False), ("whole prefixes", True)):
        tables = [judgements(samples, whole) for samples in drawn]
        pooled = auroc(pair for table in tables for rows in table.values() for pair in rows)
        figures[f"AUROC pooled, {name}"] = f"{pooled[0] / max(pooled[1], 1):.3f}"
        figures[f"AUROC within (problem, step), {name}"] = interval(*within(drawn, whole))
    errors = [s.right.index(False) for samples in drawn for s in samples if not all(s.right)]
    shares = np.bincount(errors, minlength=8) / max(len(errors), 1)
    figures["first errors by step"] = " ".join(f"{share:.2f}" for share in shares)
    return figures


def main() -> None:
    """Parse the command line, measure and print."""
    parser = argparse.ArgumentParser(
        prog="python -m ets.demo.training.evaluate", description=__doc__
    )
    parser.add_argument("--split", choices=["dev", "test"], default="dev")
    parser.add_argument("--problems", type=int, default=500)
    parser.add_argument("--samples", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--policy", type=Path, default=policy_path())
    parser.add_argument("--prm", type=Path, default=prm_path())
    parser.add_argument("--no-prm", action="store_true", help="measure the policy alone")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    begun = time.monotonic()
    problems = split_problems(args.split)[: args.problems]
    policy = cast(Policy, load(args.policy))
    prm = None if args.no_prm else cast(PRM, load(args.prm))
    figures = report(problems, draw(policy, prm, problems, args.samples, args.seed))
    of_prm = ("AUROC", "weighted", "best-of")
    for name, value in figures.items():
        if prm is None and name.startswith(of_prm):
            continue
        print(f"{name:55} {value}")
    print(f"{len(problems)} problems x {args.samples}, {time.monotonic() - begun:.0f} s")


if __name__ == "__main__":
    main()
