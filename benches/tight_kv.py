"""A KV cache too small for all: preemptions and problems per minute, with and without a budget.

    python benches/tight_kv.py [--blocks 160] [--width 16] [--problems 32] [--concurrency 8]
    python benches/tight_kv.py --policy PATH --prm PATH --rows REBASE ETS "ETS, kv_budget auto"

One policy engine with few KV blocks of 32 tokens, one PRM engine with enough of them, the bundled
pair or another; every row searches the same problems with the same seeds. Writes
`build/tight_kv.json`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import time
from pathlib import Path
from typing import Any

import ets
from ets import demo
from ets.answer import same_answer
from ets.engines.kv_space import KVSpace
from ets.policy.vllm import VLLMPolicy
from ets.prm.vllm import VLLMPRM
from ets.step import Prefix, Step
from random_rewards import RandomRewards

ROW = (
    "| {loop} | {at_once} | {problems_per_minute:.2f} | {preemptions} | {running:.0f} "
    "| {cached:.1%} | {computed:,.0f} | {kept:,.0f} | {fits:.1f} | {right} |"
)


class Counting:
    """The policy, and how many problems had a sample under way at once."""

    def __init__(self, policy: VLLMPolicy) -> None:
        self._policy = policy
        self._running: dict[str, int] = {}
        self.most_problems = 0

    def start(self, problem: str) -> Prefix:
        """As the policy's."""
        return self._policy.start(problem)

    async def kv_space(self) -> KVSpace:
        """As the policy's."""
        return await self._policy.kv_space()

    async def sample(self, prefix: Prefix, *, seed: int, max_tokens: int) -> Step:
        """As the policy's."""
        self._running[prefix.problem] = self._running.get(prefix.problem, 0) + 1
        self.most_problems = max(
            self.most_problems, sum(count > 0 for count in self._running.values())
        )
        try:
            return await self._policy.sample(prefix, seed=seed, max_tokens=max_tokens)
        finally:
            self._running[prefix.problem] -= 1

    async def aclose(self) -> None:
        """Nothing: the engine is closed by whoever started it."""


def need(tree: ets.TreeSearch, space: KVSpace) -> int:
    """KV tokens that a problem took when it took most: its candidates' before a selection, and a
    block for each, since an engine shares whole blocks only."""
    return max(kv.kv_before + kv.candidates * space.block_size for kv in tree.kv)


def main() -> None:
    """Measure, print, write."""
    folder = Path(demo.__file__).parent
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--blocks", type=int, default=160)
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--problems", type=int, default=32)
    parser.add_argument("--concurrency", type=int, default=8)
    parser.add_argument("--policy", default=folder / "policy")
    parser.add_argument("--prm", default=folder / "prm")
    parser.add_argument("--user-template", default="{problem}")
    parser.add_argument("--max-step-tokens", type=int, default=64)
    parser.add_argument("--max-tokens", type=int, default=256)
    parser.add_argument("--policy-options", type=json.loads, default={}, help="vLLM's, as JSON")
    parser.add_argument("--prm-options", type=json.loads, default={}, help="vLLM's, as JSON")
    parser.add_argument(
        "--random-rewards", action="store_true", help="for checkpoints of random weights"
    )
    parser.add_argument("--rows", nargs="+", help="some of the table's rows, by name")
    parser.add_argument("--output", default="build/tight_kv.json")
    options = parser.parse_args()
    limits = {"max_step_tokens": options.max_step_tokens, "max_tokens": options.max_tokens}
    policy = VLLMPolicy(
        options.policy,
        num_gpu_blocks_override=options.blocks,
        user_template=options.user_template,
        **{"max_model_len": 512, **options.policy_options},
    )
    prm = VLLMPRM(options.prm, **options.prm_options)
    scorer: Any = RandomRewards(prm) if options.random_rewards else prm

    async def empty() -> None:
        for engine in (policy.engine, prm.engine):
            await engine.forget_prefixes()

    async def warm() -> None:
        await asyncio.gather(policy.ready(), prm.ready())
        root = policy.start("warm up")
        await prm.score(root.extend(await policy.sample(root, seed=0, max_tokens=8)))

    asyncio.run(warm())
    problems = demo.problems()[: options.problems]
    n, width = options.concurrency, options.width
    plans: list[tuple[str, Any, Any, dict[str, Any]]] = [
        ("REBASE", ets.REBASE(width=width), n, {}),
        ("REBASE, best leaf first", ets.REBASE(width=width), n, {"request_order": "best_first"}),
        ("ETS", ets.ETS(width=width), n, {}),
        ("ETS, best leaf first", ets.ETS(width=width), n, {"request_order": "best_first"}),
        ("ETS, kv_budget auto", ets.ETS(width=width), n, {"kv_budget": "auto"}),
        ("MPTS", ets.MPTS(width=width), n, {}),
        ("REBASE, concurrency auto", ets.REBASE(width=width), "auto", {}),
        ("ETS, concurrency auto", ets.ETS(width=width), "auto", {}),
        (
            "ETS, kv_budget and concurrency auto",
            ets.ETS(width=width),
            "auto",
            {"kv_budget": "auto"},
        ),
        ("MPTS, concurrency auto", ets.MPTS(width=width), "auto", {}),
    ]
    if options.rows:
        plans = [plan for plan in plans if plan[0] in options.rows]
    rows = []
    print(
        "| loop | at once | problems/min | preemptions | running | prompt tokens cached | computed "
        "| KV kept | fit | right |"
    )
    print("| --- " * 10 + "|")
    space = asyncio.run(policy.kv_space())
    for loop, strategy, concurrency, more in plans:
        asyncio.run(empty())
        counting = Counting(policy)
        before = policy.engine.counters()
        with ets.Search(counting, scorer, strategy, **limits, **more) as search:
            begin = time.perf_counter()
            results = list(
                search.map([str(p["problem"]) for p in problems], concurrency=concurrency)
            )
            seconds = time.perf_counter() - begin
        usages = [result.usage for result in results]
        after = policy.engine.counters()
        row = {
            "loop": loop,
            "at_once": counting.most_problems,
            "problems_per_minute": 60 * len(results) / seconds,
            "preemptions": sum(u.policy_preemptions for u in usages),
            "running": (after.running - before.running) / (after.iterations - before.iterations),
            "cached": sum(u.policy_cached_tokens for u in usages)
            / sum(u.policy_prompt_tokens for u in usages),
            "computed": sum(
                u.policy_prompt_tokens - u.policy_cached_tokens + u.policy_tokens for u in usages
            )
            / len(usages),
            "kept": sum(r.kv.after.sum for r in results) / len(results),
            "fits": space.tokens / statistics.mean(need(r.tree, space) for r in results),
            "right": sum(
                r.answer is not None and same_answer(r.answer, str(p["answer"]))
                for r, p in zip(results, problems, strict=True)
            ),
        }
        rows.append(row)
        print(ROW.format(**row), flush=True)
    path = Path(options.output)
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"blocks": options.blocks, "width": width, "rows": rows}, indent=1))
    asyncio.run(policy.aclose())
    asyncio.run(prm.aclose())


if __name__ == "__main__":
    main()
