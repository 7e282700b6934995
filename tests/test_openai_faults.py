"""`OpenAIPolicy` and what goes wrong: servers that fail, load, refuse, go away or cannot serve."""

from __future__ import annotations

import asyncio
import re
import sys
from typing import Any

import pytest

import ets
from ets.policy import load_policy
from scripted_http import BUSY, DOWN, Reply, always, in_turn, run, scripted_server

pytest.importorskip("openai", reason="openai is not installed (the extra 'openai' brings it)")
pytest.importorskip("torch", reason="torch is not installed (the extra 'torch' brings it)")


from ets.errors import EngineLostError
from ets.policy.openai import OpenAIPolicy
from openai_cases import (
    FOLDER,
    LLAMA,
    OK,
    PLAIN,
    PROBLEM,
    SENTENCE,
    card,
    choice,
    failure,
    sample,
    serving,
)


@pytest.mark.parametrize("fault", [BUSY, DOWN, None], ids=["429", "500", "dropped"])
def test_what_passes_is_tried_again(fault: Reply | None) -> None:
    with serving(in_turn(fault, OK)) as (server, policy):
        assert sample(policy).text == SENTENCE
    assert len(server.bodies) == 2


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (BUSY, "the server at URL answers /completions with 429: too many requests"),
        (DOWN, "the server at URL answers /completions with 500: out of memory"),
        (None, "cannot reach the server at URL: .+"),
        (
            Reply({"error": {"message": "The model `m` does not exist."}}, status=404),
            "the server at URL answers /completions with 404: The model `m` does not exist.",
        ),
        (
            Reply({"error": {"message": "This is a chat model"}}, status=404),
            "the server at URL cannot continue a text in the middle of an answer: its /completions "
            "answers 404, 'This is a chat model'; servers such as vLLM, SGLang and llama.cpp can",
        ),
        (
            Reply("<html>\nbusy", content_type="text/html"),
            "the server at URL answers /completions with '<html>.nbusy', not with a completion",
        ),
        (
            Reply('{"choices": [{"te'),
            "the server at URL answers /completions with '{.*', not with a completion",
        ),
        (
            choice(None, token_ids=[9]),  # type: ignore[arg-type]
            "the server at URL answers /completions with .*, not with a completion",
        ),
        (Reply({"choices": []}), "the server at URL answers /completions with .*"),
        (
            choice("So", "abort"),
            "the server at URL broke a step off: its finish_reason is 'abort', where 'stop' or "
            "'length' was due",
        ),
    ],
)
def test_what_stays_is_an_error_of_one_line(reply: Reply | None, message: str) -> None:
    with serving(always(reply), max_retries=0, patience=0) as (server, policy):
        found = failure(policy)
    assert re.fullmatch(message.replace("(", r"\(").replace("URL", re.escape(server.url)), found)
    assert len(server.bodies) == 1


LOADING = Reply({"error": {"message": "Loading model", "code": 503}}, status=503)


def test_a_server_that_loads_is_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    listed = Reply({"data": [card()]})
    scripts = {
        "/v1/models": in_turn(*[LOADING] * 4, listed),
        "/v1/completions": in_turn(*[LOADING] * 2, OK),
    }
    with scripted_server(scripts) as server:
        policy = OpenAIPolicy("m", server.url, max_retries=0)
        assert sample(policy).text == SENTENCE
    said = [record.getMessage() for record in caplog.records if record.name == "ets"]
    assert len(said) == 4  # it waits, and it is over: twice
    assert said[0].endswith(
        "answers /models with 503: Loading model; waiting for it, 300 s at most"
    )
    assert said[1].startswith(f"the server at {server.url} answers again after ")


def test_a_server_that_stays_away_is_lost_when_patience_ends() -> None:
    with serving(always(LOADING), max_retries=0, patience=0.6) as (server, policy):
        root = policy.start(PROBLEM)
        with pytest.raises(EngineLostError, match="answers /completions with 503: Loading model"):
            run(policy, lambda: policy.sample(root, seed=0, max_tokens=8))
    assert len(server.bodies) > 1


def test_a_list_without_facts_is_asked_for_again() -> None:
    """Older llama.cpp lists a model before it is loaded."""
    bare, whole = {**LLAMA, "meta": None}, {**LLAMA, "meta": {"n_ctx": 256}}
    scripts = {
        "/v1/models": in_turn(Reply({"data": [bare]}), Reply({"data": [whole]})),
        "/health": in_turn(LOADING, Reply({"status": "ok"})),
    }
    with scripted_server(scripts) as server:
        policy = OpenAIPolicy("m", server.url, tokenizer=FOLDER, max_retries=0)
    assert policy.prompt.max_length == 256


@pytest.mark.parametrize(
    "said",
    [
        "This model's maximum context length is 512 tokens. However, you requested 40 output "
        "tokens and your prompt contains 500 input tokens.",  # vLLM
        "The decoder prompt (length 600) is longer than the maximum model length of 512.",
        "The input (600 tokens) is longer than the model's context length (512 tokens).",  # SGLang
        "Input length (600 tokens) exceeds the maximum allowed length (512 tokens).",
        "request (600 tokens) exceeds the available context size (512 tokens), try increasing it",
        "Requested tokens (600) exceed context window of 512",  # llama-cpp-python
        "`inputs` tokens + `max_new_tokens` must be <= 512. Given: 600 `inputs` tokens",  # TGI
    ],
)
def test_a_length_that_is_refused_cuts_the_solution(said: str) -> None:
    refusal = Reply({"error": {"message": said}}, status=422 if "inputs" in said else 400)
    with serving(always(refusal)) as (server, policy):
        step = sample(policy)
    assert (step.text, step.token_ids, step.finish) == ("", (), "context")
    assert len(server.bodies) == 1


