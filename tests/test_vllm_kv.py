"""The KV cache on real vLLM engines: what the tree predicts against what the engine counts."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import ets
from conftest import VLLMPair
from ets import demo
from ets.engines.kv_space import HasKVSpace, KVSpace
from ets.engines.vllm.counters import EngineCounters
from ets.loop.thread import LoopThread
from ets.policy.base import PolicyOptions
from ets.policy.prompt import PolicyPrompt
from ets.step import Prefix, Step
from on_vllm import BLOCK, PROBLEM, sample_all, search

if TYPE_CHECKING:
    from ets.policy.vllm import VLLMPolicy

pytestmark = pytest.mark.vllm

TINY_BLOCKS = 12
"""Of the small engine; a request that fills its context takes 8."""
STEP_TOKENS = 64
"""Two blocks, so that rounding to blocks does not hide what is measured."""


@dataclass
class Recorder:
    """A policy that notes each request, and what the engine says at each of its iterations."""

    policy: VLLMPolicy
    requests: dict[int, list[tuple[Prefix, Step]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    """By the depth of the child."""
    iterations: dict[int, list[tuple[int, float]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    """By the same depth: running requests and the share of KV cache in use."""
    depth: int = 0

    def watch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        book = self.policy.engine._book
        record = book.record

        def noting(scheduler: Any, iteration: Any) -> None:
            if scheduler is not None:
                state = (scheduler.num_running_reqs, scheduler.kv_cache_usage)
                self.iterations[self.depth].append(state)
            record(scheduler, iteration)

        monkeypatch.setattr(book, "record", noting)

    def start(self, problem: str) -> Prefix:
        return self.policy.start(problem)

    async def sample(self, prefix: Prefix, *, seed: int, max_tokens: int) -> Step:
        self.depth = len(prefix.steps) + 1
        step = await self.policy.sample(prefix, seed=seed, max_tokens=max_tokens)
        self.requests[len(prefix.steps) + 1].append((prefix, step))
        return step

    async def aclose(self) -> None:
        raise AssertionError("a policy passed in stays its owner's")


@dataclass
class Searched:
    """A search on an engine whose cache was empty, and the engine's counters around it."""

    result: ets.SearchResult
    seen: Recorder
    before: EngineCounters
    after: EngineCounters
    space: KVSpace


@pytest.fixture(scope="module")
def searched(vllm_pair: VLLMPair, engine_loop: LoopThread) -> Iterator[Searched]:
    policy, prm = vllm_pair.policy, vllm_pair.prm
    with pytest.MonkeyPatch.context() as monkeypatch:
        # Steps that only their length ends, so that they are long beside a block.
        options = PolicyOptions(delimiter="@@@", answer_markers=())
        prompt = PolicyPrompt.load(
            str(vllm_pair.policy_path), options, max_length=policy.prompt.max_length
        )
        monkeypatch.setattr(policy, "_prompt", prompt)

        async def settled() -> EngineCounters:
            await asyncio.sleep(0.5)  # the last iteration's statistics come after its outputs
            return policy.engine.counters()

        async def empty() -> EngineCounters:
            await policy.forget_prefixes()
            return await settled()

        before = engine_loop.run(empty)
        seen = Recorder(policy)
        seen.watch(monkeypatch)
        result = search(
            max((str(problem["problem"]) for problem in demo.problems()), key=len),
            policy=seen,
            prm=prm,
            strategy=ets.REBASE(width=16),
            max_step_tokens=STEP_TOKENS,
            max_depth=6,
        )
        after = engine_loop.run(settled)
        yield Searched(result, seen, before, after, engine_loop.run(policy.kv_space))


def full(prompt: tuple[int, ...]) -> int:
    """Blocks that a request can take from the cache.

    Only full ones, and never the last token: the engine computes that anew for its logits.
    """
    return (len(prompt) - 1) // BLOCK


def distinct_blocks(prompts: set[tuple[int, ...]]) -> int:
    """Full blocks that the prompts hold together; a block is known by all ids up to its end."""
    return len({p[: BLOCK * (k + 1)] for p in prompts for k in range(full(p))})


