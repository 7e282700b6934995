"""An engine of several workers, and one of several data-parallel ranks."""

from __future__ import annotations

import asyncio

import pytest

import ets
from conftest import DEMO
from ets import demo
from ets.errors import InputError
from ets.loop.thread import LoopThread
from ets.policy.vllm import VLLMPolicy
from ets.prm.vllm import VLLMPRM
from ets.step import Step
from plain_demo import plain_greedy

pytestmark = [pytest.mark.vllm, pytest.mark.rare]


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
    assert [step.token_ids for step in engine_loop.run(first_steps)] == expected
    engine_loop.run(policy.aclose)


def test_a_problem_stays_on_its_rank() -> None:
    """Each rank is a replica: what a step's parent computed is in the cache of its rank."""
    policy = VLLMPolicy(
        DEMO / "policy",
        data_parallel_size=2,
        kv_cache_memory_bytes=1 << 26,
        gpu_memory_utilization=0.1,
    )
    problems = [str(row["problem"]) for row in demo.problems()[:4]]
    strategy = ets.ETS(width=8, lambda_b=1.0)
    with ets.Search(policy, "demo", strategy, kv_budget="auto") as search:
        assert [replica.name for replica in search.replicas] == ["replica 1", "replica 2"]
        results = list(search.map(problems, concurrency=2))
        spaces = [replica.kv_space for replica in search.replicas]
    asyncio.run(policy.aclose())
    assert all(result.answer is not None for result in results)
    assert {result.usage.replicas[0] for result in results} == {"replica 1", "replica 2"}
    assert spaces[0] == spaces[1] is not None
    for result in results:
        assert len(result.usage.replicas) == 1
        for step in result.usage.steps[1:]:
            # Whole blocks of the parent's tokens, all of them.
            assert step.policy_computed_tokens <= 32 * step.policy_calls + step.policy_tokens


def test_a_prm_takes_no_ranks() -> None:
    with pytest.raises(InputError, match="data_parallel_size must be 1 for a PRM, got 2: vLLM"):
        VLLMPRM(DEMO / "prm", data_parallel_size=2)
