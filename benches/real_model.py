"""A real policy and a PRM head trained on its own solutions, every strategy on the same problems.

    python benches/real_model.py WORK MODEL PROBLEMS.jsonl [--tested 60] [--trained-on 80]

MODEL is a checkpoint folder of the form of Qwen2 that follows instructions, PROBLEMS a data set of
`ets bench`; `--policy` is where the model runs, if not on vLLM in this process. First a PRM is
trained on `--trained-on` problems behind the tested ones (`real_prm.py`), or that of another WORK
is taken (`--prm WORK/prm`); then every setting searches the tested problems, thirty at a time, so
that all have much the same problems whenever it is stopped. With `--truth AUROC` what rollouts from
each step came to, blurred, stands in the PRM's place (`rollout_truth.py`). Hours on a CPU: rows,
solutions and samples are kept in WORK, and the same command goes on. `real_searches.py` prints the
table of what is there.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import product
from pathlib import Path
from typing import TextIO, TypeVar

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
from ets.tree_search.search import TreeSearch
from packed_linear import pack_linear_layers
from real_prm import IN_FLIGHT, LIMITS, SEED, borrowed_prm, trained_prm
from real_searches import Searched, print_table
from rollout_truth import RolloutTruth

E = TypeVar("E", Policy, PRM)

AT_ONCE = 30
"""Problems that all settings begin before the next ones."""
VLLM = {"dtype": "float32", "max_model_len": 1024}
POLICY = {
    "system_prompt": "Please reason step by step, and put your final answer within \\boxed{}."
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
        "mpts-mass-0.75": mpts(min_mass=0.75),
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
    parser.add_argument(
        "--skip", type=int, default=0, help="problems passed over, such as some looked at before"
    )
    parser.add_argument("--tested", type=int, default=60)
    parser.add_argument("--trained-on", type=int, default=80)
    parser.add_argument(
        "--prm", type=Path, help="one that is there already, such as that of another WORK"
    )
    parser.add_argument("--temperature", type=float, default=0.8)
    parser.add_argument("--top-p", type=float, default=1.0)
    parser.add_argument("--width", type=int, default=8)
    parser.add_argument("--strategies", type=lambda names: names.split(","), metavar="NAME,...")
    parser.add_argument("--truth", type=float, metavar="AUROC")
    given = parser.parse_args()
    every = settings(given.width)
    compared = {name: every[name] for name in given.strategies or every}
    rows = Searched(given.work, given.width, given.truth)
    given.work.mkdir(exist_ok=True)
    problems = distinct(load_dataset(given.problems))[given.skip :]
    tested, rest = problems[: given.tested], problems[given.tested :]
    sampling = {"temperature": given.temperature, "top_p": given.top_p}
    options = POLICY | sampling | ({} if given.policy else VLLM)
    with (
        SampleBank(given.work / "bank.sqlite") as bank,
        closed(load_policy(given.policy or f"vllm:{given.model}", **options)) as policy,
    ):
        pack_linear_layers()
        banked = BankedPolicy(policy, bank, identity(given.model.name, options))
        if given.truth is not None:
            truth = RolloutTruth(
                banked,
                {problem.text: problem.expected or "" for problem in tested},
                auroc=given.truth,
                rollouts=ROLLOUTS,
                max_tokens=LIMITS["max_tokens"],
            )
            asyncio.run(search(rows, banked, truth, tested, compared))
            print(f"rollouts: {truth.tokens} tokens")
        else:
            if given.prm:
                trained = borrowed_prm(given.work, given.prm)
            else:
                training = rest[: given.trained_on]
                trained = trained_prm(given.work, given.model, banked, training)
            with closed(load_prm(f"transformers:{trained}", max_batch=PRM_BATCH)) as prm:
                judge = BankedPRM(prm, bank, identity(trained.name, {}))
                asyncio.run(search(rows, banked, judge, tested, compared))
    print_table(rows, list(compared), "rebase")


def distinct(problems: Sequence[Problem]) -> list[Problem]:
    """The first of each text."""
    first: dict[str, Problem] = {}
    for problem in problems:
        first.setdefault(problem.text, problem)
    return list(first.values())


@contextmanager
def closed(engine: E) -> Iterator[E]:
    """An engine, closed at the end."""
    try:
        yield engine
    finally:
        asyncio.run(engine.aclose())


async def search(
    rows: Searched,
    policy: Policy,
    prm: PRM,
    tested: Sequence[Problem],
    compared: dict[str, Strategy],
) -> None:
    """Every setting over the problems that it has no row of, in the order of `turns`.

    A search begins when another ends: were each setting waited for, the engine would often write
    for the few that are left.
    """
    done = {name: {row["id"] for row in rows.of(name)} for name in compared}
    free = asyncio.Semaphore(IN_FLIGHT)

    async def one(name: str, problem: Problem, found: TextIO) -> None:
        async with free:
            result = await searches[name].asolve(problem.text)
        cell = Cell(name, (("width", rows.width),))
        rewards = [list(solution.rewards) for solution in result.tree.trajectories]
        more = {"rewards": rewards, "continued": continued(result.tree)}
        row = measure(cell, SEED, problem, result) | more
        found.write(json.dumps(row) + "\n")
        found.flush()
        print(f"{name}: {problem.key}", flush=True)

    with (
        ets.Search(policy=policy, prm=prm, seed=SEED, **LIMITS) as engines,
        ExitStack() as stack,
    ):
        searches = {name: engines.beside(strategy=strategy) for name, strategy in compared.items()}
        files = {
            name: stack.enter_context(rows.file(name).open("a", encoding="utf-8"))
            for name in compared
        }
        await asyncio.gather(
            *(
                one(name, problem, files[name])
                for name, problem in turns(tested, compared)
                if problem.key not in done[name]
            )
        )


def continued(tree: TreeSearch) -> list[int]:
    """How many candidates of each step were continued."""
    nodes = tree.nodes
    depths = Counter(
        depth for depth, asked in zip(nodes.depth, nodes.requested, strict=True) if depth and asked
    )
    return [depths[depth] for depth in range(1, max(depths, default=0) + 1)]


def turns(tested: Sequence[Problem], compared: Iterable[str]) -> Iterator[tuple[str, Problem]]:
    """Block after block, so that all settings have much the same problems whenever it is stopped;
    in a block a setting after another, which finds the samples that they share."""
    for start in range(0, len(tested), AT_ONCE):
        yield from product(compared, tested[start : start + AT_ONCE])


if __name__ == "__main__":
    main()