def test_each_request_extends_its_parent_and_finds_it_in_the_cache(searched: Searched) -> None:
    requests = searched.seen.requests
    assert max(requests) >= 2, "the search is too short for this test"
    (root,) = {prefix.token_ids for prefix, _ in requests[1]}
    first = sorted(step.cached_tokens for _, step in requests[1])
    assert first == [0] + [full(root) * BLOCK] * (len(first) - 1)
    for depth in range(2, max(requests) + 1):
        written = {(prefix.token_ids, step.token_ids) for prefix, step in requests[depth - 1]}
        for prefix, step in requests[depth]:
            last = prefix.steps[-1].token_ids
            assert (prefix.token_ids[: -len(last)], last) in written
            assert step.prompt_tokens == len(prefix.token_ids)
            # The parent computed its prompt and all of its step but perhaps the last token.
            assert step.cached_tokens == full(prefix.token_ids) * BLOCK


def test_usage_by_step_adds_up_to_the_engines_counters(searched: Searched) -> None:
    usage, before, after = searched.result.usage, searched.before, searched.after
    assert [step.depth for step in usage.steps] == sorted(searched.seen.requests)
    for step in usage.steps:
        made = searched.seen.requests[step.depth]
        assert step.policy_calls == step.prm_calls == len(made)
        assert step.policy_tokens == sum(len(s.token_ids) for _, s in made)
        computed = sum(len(p.token_ids) - s.cached_tokens for p, s in made)
        assert step.policy_computed_tokens == computed
        first = len(made[0][0].token_ids) if step.depth == 1 else 0  # nobody had read the prompt
        assert len(made) <= computed <= BLOCK * len(made) + first
    assert after.cache_queries - before.cache_queries == usage.policy_prompt_tokens
    assert after.cache_hits - before.cache_hits == usage.policy_cached_tokens
    assert after.preemptions - before.preemptions == usage.policy_preemptions == 0
    assert usage.prm_preemptions == 0
    assert usage.prm_cached_tokens > 0
    assert after.peak_running >= 2
    iterations, running = (
        after.iterations - before.iterations,
        after.running - before.running,
    )
    assert 0 < iterations < running <= iterations * after.peak_running


def test_predicted_and_measured_kv_agree_within_block_rounding(searched: Searched) -> None:
    """From the tree's tokens to tokens by their ids, to blocks, to the engine's blocks in use."""
    result, seen, space = searched.result, searched.seen, searched.space
    measured = 0
    for record in result.kv:
        made = seen.requests.get(record.depth + 1)
        if not made:
            continue
        # The prediction counts a node's tokens once. The engine knows tokens by their ids: siblings
        # that begin alike share these.
        assert record.kv_after == distinct_tokens_of_nodes([prefix for prefix, _ in made])
        prompts = {prefix.token_ids for prefix, _ in made}
        tokens = len({p[:k] for p in prompts for k in range(1, len(p) + 1)})
        assert tokens <= record.kv_after

        # A prompt leaves out at most a block at its end. Where paths part inside a block, each has
        # one of its own that begins with what they share.
        blocks = distinct_blocks(prompts)
        assert blocks * BLOCK >= tokens - BLOCK * len(prompts)
        assert blocks * BLOCK <= tokens + (BLOCK - 1) * (len(prompts) - 1)

        # In use: those blocks, and what each request fills alone, one block at first. Requests
        # reach the engine some iterations apart.
        in_use = [
            round(usage * space.blocks)
            for running, usage in seen.iterations[record.depth + 1]
            if running == len(made)
        ]
        if in_use:
            measured += 1
            assert blocks + len(made) <= min(in_use) <= blocks + 2 * len(made)
            # The engine may be two tokens ahead of what the front end has taken for the step.
            alone = [
                space.rounded(len(p.token_ids) + len(s.token_ids) + 2) // BLOCK - full(p.token_ids)
                for p, s in made
            ]
            assert max(in_use) <= blocks + sum(alone)
    assert measured > 0, "no step was seen with all of its requests running"


