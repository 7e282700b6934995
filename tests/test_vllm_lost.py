"""A vLLM engine whose process dies in the middle of a search."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import ets
from ets.errors import EngineError, EngineLostError
from ets.loop.thread import LoopThread
from ets.step import Prefix, Step
from on_vllm import remove_log, search

if TYPE_CHECKING:
    from ets.policy.vllm import VLLMPolicy

pytestmark = pytest.mark.vllm


@pytest.fixture
def policy(pair_paths: tuple[Path, Path], engine_loop: LoopThread) -> Iterator[VLLMPolicy]:
    from ets.policy.vllm import VLLMPolicy

    started = VLLMPolicy(pair_paths[0], answer_markers=(), gpu_memory_utilization=0.2)
    yield started
    engine_loop.run(started.aclose)


class Killing:
    """The policy; one solution ends with its second step, and the engine in all the third ones."""

    def __init__(self, policy: VLLMPolicy) -> None:
        self._policy = policy
        self._has_ended = False

    def start(self, problem: str) -> Prefix:
        return self._policy.start(problem)

    async def sample(self, prefix: Prefix, *, seed: int, max_tokens: int) -> Step:
        asked = asyncio.create_task(self._policy.sample(prefix, seed=seed, max_tokens=max_tokens))
        if len(prefix.steps) == 2:
            await self._kill_amid(asked)
        step = await asked
        if len(prefix.steps) == 1 and not self._has_ended:
            self._has_ended = True
            return replace(step, text="The answer is 7.", finish="answer")
        return replace(step, finish="step")

    async def _kill_amid(self, asked: asyncio.Task[Step]) -> None:
        from ets.engines.vllm.lifecycle import processes_of

        engine = self._policy.engine
        (process,) = processes_of(await engine.ready())
        while not (asked.done() or await engine.unfinished()):
            await asyncio.sleep(0.001)
        if process.exitcode is None:
            os.kill(process.pid, signal.SIGKILL)

    async def aclose(self) -> None:
        """The fixture closes it."""


@pytest.mark.slow
def test_the_search_ends_with_its_answer_so_far(
    policy: VLLMPolicy, engine_loop: LoopThread
) -> None:
    killing = Killing(policy)
    result = search(policy=killing, prm=lambda problem, steps: 0.5, strategy=ets.REBASE(width=8))
    assert (result.end, result.answer) == ("engine_lost", "7")
    assert len(result.trajectories) == 1
    assert result.lost is not None
    assert "died (exit code -9, killed: " in result.lost
    assert "\n" not in result.lost
    # Whoever asks later is told the same, at once.
    with pytest.raises(EngineLostError, match="died"):
        engine_loop.run(policy.sample, policy.start("1 + 1?"), seed=0, max_tokens=4)
    remove_log(result.lost)


@pytest.mark.rare
def test_an_engine_that_dies_idle_says_so(policy: VLLMPolicy, engine_loop: LoopThread) -> None:
    async def kill_idle() -> list[str]:
        from ets.engines.vllm.lifecycle import processes_of

        (process,) = processes_of(await policy.engine.ready())
        several = [asyncio.create_task(policy.until_lost()) for _ in range(2)]
        given_up = asyncio.create_task(policy.until_lost())
        await asyncio.sleep(0.1)
        given_up.cancel()
        await asyncio.wait([given_up])
        assert not any(task.done() for task in several)
        os.kill(process.pid, signal.SIGKILL)
        return await asyncio.gather(*several)

    first, second = engine_loop.run(kill_idle)
    assert first == second
    assert "died (exit code -9, killed: " in first
    assert "\n" not in first
    remove_log(first)


@pytest.mark.rare
def test_an_engine_that_is_closed_is_not_lost(policy: VLLMPolicy, engine_loop: LoopThread) -> None:
    """Its user ended it: no search must take that for an answer so far."""

    async def close_amid() -> BaseException | None:
        await policy.ready()
        root = policy.start("1 + 1?")
        asked = asyncio.create_task(policy.sample(root, seed=0, max_tokens=900))
        while not await policy.engine.unfinished():
            await asyncio.sleep(0.001)
        await policy.aclose()
        await asyncio.wait([asked])
        return asked.exception()

    failed = engine_loop.run(close_amid)
    assert type(failed) is EngineError
    assert "closed" in str(failed)