@pytest.mark.parametrize(
    "said", ["top_p must be in (0, 1]", "Prompt contains invalid tokens", "seed is too large"]
)
def test_what_else_is_refused_is_no_length(said: str) -> None:
    with serving(always(Reply({"error": {"message": said}}, status=400))) as (_, policy):
        assert failure(policy).endswith(f"answers /completions with 400: {said}")


def test_slots_that_share_a_context_are_named() -> None:
    full = Reply({"error": {"message": "Context size has been exceeded."}}, status=500)
    with serving(always(full), max_retries=0) as (_, policy):
        assert "llama.cpp's slots share one context; start it with --no-kv-unified" in failure(
            policy
        )


def test_what_fails_at_every_retry_is_an_error() -> None:
    with serving(always(DOWN), max_retries=1) as (server, policy):
        assert "out of memory" in failure(policy)
    assert len(server.bodies) == 2


def test_no_completions_at_all() -> None:
    with serving(None) as (server, policy):
        message = failure(policy)
    assert message == (
        f"the server at {server.url} cannot continue a text in the middle of an answer: its "
        "/completions answers 404, 'Not Found'; servers such as vLLM, SGLang and llama.cpp can"
    )


def test_a_server_that_does_not_answer_in_time() -> None:
    async def sleep(body: dict[str, Any]) -> Reply:
        await asyncio.sleep(60)
        return OK

    with serving(sleep, timeout=0.2, max_retries=0) as (server, policy):
        message = failure(policy)
    assert message == f"the server at {server.url} did not answer within 0.2 s, the timeout"


def test_a_server_that_goes() -> None:
    with serving(always(OK), max_retries=0, patience=0) as (server, policy):
        pass
    assert failure(policy).startswith(f"cannot reach the server at {server.url}: ")


def test_nothing_answers_at_construction(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ets.EngineError, match=r"^cannot reach the server at http://127.0.0.1:9/v1"):
        load_policy("openai:m@http://127.0.0.1:9/v1")
    assert "waiting for it" not in caplog.text


@pytest.mark.parametrize(
    ("cards", "options", "message"),
    [
        ([card(id="a"), card(id="b")], {}, "has no model 'm'; it has 'a', 'b'"),
        ([card(root="/nowhere")], {}, "the tokenizer of 'm' at .* give tokenizer, .*'/nowhere'"),
        ([PLAIN], {}, "does not say what tokenizer 'm' has: give tokenizer"),
        ([card()], {"tokenizer": "/nowhere"}, "there is no checkpoint folder '/nowhere'"),
    ],
)
def test_what_the_server_cannot_serve(
    cards: list[dict[str, Any]], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ets.EngineError, match=message) as caught, serving(None, *cards, **options):
        pass
    assert "\n" not in str(caught.value)


def test_an_address_that_is_no_api() -> None:
    with scripted_server({}) as server:
        url = server.url.removesuffix("/v1")
        with pytest.raises(ets.EngineError, match="must be the base of its API, such as http"):
            OpenAIPolicy("m", url)
    with pytest.raises(ets.InputError, match="url must be the base of an API"):
        OpenAIPolicy("m", "http://x/v1?key=1")
    with (
        scripted_server({"/v1/models": always(Reply("hello"))}) as server,
        pytest.raises(ets.EngineError, match="answers /models with 'hello', not with a list"),
    ):
        OpenAIPolicy("m", server.url)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        (
            "openai:m@127.0.0.1:8000/v1",
            {},
            "url must be the base of an API, such as http.*got '127",
        ),
        ("openai:m@http://", {}, "url must be"),
        ("openai:m@http://x:port/v1", {}, "url must be"),
        ("openai:m@http://x/v1?key=1", {}, "unknown option 'key' of an openai"),
        ("openai:m@http://x/v1?timeout=0", {}, "timeout must be above 0, got 0"),
        ("openai:@http://x/v1", {}, "model must be the name of a model"),
        ("openai:m", {}, "openai:MODEL@URL or chat:MODEL@URL, got 'openai:m'"),
        ("openai:m@http://x/v1", {"max_lenght": 1}, "unknown option 'max_lenght' of an openai"),
        ("openai:m@http://x/v1", {"timeout": 0}, "timeout must be above 0, got 0"),
        ("openai:m@http://x/v1", {"max_retries": -1}, "max_retries must be an integer from 0"),
        ("openai:m@http://x/v1", {"max_in_flight": 0}, "max_in_flight must be an integer from 1"),
        ("openai:m@http://x/v1", {"max_length": 0}, "max_length must be an integer from 1"),
        ("openai:m@http://x/v1", {"top_p": 2}, "top_p must lie in"),
    ],
)
def test_mistakes_are_found_before_the_server_is_asked(
    name: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        load_policy(name, **options)


def test_without_the_client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openai", None)
    from ets.errors import MissingExtraError

    with pytest.raises(MissingExtraError, match=r"pip install 'ets-search\[openai\]'"):
        load_policy("openai:m@http://127.0.0.1:9/v1")


def test_bad_arguments_of_sample() -> None:
    with serving(None) as (_, policy):
        for seed in (-1, 2**63):
            with pytest.raises(ets.InputError, match=r"seed must lie in \[0, 2\*\*63\)"):
                asyncio.run(policy.sample(policy.start(PROBLEM), seed=seed, max_tokens=4))
        with pytest.raises(ets.InputError, match="max_tokens must be at least 1"):
            asyncio.run(policy.sample(policy.start(PROBLEM), seed=0, max_tokens=0))
