"""Engines of several workers, and several engines: options that only pass through, shown to."""

from __future__ import annotations

import asyncio

import pytest

from conftest import DEMO
from ets import demo
from ets.loop_thread import LoopThread
from ets.policy.vllm import VLLMPolicy
from ets.step import Step
from plain_demo import plain_greedy

pytestmark = pytest.mark.vllm
KV_BYTES = 1 << 26


def test_two_workers_and_two_engines_sample_what_one_does(engine_loop: LoopThread) -> None:
    policies = {
        name: VLLMPolicy(
            DEMO / "policy",
            temperature=0.0,
            kv_cache_memory_bytes=KV_BYTES,
            gpu_memory_utilization=0.1,
            **{name: 2},
        )
        for name in ("tensor_parallel_size", "data_parallel_size")
    }
    problems = [str(row["problem"]) for row in demo.problems()[:4]]

    async def first_steps(policy: VLLMPolicy) -> list[Step]:
        roots = map(policy.start, problems)
        return list(
            await asyncio.gather(*(policy.sample(root, seed=0, max_tokens=48) for root in roots))
        )

    expected = [plain_greedy(problem, steps=1, tokens=48)[0] for problem in problems]
    tokens = {}
    for name, policy in policies.items():
        found = [step.token_ids for step in engine_loop.run(first_steps(policy))]
        assert found == expected, name
        tokens[name] = engine_loop.run(policy.kv_space()).tokens
        engine_loop.run(policy.aclose())
    # Each worker holds half of every token's KV; each engine has a cache of its own.
    assert tokens["tensor_parallel_size"] == pytest.approx(tokens["data_parallel_size"], rel=0.01)
