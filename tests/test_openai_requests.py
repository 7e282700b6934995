"""`OpenAIPolicy` and many requests: limits, cancellation, loops, searches."""

from __future__ import annotations

import asyncio
import gc
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import ets
from ets.step import Step
from scripted_http import DOWN, Reply, always, never, run, until

pytest.importorskip("openai", reason="openai is not installed (the extra 'openai' brings it)")
pytest.importorskip("torch", reason="torch is not installed (the extra 'torch' brings it)")


from ets.policy.completion import Completion
from openai_cases import FOLDER, OK, PLAIN, PROBLEM, choice, serving


def test_no_more_in_flight_than_allowed() -> None:
    async def slow(body: dict[str, Any]) -> Reply:
        await asyncio.sleep(0.02)
        return OK

    with serving(slow, max_in_flight=3) as (server, policy):
        root = policy.start(PROBLEM)

        async def many() -> None:
            await asyncio.gather(*(policy.sample(root, seed=i, max_tokens=8) for i in range(12)))

        run(policy, many)
    assert server.most == 3
    assert len(server.bodies) == 12


def test_cancelling_closes_the_connection() -> None:
    with serving(never, max_in_flight=2) as (server, policy):
        root = policy.start(PROBLEM)

        async def cancel() -> None:
            tasks = [
                asyncio.create_task(policy.sample(root, seed=i, max_tokens=8)) for i in range(3)
            ]
            await until(lambda: server.running == 2)
            for task in tasks:
                task.cancel()
            ends = await asyncio.gather(*tasks, return_exceptions=True)
            assert all(isinstance(end, asyncio.CancelledError) for end in ends)
            await until(lambda: server.dropped == 2)

        run(policy, cancel)
    assert (server.running, len(server.bodies)) == (0, 2)


def test_closing_ends_what_waits() -> None:
    with serving(never) as (server, policy):
        root = policy.start(PROBLEM)

        async def close() -> None:
            task = asyncio.create_task(policy.sample(root, seed=0, max_tokens=8))
            await until(lambda: server.running == 1)
            await policy.aclose()
            with pytest.raises(ets.EngineError, match="is closed"):
                await task
            with pytest.raises(ets.EngineError, match=f"server at {server.url} is closed"):
                await policy.sample(root, seed=0, max_tokens=8)
            await until(lambda: server.dropped == 1)

        asyncio.run(close())


@pytest.mark.parametrize(
    ("said", "finish", "says_stop"),
    [
        ("stop", "stop", False),
        ("stop_sequence", "stop", False),
        ("length", "length", False),
        ("max_tokens", "length", False),
        *((word, "stop", True) for word in ("eos", "eos_token", "end", "end_turn")),
    ],
)
def test_words_of_other_servers_for_an_end(said: str, finish: str, says_stop: bool) -> None:
    for text in ("hi", None):
        answer = json.dumps({"choices": [{"text": text, "finish_reason": said}]})
        found = Completion.read(answer, url="u")
        assert (found.text, found.finish) == (text or "", finish)
        assert (found.says_stop, found.stopped_by) == (says_stop, None)


def test_one_policy_serves_several_loops() -> None:
    from ets.loop.thread import LoopThread

    async def slow(body: dict[str, Any]) -> Reply:
        await asyncio.sleep(0.01)
        return OK

    with serving(slow, max_in_flight=2) as (_, policy):
        root = policy.start(PROBLEM)

        async def some() -> list[Step]:
            return await asyncio.gather(
                *(policy.sample(root, seed=i, max_tokens=8) for i in range(6))
            )

        other = LoopThread("other")
        try:
            with ThreadPoolExecutor(1) as pool:
                for _ in range(2):
                    waiting = pool.submit(lambda: other.run(some()))
                    assert len(asyncio.run(some())) == len(waiting.result()) == 6
            run(policy, some)
            with pytest.raises(ets.EngineError, match="is closed"):
                other.run(some())
        finally:
            other.close()


def test_two_searches_share_a_policy() -> None:
    answers = ["So Tom has 3 apples.\n\n", "The answer is 3."]

    async def script(body: dict[str, Any]) -> Reply:
        text = answers[body["prompt"].endswith("\n\n")]
        return choice(text)

    with serving(script, PLAIN, tokenizer=FOLDER) as (_, policy):
        for _ in range(2):
            with ets.Search(
                policy=policy, prm=lambda problem, steps: 0.5, strategy=ets.REBASE(width=4)
            ) as search:
                assert search.solve(PROBLEM).answer == "3"
        asyncio.run(policy.aclose())


def test_a_failing_server_fails_the_search() -> None:
    with (
        serving(always(DOWN), max_retries=0) as (server, policy),
        ets.Search(policy=policy, prm=lambda problem, steps: 0.5) as search,
        pytest.raises(ets.EngineError, match="500: out of memory"),
    ):
        search.solve(PROBLEM)
    assert json.dumps(server.bodies[0])


def test_a_loop_that_ends_closes_its_connections(caplog: pytest.LogCaptureFixture) -> None:
    with serving(always(OK)) as (_, policy):
        for seed in range(2):  # nobody closes the policy in between
            asyncio.run(policy.sample(policy.start(PROBLEM), seed=seed, max_tokens=32))
        del policy
        gc.collect()
    assert not [record for record in caplog.records if "Unclosed" in record.getMessage()]
