"""`OpenAIPolicy` and many requests: limits, cancellation, loops, searches."""

from __future__ import annotations

import asyncio
import gc
import json
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import ets
from ets.step import Step
from scripted_http import DOWN, Reply, always, never, run, scripted_server, until

pytest.importorskip("openai", reason="openai is not installed (the extra 'openai' brings it)")
pytest.importorskip("torch", reason="torch is not installed (the extra 'torch' brings it)")


from ets.policy.completion import Completion
from ets.policy.openai import OpenAIPolicy
from openai_cases import FOLDER, OK, PLAIN, PROBLEM, card, choice, serving


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
                    waiting = pool.submit(lambda: other.run(some))
                    assert len(asyncio.run(some())) == len(waiting.result()) == 6
            run(policy, some)
            with pytest.raises(ets.EngineError, match="is closed"):
                other.run(some)
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


# --- what keeps a problem's requests together -----------------------------------------------------


def headers_sent(metrics: str | None, problems: list[str]) -> list[dict[str, str]]:
    """Of two requests for each problem, to a server with these metrics."""
    cards = {"object": "list", "data": [card()]}
    scripts = {"/v1/models": always(Reply(cards)), "/v1/completions": always(OK)}
    if metrics is not None:
        scripts["/metrics"] = always(Reply(metrics, content_type="text/plain"))
    with scripted_server(scripts) as server:
        policy = OpenAIPolicy("m", server.url)

        async def ask() -> None:
            for problem in problems:
                root = policy.start(problem)
                child = root.extend(await policy.sample(root, seed=1, max_tokens=8))
                await policy.sample(child, seed=2, max_tokens=8)

        run(policy, ask)
    lines = [[line.partition(": ") for line in head.splitlines()] for head in server.headers]
    return [{name.lower(): value for name, _, value in head} for head in lines]


def running(*engines: int) -> str:
    """As vLLM tells it, among other metrics with other labels."""
    lines = [f'vllm:num_requests_running{{engine="{e}",model_name="m"}} 0.0' for e in engines]
    return "\n".join(["# TYPE vllm:num_requests_running gauge", *lines, 'other{engine="7"} 1.0'])


def test_a_problems_requests_are_one_session() -> None:
    problems = [PROBLEM, "Tom has 3 apples. How many apples does Tom have?"]
    for metrics in (None, running(0)):
        sent = headers_sent(metrics, problems)
        sessions = [head["x-session-id"] for head in sent]
        assert sessions[0] == sessions[1] != sessions[2] == sessions[3]
        assert all(re.fullmatch("[0-9a-f]{32}", session) for session in sessions)
        assert not any("x-data-parallel-rank" in head for head in sent)


def test_a_problems_requests_go_to_one_rank_of_a_server() -> None:
    problems = [f"Tom has {n} apples. How many apples does Tom have?" for n in range(2, 18)]
    sent = [head["x-data-parallel-rank"] for head in headers_sent(running(0, 1, 2), problems)]
    assert sent[::2] == sent[1::2]
    assert set(sent) == {"0", "1", "2"}


def test_metrics_that_are_not_to_be_had_are_not_waited_for() -> None:
    """As behind a proxy that serves the API alone; the patience is for the API."""
    asked = 0

    async def unavailable(body: dict[str, Any]) -> Reply:
        nonlocal asked
        asked += 1
        return Reply("no such service", status=503)

    scripts = {"/v1/models": always(Reply({"data": [card()]})), "/metrics": unavailable}
    with scripted_server(scripts) as server:
        assert OpenAIPolicy("m", server.url, max_retries=0).server.ranks == 1
    assert asked == 1
