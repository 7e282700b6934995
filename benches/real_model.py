"""A real policy and a PRM head trained on its own solutions, every strategy on the same problems.

    python benches/real_model.py WORK MODEL PROBLEMS.jsonl [--tested 60] [--trained-on 80] [--table]

MODEL is a checkpoint folder of the form of Qwen2 that follows instructions, PROBLEMS a data set of
`ets bench`; `--policy` is where the model runs, if not on vLLM in this process. First the policy
solves `--trained-on` problems behind the tested ones in trees that branch at each of the first
steps, so that a step's label is what several solutions from it came to; a head on the policy's own
layers learns those, and which of the continuations of one prefix ended better (`prm_head.py`). Then
every setting searches the tested problems, ten at a time, so that all have the same problems
whenever it is stopped. Hours on a CPU: rows, solutions and samples are kept in WORK, and the same
command goes on. `--table` only reads what is there.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoTokenizer

import ets
from ets.answer import same_answer
from ets.bench.bank import SampleBank, identity
from ets.bench.banked import BankedPolicy, BankedPRM
from ets.bench.dataset import load_dataset
from ets.bench.grid import Cell
from ets.bench.measure import measure
from ets.engines import PRM, Policy
from ets.policy import load_policy
from ets.prm import load_prm
from ets.problems.problem import Problem
from ets.rollout.result import SearchResult
from ets.strategy import Decision, Strategy, View
from fresh import Row, Rows, accuracy, keyed, less_kv, points, right_share, shared, times
from prm_head import Solution, auroc_within, train_prm

E = TypeVar("E", Policy, PRM)

SEED = 0
AT_ONCE = 10
"""Problems that all settings search before the next ones."""
VLLM = {"dtype": "float32", "max_model_len": 1024}
POLICY = {
    "temperature": 0.8,
    "system_prompt": "Please reason step by step, and put your final answer within \\boxed{}.",
}
LIMITS: dict[str, Any] = {"max_tokens": 400, "max_step_tokens": 200}


@dataclass(frozen=True, slots=True)
class Branching:
    """Rollouts from each of the first prefixes: `branches[d]` continuations of each at depth d, and
    one below."""

    branches: tuple[int, ...] = (4, 2, 2)
    needs_embeddings: bool = False

    @property
    def width(self) -> int:
        """Solutions of a tree of which none ends early."""
        return int(np.prod(self.branches))

    def decide(self, view: View) -> Decision:
        """As many for each."""
        each = self.branches[view.depth] if view.depth < len(self.branches) else 1
        n = len(view.nodes)
        return Decision(order=np.arange(n), counts=np.full(n, each, dtype=np.int64))


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
    parser.add_argument("--width", type=int, default=8)
    parser.add_argument("--table", action="store_true")
    given = parser.parse_args()
    if not given.table:
        given.work.mkdir(exist_ok=True)
        problems = load_dataset(given.problems)
        tested, rest = problems[: given.tested], problems[given.tested :]
        options = POLICY if given.policy else POLICY | VLLM
        with (
            SampleBank(given.work / "bank.sqlite") as bank,
            closed(load_policy(given.policy or f"vllm:{given.model}", **options)) as policy,
        ):
            banked = BankedPolicy(policy, bank, identity(given.model.name, options))
            solved = collect(given.work / "solutions.jsonl", banked, rest[: given.trained_on])
            prm_path = given.work / "prm"
            if not prm_path.exists():
                base = as_prm(given.model, given.work / "prm-base")
                reached = train_prm(solved, base, prm_path, contrast=1.0)
                (given.work / "auroc.json").write_text(json.dumps(reached) + "\n")
            with closed(load_prm(f"transformers:{prm_path}")) as prm:
                judge = BankedPRM(prm, bank, identity(prm_path.name, {}))
                search(given.work, banked, judge, tested, given.width)
    print_table(given.work, given.width)


@contextmanager
def closed(engine: E) -> Iterator[E]:
    """An engine, closed at the end."""
    try:
        yield engine
    finally:
        asyncio.run(engine.aclose())


def collect(file: Path, policy: Policy, problems: Sequence[Problem]) -> dict[str, list[Solution]]:
    """The solutions of each problem in trees that branch, and which are right."""
    done = {row["problem"] for row in read(file)}
    todo = {problem.text: problem for problem in problems if problem.text not in done}
    strategy = Branching()
    with (
        ets.Search(policy=policy, prm="none", strategy=strategy, seed=SEED, **LIMITS) as writer,
        file.open("a", encoding="utf-8") as out,
    ):
        for result in writer.map(list(todo), ordered=False, concurrency=4):
            expected = todo[str(result.problem)].expected or ""
            row = {"problem": result.problem, "solutions": solutions_of(result, expected)}
            out.write(json.dumps(row) + "\n")
            out.flush()
            print(f"solved {len(done) + 1}: {result.usage.policy_tokens} tokens", flush=True)
            done.add(result.problem)
    texts = {problem.text for problem in problems}
    return {
        row["problem"]: [Solution(tuple(one["steps"]), one["right"]) for one in row["solutions"]]
        for row in read(file)
        if row["problem"] in texts and row["solutions"]
    }


def solutions_of(result: SearchResult, expected: str) -> list[dict[str, Any]]:
    """Those that were finished; equal ones count as often as they came."""
    found = []
    for done, solution in zip(result.tree.trajectories, result.trajectories, strict=True):
        steps = [text for text in done.texts if text is not None and text.strip()]
        if done.finished and steps:
            right = solution.answer is not None and same_answer(solution.answer, expected)
            found.append({"steps": steps, "right": right})
    return found


def as_prm(model: Path, target: Path) -> Path:
    """The checkpoint in the form of Qwen2.5-Math-PRM, its head still of zeros."""
    shutil.rmtree(target, ignore_errors=True)
    config = AutoConfig.from_pretrained(model)
    tokenizer = AutoTokenizer.from_pretrained(model)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<extra_0>"]})
    tokenizer.save_pretrained(target)
    weights = load_file(model / "model.safetensors")
    weights.pop("lm_head.weight", None)
    words = weights["model.embed_tokens.weight"]
    if len(tokenizer) > len(words):
        raise SystemExit(f"{model} has {len(words)} rows of embeddings for {len(tokenizer)} tokens")
    size = config.hidden_size
    for place, shape in (("0", (size, size)), ("2", (2, size))):
        weights[f"score.{place}.weight"] = torch.zeros(shape, dtype=words.dtype)
        weights[f"score.{place}.bias"] = torch.zeros(shape[0], dtype=words.dtype)
    config.architectures = ["Qwen2ForProcessRewardModel"]
    config.num_labels = 2
    config.tie_word_embeddings = False
    config.save_pretrained(target)
    save_file(weights, target / "model.safetensors", metadata={"format": "pt"})
    return target


def search(work: Path, policy: Policy, prm: PRM, tested: Sequence[Problem], width: int) -> None:
    """Every setting over the problems that it has no row of, ten problems after ten."""
    done = {name: {row["id"] for row in found(work, width, name)} for name in settings(width)}
    for start in range(0, len(tested), AT_ONCE):
        for name, strategy in settings(width).items():
            some = tested[start : start + AT_ONCE]
            todo = {problem.text: problem for problem in some if problem.key not in done[name]}
            if not todo:
                continue
            cell = Cell(name, (("width", width),))
            with (
                ets.Search(policy=policy, prm=prm, strategy=strategy, seed=SEED, **LIMITS) as one,
                (work / f"w{width}-{name}.jsonl").open("a", encoding="utf-8") as out,
            ):
                for result in one.map(list(todo), ordered=False, concurrency=4):
                    problem = todo[str(result.problem)]
                    rewards = [list(done.rewards) for done in result.tree.trajectories]
                    row = measure(cell, SEED, problem, result) | {"rewards": rewards}
                    out.write(json.dumps(row) + "\n")
                    out.flush()
            print(f"{name}: {start + len(some)} problems", flush=True)


def read(file: Path) -> list[Row]:
    """Its whole lines; a run that was killed may have left a part of one."""
    if not file.exists():
        return []
    whole = file.read_text("utf-8").splitlines(keepends=True)
    return [json.loads(line) for line in whole if line.endswith("\n")]


def found(work: Path, width: int, name: str) -> list[Row]:
    """The searches of a setting."""
    return read(work / f"w{width}-{name}.jsonl")


def print_table(work: Path, width: int) -> None:
    """As Markdown: each beside REBASE on the problems that all have."""
    rows = {name: keyed(found(work, width, name)) for name in settings(width)}
    common = set.intersection(*(set(some) for some in rows.values()))
    rows = {name: {key: some[key] for key in common} for name, some in rows.items()}
    if not common:
        print("no problem has been searched by every setting yet")
        return
    base, samples = rows["rebase"], rows["best-of-n"]
    judged = [
        ((row["id"], depth), reward, hit)
        for row in samples.values()
        for rewards, hit in zip(row["rewards"], row["hits"], strict=True)
        for depth, reward in enumerate(rewards)
    ]
    trained = read(work / "auroc.json")
    print(
        f"{len(common)} problems; of independent samples {share(samples):.0%} right, "
        f"{np.mean([n for row in samples.values() for n in row['tokens']]):.0f} tokens; AUROC of "
        f"the PRM within problem and step {auroc_within(judged):.3f}, on those held out of its "
        f"training {trained[0] if trained else float('nan'):.3f}\n"
    )
    print(
        "| setting | right (95%) | points to REBASE (95%) | points of the vote (95%) "
        "| KV before (95%) | peak | KV kept | steps |\n" + "| --- " * 8 + "|"
    )
    for name, some in rows.items():
        keys = shared(some, base)
        mine, theirs = [some[key] for key in keys], [base[key] for key in keys]
        print(
            f"| {name} | {accuracy(keys, some)} "
            f"| {points(keys, some, base)} | {points(keys, some, base, right_share)} "
            f"| {less_kv(keys, some, base)} | {times(theirs, mine, 'before', 'peak')} "
            f"| {times(theirs, mine, 'after', 'sum')} | {np.mean([r['steps'] for r in mine]):.1f} |"
        )
    majority = np.mean([row["right"]["majority"] for row in samples.values()])
    print(f"\nPlain majority of the independent samples: {majority:.1%} right.")


def share(rows: Rows) -> float:
    """Of all solutions, those that are right."""
    hits = [hit for row in rows.values() for hit in row["hits"]]
    return float(np.mean(hits))


if __name__ == "__main__":
    main()
