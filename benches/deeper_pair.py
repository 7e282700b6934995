"""Train a pair for problems of 8 to 16 steps: the bundled pair goes on with longer problems.

    python benches/deeper_pair.py WORK [--problems 90] [--samples 16]

The policy on solutions of 3 to 16 steps by a pupil who slips less often, so that a solution of
sixteen steps can still be right; the PRM on what that policy writes, mixed with slips; both from
the bundled weights and by the code that made those. Each stage goes on where it was stopped. Then
the figures of the model card on other problems of 8 to 16 steps.
"""

from __future__ import annotations

import argparse
import random
import time
from pathlib import Path
from typing import cast

import torch
from torch.nn import functional as F  # noqa: N812

from ets.demo import policy_path, prm_path
from ets.demo.task import Problem, make_problem
from ets.demo.training.collect import Collection, collect
from ets.demo.training.evaluate import draw, report
from ets.demo.training.fit import Run, Schedule, export_run
from ets.demo.training.model import PRM, Policy, load
from ets.demo.training.packing import IGNORE, Style, policy_batches
from ets.demo.training.slips import Pupil
from ets.demo.training.train import prm_loss

STEPS = range(8, 17)
"""Of the problems that the pair is for."""
LIMIT = 480
"""Tokens of the longest solution; sixteen steps have some 320."""
POLICY = Schedule(steps=450, muon=2e-3, adam=1.5e-3, warmup=20, hold=0.3)
PRM_ON_POLICY = Schedule(steps=450, muon=1.5e-3, adam=1e-3, warmup=20, hold=0.3, end=0.0)
PUPIL = Pupil(strong=0.35, weak=0.04, scattered=0.0)
ROWS, POOL, TREES = 12, 25, 5
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
    train_policy(given.work)
    policy = cast(Policy, load(given.work / "pair/policy"))
    collect(policy, given.work / "samples.jsonl", SEED, COLLECTED, learnt, LIMIT)
    train_prm(given.work, learnt)
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


def train_policy(work: Path) -> None:
    """Go on from the bundled policy, on the solution's tokens only."""
    run = Run(cast(Policy, load(policy_path()).train()), POLICY, work / "policy", every=120.0)
    number, batches = -1, []
    while not run.done:
        if run.step // POOL != number:
            number = run.step // POOL
            batches = policy_batches(SEED, number, PUPIL, POOL, ROWS, STEPS[-1])
        ids, targets = batches[run.step % POOL]
        keep = targets != IGNORE
        loss = F.cross_entropy(run.model.logits(run.model.model(ids)[keep]), targets[keep])
        run.update(loss, {"loss": loss.item()})
    export_run(Policy(), work / "policy", work / "pair/policy")


def train_prm(work: Path, problems: list[Problem]) -> None:
    """Go on from the bundled PRM, most branches sampled by the policy."""
    torch.manual_seed(SEED)
    model = cast(PRM, load(prm_path()).train())
    run = Run(model, PRM_ON_POLICY, work / "prm", every=120.0)
    collection = Collection(work / "samples.jsonl", SEED, DEEP, problems)
    while not run.done:
        loss, figures = prm_loss(model, collection.batch(run.step, TREES))
        run.update(loss, figures)
    export_run(PRM(), work / "prm", work / "pair/prm")


if __name__ == "__main__":
    main()
