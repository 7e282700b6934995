"""`PoolingPRM` and servers that fail, refuse or go away; many requests."""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path
from typing import Any

import pytest

import ets
from conftest import DEMO
from ets.errors import ContextError
from ets.prm import load_prm
from scripted_http import BUSY, DOWN, Reply, always, in_turn, never, run, until

pytest.importorskip("openai", reason="openai is not installed (the extra 'openai' brings it)")
pytest.importorskip("torch", reason="torch is not installed (the extra 'torch' brings it)")


from ets.prm.pooling import PoolingPRM
from pooling_cases import BAD, FOLDER, GOOD, OK, PREFIX, card, failure, pooled, score, serving
from prm_cases import make_skywork

# --- what goes wrong ------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [BUSY, DOWN, None], ids=["429", "500", "dropped"])
def test_what_passes_is_tried_again(fault: Reply | None) -> None:
    with serving(in_turn(fault, OK)) as (server, prm):
        assert score(prm).reward == 0.75
    assert len(server.bodies) == 2


def test_what_fails_at_every_retry_is_an_error() -> None:
    with serving(always(DOWN), max_retries=1) as (server, prm):
        assert failure(prm) == (
            f"the server at {server.url} answers /pooling with 500: out of memory"
        )
    assert len(server.bodies) == 2


TASK = "Unsupported task: 'token_classify' Supported tasks: ['embed'] (parameter=task)"


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (BUSY, "the server at URL answers /pooling with 429: too many requests"),
        (None, "cannot reach the server at URL: .+"),
        (
            Reply({"error": {"message": "The model `m` does not exist."}}, status=404),
            "the server at URL answers /pooling with 404: The model `m` does not exist.",
        ),
        (
            Reply({"error": {"message": TASK}}, status=400),
            f"the server at URL refuses /pooling with 400, {re.escape(repr(TASK))}: vLLM has to be "
            "started with --runner pooling",
        ),
        (
            Reply({"error": {"message": "Token id 9 is out of vocabulary"}}, status=400),
            "the server at URL answers /pooling with 400: Token id 9 is out of vocabulary",
        ),
        (
            Reply("<html>\nbusy", content_type="text/html"),
            "the server at URL answers /pooling with '<html>.nbusy', not with one pooled output",
        ),
        (Reply('{"data": [{"da'), "the server at URL answers /pooling with .*, not with one .*"),
        (Reply([1]), "the server at URL answers /pooling with .*, not with one pooled output"),
        (Reply({"data": []}), "the server at URL answers /pooling with .*, not with one .*"),
        (
            Reply({"data": OK.body["data"] * 2}),
            "the server at URL answers /pooling with .*, not with one pooled output",
        ),
        (pooled("AAAA"), "the server at URL answers /pooling with .*, not with one pooled output"),
        (pooled([BAD, [0.5]]), "the server at URL answers /pooling with .*, not with one .*"),
        (pooled([BAD, ["x", 1]]), "the server at URL answers /pooling with .*, not with one .*"),
        (
            pooled([BAD, GOOD], prompt_tokens=5),
            r"the server at URL read 5 tokens of the \d+ that were sent",
        ),
    ],
)
def test_what_stays_is_an_error_of_one_line(reply: Reply | None, message: str) -> None:
    with serving(always(reply), max_retries=0, patience=0) as (server, prm):
        found = failure(prm)
    assert re.fullmatch(message.replace("URL", re.escape(server.url)), found)
    assert len(server.bodies) == 1


def test_a_server_that_generates() -> None:
    with serving(None) as (server, prm):
        found = failure(prm)
    assert found == (
        f"the server at {server.url} has no /pooling (404, 'Not Found'): vLLM has to be started "
        "with --runner pooling"
    )


def test_a_server_that_does_not_answer_in_time() -> None:
    with serving(never, timeout=0.2, max_retries=0) as (server, prm):
        found = failure(prm)
    assert found == f"the server at {server.url} did not answer within 0.2 s, the timeout"


def test_a_solution_that_the_server_refuses_as_too_long() -> None:
    said = "This model's maximum context length is 512 tokens. However, you requested 600."
    with (
        serving(always(Reply({"error": {"message": said}}, status=400))) as (server, prm),
        pytest.raises(ContextError, match=f"the server at {server.url} cannot read a solution"),
    ):
        score(prm)


def test_a_server_that_goes() -> None:
    with serving(always(OK), max_retries=0, patience=0) as (server, prm):
        pass
    assert failure(prm).startswith(f"cannot reach the server at {server.url}: ")


def test_nothing_answers_at_construction() -> None:
    with pytest.raises(ets.EngineError, match=r"^cannot reach the server at http://127.0.0.1:9/v1"):
        load_prm("pooling:m@http://127.0.0.1:9/v1?max_retries=0")


