"""Problems per minute on vLLM: `ets.Search` beside the loop of the published codes, in one run.

    python benches/throughput.py                          # the bundled pair on the CPU
    python benches/throughput.py --policy vllm:PATH --prm vllm:PATH --problems 32 --width 16 64

Every row searches the same problems with the same seeds on the same two engines, which are started
once; caches are emptied between rows. "Loop's share" is the part of the wall time that the same
search takes by itself, with engines that answer at once from a recording of the row; "process" is
the CPU time of this process, in which vLLM's front ends run too; "same trees" counts those that
equal the first loop's. Writes `build/throughput.json` and prints a table.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ets
from ets import demo
from ets.answer import same_answer
from ets.embed import load_embedder
from ets.rollout.usage import Usage
from ets.step import Prefix, Step
from ets.tree_search.search import TreeSearch
from level_synchronous import solve as level_synchronous
from random_rewards import RandomRewards
from recorded import Recording, Replay

Done = tuple[str | None, TreeSearch, Usage]
Run = Callable[[list[str]], list[Done]]


class Bench:
    """Two engines, the problems, and the rows so far."""

    def __init__(self, options: argparse.Namespace) -> None:
        from ets.policy.vllm import VLLMPolicy
        from ets.prm.vllm import VLLMPRM

        self.limits: dict[str, Any] = {
            "max_step_tokens": options.max_step_tokens,
            "max_tokens": options.max_tokens,
        }
        self.policy = VLLMPolicy(
            _path(options.policy), user_template=options.user_template, **options.policy_options
        )
        self.prm = VLLMPRM(_path(options.prm), **options.prm_options)
        self.scorer: Any = RandomRewards(self.prm) if options.random_rewards else self.prm
        self.problems = demo.problems()[: options.problems]
        self.rows: list[dict[str, Any]] = []
        self._first_trees: dict[str, list[TreeSearch]] = {}

    def measure(
        self, loop: str, what: str, width: int, run: Run, replay: Run | None = None
    ) -> None:
        """Time `run` over all problems and note what it took; `replay` does the same again, with
        engines that take no time."""
        problems = [str(problem["problem"]) for problem in self.problems]
        begin, cpu = time.perf_counter(), time.process_time()
        done = run(problems)
        seconds, cpu = time.perf_counter() - begin, time.process_time() - cpu
        alone = None
        if replay is not None:
            begin = time.perf_counter()
            replay(problems)
            alone = time.perf_counter() - begin
        read = sum(u.prm_tokens - u.prm_cached_tokens for _, _, u in done)
        nodes = sum(len(tree.nodes) - 1 for _, tree, _ in done)
        trees = [tree for _, tree, _ in done]
        first = self._first_trees.setdefault(f"{what}, {width}", trees)
        row = {
            "loop": loop,
            "strategy": what,
            "width": width,
            "seconds": seconds,
            "problems_per_minute": 60 * len(done) / seconds,
            "right": sum(
                answer is not None and same_answer(answer, str(problem["answer"]))
                for (answer, _, _), problem in zip(done, self.problems, strict=True)
            ),
            "samples": nodes,
            "policy_tokens": sum(u.policy_tokens for _, _, u in done),
            "policy_tokens_per_second": sum(u.policy_tokens for _, _, u in done) / seconds,
            "prm_read_per_needed": read / sum(self._needed(tree) for _, tree, _ in done),
            "preemptions": sum(u.policy_preemptions for _, _, u in done),
            "step_tokens": sum(u.policy_tokens for _, _, u in done) / nodes,
            "trees_as_first": sum(a == b for a, b in zip(trees, first, strict=True)),
            "process_us_per_sample": 1e6 * cpu / nodes,
            "loop_share": None if alone is None else alone / seconds,
        }
        self.rows.append(row)
        print(json.dumps(row), flush=True)

    def _needed(self, tree: TreeSearch) -> int:
        """Tokens that the PRM must read once: the prompt, and each scored step with its tag."""
        return tree.prompt_tokens + sum(map(self._step_tokens, tree.nodes.text[1:]))

    def _step_tokens(self, text: str | None) -> int:
        alone = Prefix("", 0, (), (Step(text or "", (), "step"),))
        parts = self.prm.format.parts(alone)
        return 0 if parts is None else len(parts[1])


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    folder = Path(demo.__file__).parent
    parser.add_argument("--policy", default=f"vllm:{folder / 'policy'}")
    parser.add_argument("--prm", default=f"vllm:{folder / 'prm'}")
    parser.add_argument("--problems", type=int, default=24)
    parser.add_argument("--width", type=int, nargs="+", default=[16, 64])
    parser.add_argument("--concurrency", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--strategy", nargs="+", default=["ETS", "REBASE"])
    parser.add_argument("--user-template", default="{problem}")
    parser.add_argument("--max-step-tokens", type=int, default=256)
    parser.add_argument("--max-tokens", type=int, default=1024)
    parser.add_argument("--output", default="build/throughput.json")
    parser.add_argument("--policy-options", type=json.loads, default={}, help="vLLM's, as JSON")
    parser.add_argument("--prm-options", type=json.loads, default={}, help="vLLM's, as JSON")
    parser.add_argument(
        "--random-rewards", action="store_true", help="for checkpoints of random weights"
    )
    options = parser.parse_args()
    bench = Bench(options)
    embedder = load_embedder("lexical")

    asyncio.run(_ready(bench))

    def synchronous(strategy: Any) -> Run:
        async def all_of(problems: list[str]) -> list[Done]:
            return [
                await level_synchronous(
                    bench.policy, bench.scorer, embedder, strategy, problem, **bench.limits
                )
                for problem in problems
            ]

        return lambda problems: asyncio.run(all_of(problems))

    def searched(strategy: Any, concurrency: int, engines: Recording | Replay) -> Run:
        def run(problems: list[str]) -> list[Done]:
            with ets.Search(engines, engines, strategy, **bench.limits) as search:
                results = search.map(problems, concurrency=concurrency)
                return [(r.answer, r.tree, r.usage) for r in results]

        return run

    for width in options.width:
        for name in options.strategy:
            strategy = getattr(ets, name)(width=width)
            bench.prm.incremental = False
            asyncio.run(_empty(bench))
            bench.measure("level-synchronous", name, width, synchronous(strategy))
            bench.prm.incremental = True
            for concurrency in options.concurrency:
                asyncio.run(_empty(bench))
                recording = Recording(bench.policy, bench.scorer)
                bench.measure(
                    f"ets.Search, {concurrency} at once",
                    name,
                    width,
                    searched(strategy, concurrency, recording),
                    searched(strategy, concurrency, Replay(recording)),
                )
    path = Path(options.output)
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"machine": _machine(), "rows": bench.rows}, indent=1))
    print(table(bench.rows))
    asyncio.run(_close(bench))


def table(rows: list[dict[str, Any]]) -> str:
    """The rows as Markdown; the ratio is to the level-synchronous row above."""
    lines = [
        "| width | strategy | loop | problems/min | ratio | right | same trees | policy tokens/s "
        "| PRM read / needed | process, us/sample | loop's share |",
        "| --- " * 11 + "|",
    ]
    base = 1.0
    for row in rows:
        if row["loop"].startswith("level"):
            base = row["problems_per_minute"]
        lines.append(
            f"| {row['width']} | {row['strategy']} | {row['loop']} "
            f"| {row['problems_per_minute']:.1f} | {row['problems_per_minute'] / base:.2f} "
            f"| {row['right']} | {row['trees_as_first']} "
            f"| {row['policy_tokens_per_second']:.0f} | {row['prm_read_per_needed']:.2f} "
            f"| {row['process_us_per_sample']:.0f} | {_share(row['loop_share'])} |"
        )
    return "\n".join(lines)


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.1%}"


def _machine() -> str:
    from vllm.platforms import current_platform

    device = current_platform.get_device_name()
    return f"{platform.machine()}, {os.cpu_count()} cores, {device}"


def _path(name: str) -> str:
    backend, _, path = name.partition(":")
    if backend != "vllm":
        raise SystemExit(f"throughput is measured on vLLM: give vllm:PATH, not {name!r}")
    return path


async def _ready(bench: Bench) -> None:
    await asyncio.gather(bench.policy.ready(), bench.prm.ready())
    prefix: Prefix = bench.policy.start("warm up")
    step = await bench.policy.sample(prefix, seed=0, max_tokens=8)
    await bench.prm.score(prefix.extend(step))


async def _empty(bench: Bench) -> None:
    """Forget all that the engines have cached."""
    for engine in (bench.policy.engine, bench.prm.engine):
        await engine.forget_prefixes()


async def _close(bench: Bench) -> None:
    await bench.policy.aclose()
    await bench.prm.aclose()


if __name__ == "__main__":
    main()
