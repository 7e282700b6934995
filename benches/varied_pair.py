"""Train the pair of the varied task: the bundled pair goes on with other words.

    python benches/varied_pair.py WORK [--problems 100] [--samples 16]

The policy on the careless pupil's solutions, the PRM on what that policy writes, mixed with slips,
both from the bundled weights and by the code that made those; each stage goes on where it was
stopped. Then the figures of the model card on problems of the `dev` split.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import cast

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from ets.demo import policy_path, prm_path
from ets.demo.splits import split_problems
from ets.demo.training.collect import Collection, collect
from ets.demo.training.evaluate import draw, report
from ets.demo.training.fit import Run, Schedule, export_run
from ets.demo.training.model import PRM, Policy, load
from ets.demo.training.packing import IGNORE, policy_batches
from ets.demo.training.train import GENTLER, prm_loss
from varied_wording import VARIED

POLICY = Schedule(steps=450, muon=2e-3, adam=1.5e-3, warmup=20, hold=0.3)
PRM_ON_POLICY = Schedule(steps=450, muon=1.5e-3, adam=1e-3, warmup=20, hold=0.3, end=0.0)
ROWS, POOL, TREES = 16, 25, 6
COLLECTED = 480
"""Problems whose sampled solutions the PRM learns from."""
SEED = 7


def main() -> None:
    """Run the stages that are missing, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("work", type=Path)
    parser.add_argument("--problems", type=int, default=100)
    parser.add_argument("--samples", type=int, default=16)
    given = parser.parse_args()
    torch.set_num_threads(1)
    begun = time.process_time()
    train_policy(
        given.work,
        lambda number: policy_batches(SEED, number, GENTLER, POOL, ROWS, style=VARIED),
    )
    collect(cast(Policy, load(given.work / "pair/policy")), given.work / "samples.jsonl", SEED,
            COLLECTED)  # fmt: skip
    train_prm(given.work, Collection(given.work / "samples.jsonl", SEED, VARIED), TREES)
    print(f"trained: {time.process_time() - begun:.0f} s of processor time", flush=True)
    problems = split_problems("dev")[: given.problems]
    policy, prm = load(given.work / "pair/policy"), load(given.work / "pair/prm")
    drawn = draw(cast(Policy, policy), cast(PRM, prm), problems, given.samples, SEED, VARIED)
    for name, value in report(problems, drawn).items():
        print(f"{name:55} {value}")


def train_policy(work: Path, pool: Callable[[int], list[tuple[Tensor, Tensor]]]) -> None:
    """Go on from the bundled policy, on the solution's tokens only; pools of `POOL` batches."""
    run = Run(cast(Policy, load(policy_path()).train()), POLICY, work / "policy", every=120.0)
    number, batches = -1, []
    while not run.done:
        if run.step // POOL != number:
            number = run.step // POOL
            batches = pool(number)
        ids, targets = batches[run.step % POOL]
        keep = targets != IGNORE
        loss = F.cross_entropy(run.model.logits(run.model.model(ids)[keep]), targets[keep])
        run.update(loss, {"loss": loss.item()})
    export_run(Policy(), work / "policy", work / "pair/policy")


def train_prm(work: Path, collection: Collection, trees: int) -> None:
    """Go on from the bundled PRM, most branches sampled by the policy; so many trees a batch."""
    torch.manual_seed(collection.seed)
    model = cast(PRM, load(prm_path()).train())
    run = Run(model, PRM_ON_POLICY, work / "prm", every=120.0)
    while not run.done:
        loss, figures = prm_loss(model, collection.batch(run.step, trees))
        run.update(loss, figures)
    export_run(PRM(), work / "prm", work / "pair/prm")


if __name__ == "__main__":
    main()