@pytest.mark.parametrize(
    ("cards", "options", "message"),
    [
        ([card(id="a"), card(id="b")], {}, "has no model 'm'; it has 'a', 'b'"),
        (
            [card(root="/nowhere")],
            {},
            "the checkpoint of 'm' at .* cannot be read here: give checkpoint, .*'/nowhere'",
        ),
        ([card(root=None)], {}, "does not say what checkpoint 'm' is: give checkpoint"),
        ([card()], {"checkpoint": "/nowhere"}, "there is no checkpoint folder '/nowhere'"),
        ([card(root=str(DEMO / "policy"))], {}, "is no PRM of a known format.* format=NAME"),
    ],
)
def test_what_the_server_cannot_serve(
    cards: list[dict[str, Any]], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ets.EngineError, match=message) as caught, serving(None, *cards, **options):
        pass
    assert "\n" not in str(caught.value)


def test_the_checkpoint_may_lie_elsewhere() -> None:
    with serving(always(OK), card(root="/nowhere"), checkpoint=FOLDER) as (_, prm):
        assert score(prm).reward == 0.75


def test_a_model_that_vllm_does_not_know(tmp_path: Path) -> None:
    make_skywork(tmp_path)
    with (
        pytest.raises(ets.EngineError, match=r"'m' \(skywork\) cannot run: .* transformers:PATH"),
        serving(None, card(root=str(tmp_path))),
    ):
        pass


def test_an_unknown_option() -> None:
    with (
        pytest.raises(ets.InputError, match=r"unknown option 'device' of a pooling PRM of .* qwen"),
        serving(None, device="cpu"),
    ):
        pass


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("pooling:m@127.0.0.1:8000/v1", {}, "url must be the base of an API.*got '127"),
        ("pooling:m@http://x:8000", {}, r"url must end in /v1, .*, got 'http://x:8000'"),
        ("pooling:m@http://x/v1?timeout=0", {}, "timeout must be above 0, got 0"),
        ("pooling:@http://x/v1", {}, "model must be the name of a model"),
        ("pooling:m", {}, "prm must be demo, .*, pooling:MODEL@URL, .* or none, got 'pooling:m'"),
        ("pooling:m@http://x/v1", {"max_retries": -1}, "max_retries must be an integer from 0"),
        ("pooling:m@http://x/v1", {"max_in_flight": 0}, "max_in_flight must be an integer from 1"),
        ("pooling:m@http://x/v1", {"max_length": 0}, "max_length must be an integer from 1"),
    ],
)
def test_mistakes_are_found_before_the_server_is_asked(
    name: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        load_prm(name, **options)


def test_without_the_client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(ets.errors.MissingExtraError, match=r"pip install 'ets-search\[openai\]'"):
        load_prm("pooling:m@http://127.0.0.1:9/v1")


def test_a_name_with_options() -> None:
    with serving(always(OK)) as (server, _):
        prm = load_prm(f"pooling:m@{server.url}?format=qwen&timeout=5", max_retries=0)
        assert isinstance(prm, PoolingPRM)
        assert score(prm).reward == 0.75
        assert prm.server.root == FOLDER


# --- many requests --------------------------------------------------------------------------------


def test_no_more_in_flight_than_allowed() -> None:
    async def slow(body: dict[str, Any]) -> Reply:
        await asyncio.sleep(0.02)
        return OK

    with serving(slow, max_in_flight=3) as (server, prm):

        async def many() -> None:
            await asyncio.gather(*(prm.score(PREFIX) for _ in range(12)))

        run(prm, many)
    assert server.most == 3
    assert len(server.bodies) == 12


def test_cancelling_closes_the_connection() -> None:
    with serving(never, max_in_flight=2) as (server, prm):

        async def cancel() -> None:
            tasks = [asyncio.create_task(prm.score(PREFIX)) for _ in range(3)]
            await until(lambda: server.running == 2)
            for task in tasks:
                task.cancel()
            ends = await asyncio.gather(*tasks, return_exceptions=True)
            assert all(isinstance(end, asyncio.CancelledError) for end in ends)
            await until(lambda: server.dropped == 2)

        run(prm, cancel)
    assert (server.running, len(server.bodies)) == (0, 2)


def test_closing_ends_what_waits() -> None:
    with serving(never) as (server, prm):

        async def close() -> None:
            task = asyncio.create_task(prm.score(PREFIX))
            await until(lambda: server.running == 1)
            await prm.aclose()
            closed = f"the PRM on the server at {server.url} is closed"
            with pytest.raises(ets.EngineError, match=closed):
                await task
            with pytest.raises(ets.EngineError, match=closed):
                await prm.score(PREFIX)
            await until(lambda: server.dropped == 1)

        asyncio.run(close())


def test_a_failing_server_fails_the_search() -> None:
    from scripted_engines import ScriptedPolicy

    with (
        serving(always(DOWN), max_retries=0) as (_, prm),
        ets.Search(policy=ScriptedPolicy(), prm=prm) as search,
        pytest.raises(ets.EngineError, match="500: out of memory"),
    ):
        search.solve("How many?")
