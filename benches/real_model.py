"""A real policy and a PRM head trained on its own solutions, every strategy on the same problems.

    python benches/real_model.py WORK MODEL PROBLEMS.jsonl [--tested 60] [--trained-on 80] [--table]

MODEL is a checkpoint folder of the form of Qwen2 that follows instructions, PROBLEMS a data set of
`ets bench`; `--policy` is where the model runs, if not on vLLM in this process. First a PRM is
trained on `--trained-on` problems behind the tested ones (`real_prm.py`), or that of another WORK
is taken (`--prm WORK/prm`); then every setting searches the tested problems, thirty at a time, so
that all have the same problems whenever it is stopped. With `--truth AUROC` what rollouts from
each step came to, blurred, stands in the PRM's place (`rollout_truth.py`). Hours on a CPU: rows,
solutions and samples are kept in WORK, and the same command goes on. `--table` only reads what is
there.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np

import ets
from ets.bench.bank import SampleBank, identity
from ets.bench.banked import BankedPolicy, BankedPRM
from ets.bench.dataset import load_dataset
from ets.bench.grid import Cell
from ets.bench.measure import measure
from ets.engines import PRM, Policy
from ets.policy import load_policy
from ets.prm import load_prm
from ets.problems.problem import Problem
from ets.strategy import Strategy
from fresh import beside, keyed, shared
from kept_searches import Row, Rows
from prm_head import auroc_within
from real_prm import IN_FLIGHT, LIMITS, SEED, borrowed_prm, read, trained_prm
from rollout_truth import RolloutTruth

E = TypeVar("E", Policy, PRM)

AT_ONCE = 30
"""Problems that all settings search before the next ones."""
VLLM = {"dtype": "float32", "max_model_len": 1024}
POLICY = {
    "temperature": 0.8,
    "system_prompt": "Please reason step by step, and put your final answer within \\boxed{}.",
}
PRM_BATCH = 2
"""Solutions in one pass: on a CPU steps of unlike lengths cost more filled up than one by one."""
ROLLOUTS = 1
"""From each step, where the truth is asked."""


def settings(width: int) -> dict[str, Strategy]:
    """By name, what is held against what."""
    mpts = partial(ets.MPTS, width=width)
    return {
        "rebase": ets.REBASE(width=width),
        "mpts": mpts(),
        "mpts-text": mpts(clusters="text", rho=0.0),
        "ets": ets.ETS(width=width),
        "dvts": ets.DVTS(width=width, subtrees=width // 4),
        "best-of-n": ets.BestOfN(width=width),
    }


def main() -> None:
    """Collect, train, search, print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("work", type=Path)
    parser.add_argument("model", type=Path)
    parser.add_argument("problems")
    parser.add_argument("--policy")
    parser.add_argument("--tested", type=int, default=60)
    parser.add_argument("--trained-on", type=int, default=80)
    parser.add_argument(
        "--prm", type=Path, help="one that is there already, such as that of another WORK"
    )
    parser.add_argument("--width", type=int, default=8)
    parser.add_argument("--strategies", type=lambda names: names.split(","), metavar="NAME,...")
    parser.add_argument("--truth", type=float, metavar="AUROC")
    parser.add_argument("--base", default="rebase", help="what others are held against")
    parser.add_argument("--table", action="store_true")
    given = parser.parse_args()
    every = settings(given.width)
    compared = {name: every[name] for name in given.strategies or every}
    rows = Searched(given.work, given.width, given.truth)
    if not given.table:
        given.work.mkdir(exist_ok=True)
        problems = distinct(load_dataset(given.problems))
        tested, rest = problems[: given.tested], problems[given.tested :]
        options = POLICY if given.policy else POLICY | VLLM
        with (
            SampleBank(given.work / "bank.sqlite") as bank,
            closed(load_policy(given.policy or f"vllm:{given.model}", **options)) as policy,
        ):
            banked = BankedPolicy(policy, bank, identity(given.model.name, options))
            if given.truth is not None:
                truth = RolloutTruth(
                    banked,
                    {problem.text: problem.expected or "" for problem in tested},
                    auroc=given.truth,
                    rollouts=ROLLOUTS,
                    max_tokens=LIMITS["max_tokens"],
                )
                search(rows, banked, truth, tested, compared)
                print(f"rollouts: {truth.tokens} tokens")
            else:
                if given.prm:
                    trained = borrowed_prm(given.work, given.prm)
                else:
                    training = rest[: given.trained_on]
                    trained = trained_prm(given.work, given.model, banked, training)
                with closed(load_prm(f"transformers:{trained}", max_batch=PRM_BATCH)) as prm:
                    judge = BankedPRM(prm, bank, identity(trained.name, {}))
                    search(rows, banked, judge, tested, compared)
    print_table(rows, list(dict.fromkeys([*compared, given.base])), given.base)


