"""An engine of several workers: an option that only passes through, shown to.

`data_parallel_size` does too; two more engines would cost CI a minute.
"""

from __future__ import annotations

import asyncio

import pytest

from conftest import DEMO
from ets import demo
from ets.loop.thread import LoopThread
from ets.policy.vllm import VLLMPolicy
from ets.step import Step
from plain_demo import plain_greedy

pytestmark = [pytest.mark.vllm, pytest.mark.slow]


def test_two_workers_sample_what_one_does(engine_loop: LoopThread) -> None:
    policy = VLLMPolicy(
        DEMO / "policy",
        temperature=0.0,
        tensor_parallel_size=2,
        kv_cache_memory_bytes=1 << 26,
        gpu_memory_utilization=0.1,
    )
    problems = [str(row["problem"]) for row in demo.problems()[:4]]

    async def first_steps() -> list[Step]:
        roots = map(policy.start, problems)
        return list(
            await asyncio.gather(*(policy.sample(root, seed=0, max_tokens=48) for root in roots))
        )

    expected = [plain_greedy(problem, steps=1, tokens=48)[0] for problem in problems]
    assert [step.token_ids for step in engine_loop.run(first_steps())] == expected
    engine_loop.run(policy.aclose())