def distinct_tokens_of_nodes(prefixes: list[Prefix]) -> int:
    """Tokens of all nodes on the paths, each node once; a node is known by its steps' objects."""
    nodes = {
        tuple(id(step) for step in prefix.steps[: k + 1]): len(step.token_ids)
        for prefix in prefixes
        for k, step in enumerate(prefix.steps)
    }
    return prefixes[0].prompt_tokens + sum(nodes.values())


# --- little space --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tiny(engine_loop: LoopThread, pair_paths: tuple[Path, Path]) -> Iterator[VLLMPolicy]:
    """A policy whose engine has room for little more than one request."""
    from ets.policy.vllm import VLLMPolicy

    policy = VLLMPolicy(
        pair_paths[0],
        delimiter="@@@",
        answer_markers=(),
        gpu_memory_utilization=0.2,
        max_model_len=8 * BLOCK,
        num_gpu_blocks_override=TINY_BLOCKS,
    )
    engine_loop.run(policy.ready)
    yield policy
    engine_loop.run(policy.aclose)


@pytest.mark.slow
def test_kv_space_is_what_the_engine_can_hand_out(
    tiny: VLLMPolicy, vllm_pair: VLLMPair, engine_loop: LoopThread
) -> None:
    # One block stands in for those that hold nothing.
    space = engine_loop.run(tiny.kv_space)
    assert space == KVSpace(tokens=(TINY_BLOCKS - 1) * BLOCK, block_size=BLOCK)
    for engine in (vllm_pair.policy, vllm_pair.prm):
        assert isinstance(engine, HasKVSpace)
        assert engine_loop.run(engine.kv_space).tokens > 100 * space.tokens


@pytest.mark.slow
def test_too_many_samples_are_preempted_counted_and_completed(
    tiny: VLLMPolicy, engine_loop: LoopThread
) -> None:
    root = tiny.start(PROBLEM)

    async def alone_then_together() -> tuple[EngineCounters, list[Step], EngineCounters]:
        await tiny.sample(root, seed=0, max_tokens=64)
        await asyncio.sleep(0.5)
        alone = tiny.engine.counters()
        steps = await sample_all(tiny, [root] * 16, tokens=150)
        await asyncio.sleep(0.5)
        return alone, steps, tiny.engine.counters()

    alone, steps, together = engine_loop.run(alone_then_together)
    assert alone.preemptions == 0
    assert together.preemptions > 0
    assert together.preemptions == sum(step.preemptions for step in steps)
    assert together.peak_kv_usage > 0.9
    for step in steps:
        assert 0 < len(step.token_ids) <= 150
        assert step.finish in ("end", "length")


@pytest.mark.slow
def test_a_kv_budget_ends_preemptions(
    tiny: VLLMPolicy,
    vllm_pair: VLLMPair,
    engine_loop: LoopThread,
) -> None:
    """Eight problems of width 16 on eleven blocks: too much at once, or one after the other."""
    problems = [f"Tom has {n} apples and buys 35 more. How many now?" for n in range(8)]

    def preempted(**options: Any) -> tuple[int, list[ets.SearchResult]]:
        search = ets.Search(
            tiny,
            vllm_pair.prm,
            ets.ETS(width=16),
            max_step_tokens=24,
            max_tokens=96,
            **options,
        )
        before = tiny.engine.counters().preemptions
        results = list(search.map(problems, concurrency=4))

        async def settled() -> int:
            await asyncio.sleep(0.5)
            return tiny.engine.counters().preemptions

        return engine_loop.run(settled) - before, results

    without, free = preempted()
    within, bound = preempted(kv_budget="auto")
    assert without > 0
    assert within == 0
    assert without == sum(result.usage.policy_preemptions for result in free)
    for result in bound:
        assert len(result.trajectories) >= 16
        for step in result.kv[1:]:
            assert step.kv_budget is not None
            assert step.kv_after <= step.kv_budget
