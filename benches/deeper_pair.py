"""Train a pair for problems of 8 to 16 steps: the bundled pair goes on with longer problems.

    python benches/deeper_pair.py WORK [--problems 90] [--samples 16]

The policy on solutions of 3 to 16 steps by a pupil who slips less often, so that a solution of
sixteen steps can still be right; the PRM on what that policy writes, mixed with slips; both from
the bundled weights, by the stages and rates of `varied_pair.py`. Each stage goes on where it was
stopped. Then the figures of the model card on other problems of 8 to 16 steps.
"""

from __future__ import annotations

import argparse
import random
import time
from pathlib import Path
from typing import cast

import torch

from ets.demo.task import Problem, make_problem
from ets.demo.training.collect import Collection, collect
from ets.demo.training.evaluate import draw, report
from ets.demo.training.model import PRM, Policy, load
from ets.demo.training.packing import Style, policy_batches
from ets.demo.training.slips import Pupil
from varied_pair import POOL, train_policy, train_prm

STEPS = range(8, 17)
"""Of the problems that the pair is for."""
LIMIT = 480
"""Tokens of the longest solution; sixteen steps have some 320."""
PUPIL = Pupil(strong=0.35, weak=0.04, scattered=0.0)
ROWS, TREES = 12, 5
DEEP = Style(length=704)
COLLECTED = 384
"""Problems whose sampled solutions the PRM learns from."""
SEED = 11


def main() -> None:
    """Run the stages that are missing, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("work", type=Path)
    parser.add_argument("--problems", type=int, default=90)
    parser.add_argument("--samples", type=int, default=16)
    given = parser.parse_args()
    torch.set_num_threads(1)
    begun = time.process_time()
    learnt = deep_problems("train", SEED, COLLECTED)
    train_policy(
        given.work,
        lambda number: policy_batches(SEED, number, PUPIL, POOL, ROWS, STEPS[-1]),
    )
    policy = cast(Policy, load(given.work / "pair/policy"))
    collect(policy, given.work / "samples.jsonl", SEED, COLLECTED, learnt, LIMIT)
    train_prm(given.work, Collection(given.work / "samples.jsonl", SEED, DEEP, learnt), TREES)
    print(f"trained: {time.process_time() - begun:.0f} s of processor time", flush=True)
    problems = deep_problems("dev", SEED, given.problems)
    prm = cast(PRM, load(given.work / "pair/prm"))
    drawn = draw(policy, prm, problems, given.samples, SEED, DEEP, LIMIT)
    for name, value in report(problems, drawn).items():
        print(f"{name:55} {value}")


def deep_problems(split: str, seed: int, count: int) -> list[Problem]:
    """Distinct problems of a split, of 8 to 16 steps in turn."""
    rng = random.Random(f"deep-{split}-{seed}")
    found: dict[str, Problem] = {}
    while len(found) < count:
        problem = make_problem(rng, STEPS[len(found) % len(STEPS)], split)
        found.setdefault(problem.text, problem)
    return list(found.values())


if __name__ == "__main__":
    main()
