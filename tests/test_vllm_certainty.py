"""Certainty on real vLLM engines, in this process and on a server, against raw logits."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

import ets
from certainty_cases import PROBLEM, wrong_places
from ets import demo
from ets.engines.protocols import Policy
from ets.loop.thread import LoopThread
from ets.step import Prefix, Step
from vllm_server import VLLMServer

pytestmark = [pytest.mark.vllm, pytest.mark.slow]
WHERE = [pytest.param("in_process", marks=pytest.mark.rare), "on_server"]
TOP = 20


@pytest.fixture(scope="module")
def in_process(engine_loop: LoopThread) -> Iterator[Policy]:
    from ets.policy.vllm import VLLMPolicy

    made = VLLMPolicy(demo.policy_path(), top_logprobs=TOP, gpu_memory_utilization=0.2)
    engine_loop.run(made.ready)
    yield made
    engine_loop.run(made.aclose)


@pytest.fixture(scope="module")
def on_server(tiny_server: VLLMServer, engine_loop: LoopThread) -> Iterator[Policy]:
    pytest.importorskip("openai", reason="openai is not installed (the extra 'openai' brings it)")
    from ets.policy.openai import OpenAIPolicy

    made = OpenAIPolicy("tiny", tiny_server.url, top_logprobs=TOP)
    yield made
    engine_loop.run(made.aclose)


async def steps_of(policy: Policy) -> list[tuple[Prefix, Step]]:
    root = policy.start(PROBLEM)
    first = await asyncio.gather(*(policy.sample(root, seed=i, max_tokens=64) for i in range(8)))
    children = [root.extend(step) for step in first if not step.finished]
    second = await asyncio.gather(*(policy.sample(c, seed=9, max_tokens=64) for c in children))
    return [*((root, step) for step in first), *zip(children, second, strict=True)]


@pytest.mark.parametrize("where", WHERE)
def test_a_step_carries_what_raw_logits_say(
    where: str, request: pytest.FixtureRequest, engine_loop: LoopThread
) -> None:
    """Those of transformers, of one whole pass."""
    from plain_demo import plain_logprobs

    found = engine_loop.run(steps_of, request.getfixturevalue(where))
    assert len(found) > 8
    for prefix, step in found:
        assert step.certainty is not None
        assert len(step.certainty) == len(step.token_ids)
        if not step.token_ids:
            continue
        logs = plain_logprobs(list(prefix.token_ids), list(step.token_ids))
        assert wrong_places(step.certainty, step.token_ids, logs, TOP) == []


@pytest.mark.parametrize("where", WHERE)
def test_a_search_needs_no_second_model(where: str, request: pytest.FixtureRequest) -> None:
    policy = request.getfixturevalue(where)
    prm = "policy?score=lowest-group&of=path"
    with ets.Search(policy=policy, prm=prm, strategy=ets.REBASE(width=8)) as search:
        result = search.solve(PROBLEM)
    assert result.answer is not None
    assert result.usage.prm_tokens == 0
    assert result.usage.prm_calls == result.usage.policy_calls > 0
    assert all(certain is not None for certain in result.tree.nodes.certainty[1:])
