"""Make the bundled models: `python -m ets.demo.training.train all` (see `docs/demo-models.md`).

Every stage resumes from its checkpoint in the work folder and is skipped when it is done.
"""

from __future__ import annotations

import argparse
import functools
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from ets.demo import policy_path, prm_path
from ets.demo.task import MAX_STEPS
from ets.demo.tokenizer import TAG, token_id
from ets.demo.training.collect import Collection, collect
from ets.demo.training.fit import Run, Schedule, export_run, load_weights
from ets.demo.training.model import PRM, Policy, grow
from ets.demo.training.packing import IGNORE, TreeBatch, policy_batches, tree_batch
from ets.demo.training.slips import Pupil

PUPIL = Pupil(strong=0.6, weak=0.12, scattered=0.03)
GENTLER, GENTLER_FROM = Pupil(strong=0.55, weak=0.06, scattered=0.0), 1760
"""From this step on the pupil slips less, since the network adds errors of its own."""
POLICY = Schedule(steps=2600)
PRM_FIRST = Schedule(steps=1500, muon=1.5e-3, adam=1e-3, grown=4, hold=0.6, end=0.3)
PRM_SECOND = Schedule(
    steps=1000, muon=1.5e-3, adam=1e-3, grown=4, start=0.3, hold=0.2, end=0.0, warmup=20
)
SHORT = 0.1
"""The share of steps with short problems only (at most four steps), which are learnt first."""
ROWS, POOL = 16, 32
TREES = 8


def train_policy(work: Path, seed: int, every: float) -> None:
    """Train the policy on the careless pupil's solutions, on the solution's tokens only."""
    torch.manual_seed(seed)
    model = Policy()
    run = Run(model, POLICY, work / "policy", every)
    pool = functools.lru_cache(maxsize=1)(policy_batches)
    while not run.done:
        longest = 4 if run.step < SHORT * POLICY.steps else MAX_STEPS
        pupil = PUPIL if run.step < GENTLER_FROM else GENTLER
        batches = pool(seed, run.step // POOL, pupil, POOL, ROWS, longest)
        ids, targets = batches[run.step % POOL]
        keep = targets != IGNORE
        loss = F.cross_entropy(model.logits(model.model(ids)[keep]), targets[keep])
        run.update(loss, {"loss": loss.item()})


def train_prm(work: Path, seed: int, every: float) -> None:
    """Train the PRM on packed trees whose wrong branches the slip generator makes."""
    torch.manual_seed(seed + 1)
    policy, model = Policy(), PRM()
    load_weights(policy, work / "policy")
    grow(model, policy)
    run = Run(model, PRM_FIRST, work / "prm", every)
    while not run.done:
        loss, figures = prm_loss(model, tree_batch(seed, run.step, TREES))
        run.update(loss, figures)


def collect_samples(work: Path, seed: int) -> None:
    """Sample the solutions of the PRM's second stage from the finished policy."""
    policy = Policy()
    load_weights(policy, work / "policy")
    collect(policy.eval(), work / "samples.jsonl", seed)


def train_prm_on_policy(work: Path, seed: int, every: float) -> None:
    """Train the PRM further on what the policy really writes, mixed with slips."""
    model = PRM()
    load_weights(model, work / "prm")
    run = Run(model, PRM_SECOND, work / "prm-on-policy", every)
    collection = Collection(work / "samples.jsonl", seed)
    while not run.done:
        loss, figures = prm_loss(model, collection.batch(run.step, TREES))
        run.update(loss, figures)


def prm_loss(
    model: PRM, batch: TreeBatch, language: float = 1.0, dense: float = 1.0, pairs: float = 0.5
) -> tuple[Tensor, dict[str, float]]:
    """Judge every tag (right and wrong weighing the same), every token, siblings, and words.

    The judgement of single tokens ("all right so far?") gives fifteen times as many signals as
    the tags alone; the search for the first wrong token teaches it to compare what stands there
    with what it expected there.
    """
    hidden = model.model(batch.ids, batch.positions, batch.mask)
    spoken = batch.labels != IGNORE
    margins, labels = model.margin(hidden[spoken]), batch.labels[spoken].float()
    each = F.binary_cross_entropy_with_logits(margins, labels, reduction="none")
    tags = batch.ids[spoken] == token_id(TAG)
    right, wrong = tags & (labels == 1), tags & (labels == 0)
    steps = (each[right].mean() + each[wrong].mean()) / 2
    rows = torch.arange(len(batch.ids)).unsqueeze(1) * (MAX_STEPS + 1)
    groups = torch.where(batch.groups >= 0, batch.groups + rows, -1)[spoken]
    high, low = right & (groups >= 0), wrong & (groups >= 0)
    same = groups[high].unsqueeze(1) == groups[low]
    gaps = (margins[high].unsqueeze(1) - margins[low])[same]
    ranking = F.softplus(-gaps).mean()
    suspects = batch.faults != IGNORE
    guesses = model.fault(hidden[suspects]).squeeze(-1)
    faults = batch.faults[suspects].float()
    each_fault = F.binary_cross_entropy_with_logits(guesses, faults, reduction="none")
    local = (each_fault[faults == 1].mean() + each_fault[faults == 0].mean()) / 2
    learn = batch.targets != IGNORE
    words = F.cross_entropy(model.logits(hidden[learn]), batch.targets[learn])
    loss = steps + dense * each[~tags].mean() + pairs * ranking + language * words + local
    return loss, {
        "steps": steps.item(), "dense": each[~tags].mean().item(), "local": local.item(),
        "words": words.item(),
        "pairs_right": (gaps > 0).float().mean().item(),
    }  # fmt: skip


def main() -> None:
    """Parse the command line and run the stages."""
    parser = argparse.ArgumentParser(prog="python -m ets.demo.training.train", description=__doc__)
    stages = ["policy", "prm", "collect", "prm-on-policy", "export", "all"]
    parser.add_argument("stage", choices=stages, nargs="?", default="all")
    parser.add_argument("--work", type=Path, default=Path("build/demo"), help="checkpoints")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--every", type=float, default=120.0, help="seconds between checkpoints")
    parser.add_argument("--policy-out", type=Path, default=policy_path())
    parser.add_argument("--prm-out", type=Path, default=prm_path())
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.stage in ("policy", "all"):
        train_policy(args.work, args.seed, args.every)
    if args.stage in ("prm", "all"):
        train_prm(args.work, args.seed, args.every)
    if args.stage in ("collect", "all"):
        collect_samples(args.work, args.seed)
    if args.stage in ("prm-on-policy", "all"):
        train_prm_on_policy(args.work, args.seed, args.every)
    if args.stage in ("export", "all"):
        export_run(Policy(), args.work / "policy", args.policy_out)
        export_run(PRM(), args.work / "prm-on-policy", args.prm_out)


if __name__ == "__main__":
    main()