def distinct(problems: Sequence[Problem]) -> list[Problem]:
    """The first of each text."""
    first: dict[str, Problem] = {}
    for problem in problems:
        first.setdefault(problem.text, problem)
    return list(first.values())


@dataclass(frozen=True, slots=True)
class Searched:
    """Where the rows of each setting are."""

    work: Path
    width: int
    truth: float | None

    def file(self, name: str) -> Path:
        """Of one setting."""
        judge = "" if self.truth is None else f"truth-{self.truth}-"
        return self.work / f"w{self.width}-{judge}{name}.jsonl"

    def of(self, name: str) -> list[Row]:
        """The searches of a setting."""
        return read(self.file(name))


@contextmanager
def closed(engine: E) -> Iterator[E]:
    """An engine, closed at the end."""
    try:
        yield engine
    finally:
        asyncio.run(engine.aclose())


def search(
    rows: Searched,
    policy: Policy,
    prm: PRM,
    tested: Sequence[Problem],
    compared: dict[str, Strategy],
) -> None:
    """Every setting over the problems that it has no row of, block after block."""
    done = {name: {row["id"] for row in rows.of(name)} for name in compared}
    for start in range(0, len(tested), AT_ONCE):
        for name, strategy in compared.items():
            some = tested[start : start + AT_ONCE]
            todo = {problem.text: problem for problem in some if problem.key not in done[name]}
            if not todo:
                continue
            cell = Cell(name, (("width", rows.width),))
            with (
                ets.Search(policy=policy, prm=prm, strategy=strategy, seed=SEED, **LIMITS) as one,
                rows.file(name).open("a", encoding="utf-8") as out,
            ):
                for result in one.map(list(todo), ordered=False, concurrency=IN_FLIGHT):
                    problem = todo[str(result.problem)]
                    rewards = [list(done.rewards) for done in result.tree.trajectories]
                    row = measure(cell, SEED, problem, result) | {"rewards": rewards}
                    out.write(json.dumps(row) + "\n")
                    out.flush()
            print(f"{name}: {start + len(some)} problems", flush=True)


def print_table(searched: Searched, names: Sequence[str], baseline: str) -> None:
    """As Markdown: each beside the baseline on the problems that all have."""
    rows = {name: keyed(searched.of(name)) for name in names}
    common = set.intersection(*(set(some) for some in rows.values()))
    rows = {name: {key: some[key] for key in common} for name, some in rows.items()}
    if not common:
        print("no problem has been searched by every setting yet")
        return
    print(f"{len(common)} problems{quality(searched, rows)}\n")
    base = rows[baseline]
    print(
        f"| setting | right (95%) | points to {baseline} (95%) | points of the vote (95%) "
        "| KV before (95%) | peak | KV kept | steps |\n" + "| --- " * 8 + "|"
    )
    for name, some in rows.items():
        keys = shared(some, base)
        steps = np.mean([some[key]["steps"] for key in keys])
        print(f"| {name} | {beside(keys, some, base)} | {steps:.1f} |")


def quality(searched: Searched, rows: dict[str, Rows]) -> str:
    """What is known of the samples and of who judges them."""
    judge = "" if searched.truth is None else f"; rollouts blurred to AUROC {searched.truth}"
    if "best-of-n" not in rows:
        return judge
    samples = rows["best-of-n"]
    judged = [
        ((row["id"], depth), reward, hit)
        for row in samples.values()
        for rewards, hit in zip(row["rewards"], row["hits"], strict=True)
        for depth, reward in enumerate(rewards)
    ]
    tokens = np.mean([n for row in samples.values() for n in row["tokens"]])
    majority = np.mean([row["right"]["majority"] for row in samples.values()])
    held_out = read(searched.work / "auroc.json") if searched.truth is None else []
    return (
        f"{judge}; of independent samples {share(samples):.0%} right, {tokens:.0f} tokens, their "
        f"plain majority {majority:.1%}; AUROC of rewards within problem and step "
        f"{auroc_within(judged):.3f}"
        + "".join(f", on problems held out of training {reached:.3f}" for reached in held_out)
    )


def share(rows: Rows) -> float:
    """Of all solutions, those that are right."""
    hits = [hit for row in rows.values() for hit in row["hits"]]
    return float(np.mean(hits))


if __name__ == "__main__":
    main()
