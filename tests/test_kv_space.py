"""An engine's KV space and counters, from what vLLM's objects say; no engine runs here."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from ets.engines.kv_space import HasKVSpace, KVSpace
from ets.engines.vllm.counters import CounterBook, EngineCounters
from ets.engines.vllm.options import kv_space
from ets.errors import EngineError
from scripted_engines import ScriptedPolicy


def test_space_in_blocks() -> None:
    space = KVSpace(tokens=100, block_size=32)
    assert space.blocks == 3
    assert [space.rounded(n) for n in (0, 1, 32, 33)] == [0, 32, 32, 64]
    assert KVSpace(tokens=7, block_size=1).rounded(5) == 5
    with pytest.raises(ValueError, match="tokens must be >= 0, got -1"):
        KVSpace(tokens=-1, block_size=1)
    with pytest.raises(ValueError, match="block_size must be at least 1, got 0"):
        KVSpace(tokens=1, block_size=0)


def test_not_every_engine_knows_its_space() -> None:
    class Knowing(ScriptedPolicy):
        async def kv_space(self) -> KVSpace:
            return KVSpace(tokens=64, block_size=16)

    assert isinstance(Knowing(), HasKVSpace)
    assert not isinstance(ScriptedPolicy(), HasKVSpace)


def config(blocks: int | None, *, stated: int | None = None, engines: int = 1) -> Any:
    return SimpleNamespace(
        cache_config=SimpleNamespace(
            num_gpu_blocks=blocks, block_size=16, kv_cache_size_tokens=stated
        ),
        parallel_config=SimpleNamespace(data_parallel_size=engines),
        model_config=SimpleNamespace(max_model_len=100, model="a-model"),
    )


@pytest.mark.parametrize(
    ("given", "tokens"),
    [
        (config(10), 9 * 16),
        # Alike layers: 100 tokens take 7 blocks, so vLLM states 10 / 7 * 100, which is rounding.
        (config(10, stated=142), 9 * 16),
        # Two kinds of layers take two blocks where these would take one.
        (config(10, stated=71), 71),
        # A sliding window: more tokens than blocks hold at once.
        (config(10, stated=500), 9 * 16),
        # Each of two engines keeps a block back.
        (config(20, stated=142, engines=2), 2 * 9 * 16),
    ],
)
def test_space_of_a_vllm_configuration(given: Any, tokens: int) -> None:
    assert kv_space(given) == KVSpace(tokens=tokens, block_size=16)


@pytest.mark.parametrize("blocks", [None, 0, 1])
def test_an_engine_without_a_cache(blocks: int | None) -> None:
    with pytest.raises(EngineError, match="engine of 'a-model' has no KV cache"):
        kv_space(config(blocks))


def scheduler(*, running: int, usage: float, queries: int = 0, hits: int = 0) -> Any:
    return SimpleNamespace(
        num_running_reqs=running,
        kv_cache_usage=usage,
        prefix_cache_stats=SimpleNamespace(queries=queries, hits=hits),
    )


def iteration(preempted: int = 0, **finished: int) -> Any:
    return SimpleNamespace(
        num_preempted_reqs=preempted,
        finished_requests=[
            SimpleNamespace(request_id=name, num_preemptions=n) for name, n in finished.items()
        ],
    )


def test_counters_add_up_and_keep_peaks() -> None:
    book = CounterBook()
    assert book.counters == EngineCounters()
    book.record(scheduler(running=3, usage=0.5, queries=100, hits=64), iteration(2))
    before = book.counters
    book.record(scheduler(running=1, usage=0.25, queries=10), iteration(1, a=0, b=3, c=0, d=0))
    book.record(None, None)
    assert before == EngineCounters(2, 100, 64, 3, 0.5, 1, 3)
    assert book.counters == EngineCounters(3, 110, 64, 4, 0.5, 2, 7)


def test_preemptions_of_a_request() -> None:
    async def run() -> None:
        book = CounterBook()
        for name in ("sample", "scoring", "late", "untold"):
            book.follow(name)
        said = SimpleNamespace(metrics=SimpleNamespace(num_preemptions=5))
        assert await book.preemptions("sample", said) == 5
        pooled = SimpleNamespace()
        book.record(None, iteration(scoring=2, somebody_elses=7))
        assert await book.preemptions("scoring", pooled) == 2
        waiting = asyncio.create_task(book.preemptions("late", pooled))
        await asyncio.sleep(0)
        book.record(None, iteration(late=1))
        assert await waiting == 1
        assert await book.preemptions("untold", pooled) == 0
        for name in ("sample", "scoring", "late", "untold"):
            book.forget(name)
        book.record(None, iteration(late=1))
        with pytest.raises(KeyError):
            book.forget("late")

    asyncio.run(run())
