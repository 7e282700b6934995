"""Problems per minute on vLLM: `ets.Search` beside the loop of the published codes, in one run.

    python benches/throughput.py                          # the bundled pair on the CPU
    python benches/throughput.py --policy vllm:PATH --prm vllm:PATH --problems 32 --width 16 64

Every row searches the same problems with the same seeds on the same two engines, which are started
once; caches are emptied between rows. Writes `build/throughput.json` and prints a table.
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
from ets.embed import load_embedder
from ets.equality import same_answer
from ets.step import Prefix
from ets.tree_search import TreeSearch
from ets.usage import Usage
from level_synchronous import solve as level_synchronous
from shared_loop import shared_loop

Done = tuple[str | None, TreeSearch, Usage]


class Bench:
    """Two engines, the problems, and the rows so far."""

    def __init__(self, options: argparse.Namespace) -> None:
        from ets.policy.vllm import VLLMPolicy
        from ets.prm.vllm import VLLMPRM

        engine: dict[str, Any] = {}
        if options.blocks:
            engine["num_gpu_blocks_override"] = options.blocks
        self.limits: dict[str, Any] = {
            "max_step_tokens": options.max_step_tokens,
            "max_tokens": options.max_tokens,
        }
        self.policy = VLLMPolicy(_path(options.policy), **engine)
        self.prm = VLLMPRM(_path(options.prm))
        self.problems = demo.problems()[: options.problems]
        self.rows: list[dict[str, Any]] = []

    def measure(self, loop: str, width: int, run: Callable[[list[str]], list[Done]]) -> None:
        """Time `run` over all problems and note what it took."""
        begin = time.perf_counter()
        done = run([str(problem["problem"]) for problem in self.problems])
        seconds = time.perf_counter() - begin
        read = sum(u.prm_tokens - u.prm_cached_tokens for _, _, u in done)
        nodes = sum(len(tree.nodes) - 1 for _, tree, _ in done)
        row = {
            "loop": loop,
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
            "deciding_share": sum(t.decide_us for _, tree, _ in done for t in tree.timings)
            / (1e6 * seconds),
        }
        self.rows.append(row)
        print(json.dumps(row), flush=True)

    def _needed(self, tree: TreeSearch) -> int:
        """Tokens that the PRM must read once: the prompt, and each scored step with its tag."""
        nodes, prompt = tree.nodes, self.prm.prompt
        texts = [(text or "").strip() for text in nodes.text[1:]]
        return tree.prompt_tokens + sum(len(prompt.step_ids(text)) for text in texts if text)


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    folder = Path(demo.__file__).parent
    parser.add_argument("--policy", default=f"vllm:{folder / 'policy'}")
    parser.add_argument("--prm", default=f"vllm:{folder / 'prm'}")
    parser.add_argument("--problems", type=int, default=24)
    parser.add_argument("--width", type=int, nargs="+", default=[16, 64])
    parser.add_argument("--concurrency", type=int, default=8)
    parser.add_argument("--max-step-tokens", type=int, default=256)
    parser.add_argument("--max-tokens", type=int, default=1024)
    parser.add_argument("--blocks", type=int, help="KV blocks of the policy's engine")
    options = parser.parse_args()
    bench = Bench(options)
    embedder = load_embedder("lexical")

    engines = shared_loop()
    engines.run(_ready(bench))

    def synchronous(strategy: Any) -> Callable[[list[str]], list[Done]]:
        async def all_of(problems: list[str]) -> list[Done]:
            return [
                await level_synchronous(
                    bench.policy, bench.prm, embedder, strategy, problem, **bench.limits
                )
                for problem in problems
            ]

        return lambda problems: engines.run(all_of(problems))

    def searched(strategy: Any, concurrency: int) -> Callable[[list[str]], list[Done]]:
        def run(problems: list[str]) -> list[Done]:
            search = ets.Search(bench.policy, bench.prm, strategy, **bench.limits)
            results = search.map(problems, concurrency=concurrency)
            return [(r.answer, r.tree, r.usage) for r in results]

        return run

    for width in options.width:
        for name, strategy in (
            ("ETS", ets.ETS(width=width)),
            ("REBASE", ets.REBASE(width=width)),
        ):
            bench.prm.incremental = False
            engines.run(_empty(bench))
            bench.measure(f"level-synchronous, {name}", width, synchronous(strategy))
            bench.prm.incremental = True
            for concurrency in (1, options.concurrency):
                engines.run(_empty(bench))
                label = f"ets.Search, {name}, {concurrency} at once"
                bench.measure(label, width, searched(strategy, concurrency))
    path = Path("build/throughput.json")
    path.parent.mkdir(exist_ok=True)
    machine = f"{platform.machine()}, {os.cpu_count()} cores"
    path.write_text(json.dumps({"machine": machine, "rows": bench.rows}, indent=1))
    print(table(bench.rows))
    engines.run(_close(bench))


def table(rows: list[dict[str, Any]]) -> str:
    """The rows as Markdown; the ratio is to the level-synchronous row above."""
    lines = [
        "| width | loop | problems/min | ratio | right | policy tokens/s | PRM read / needed "
        "| preemptions |",
        "| --- " * 8 + "|",
    ]
    base = 1.0
    for row in rows:
        if row["loop"].startswith("level"):
            base = row["problems_per_minute"]
        lines.append(
            f"| {row['width']} | {row['loop']} | {row['problems_per_minute']:.1f} "
            f"| {row['problems_per_minute'] / base:.2f} | {row['right']} "
            f"| {row['policy_tokens_per_second']:.0f} | {row['prm_read_per_needed']:.2f} "
            f"| {row['preemptions']} |"
        )
    return "\n".join(lines)


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
        await (await engine.ready()).reset_prefix_cache()


async def _close(bench: Bench) -> None:
    await bench.policy.aclose()
    await bench.prm.aclose()


if __name__ == "__main__":
    main()
