"""Policies behind servers: what is asked and made of the answers, and every way that can fail."""

from __future__ import annotations

import asyncio
import gc
import json
import re
import shutil
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import ets
from conftest import DEMO
from ets import demo
from ets.engines.protocols import Policy
from ets.policy import load_policy
from ets.step import Prefix, Step
from scripted_http import Reply, Script, ScriptedServer, scripted_server

pytest.importorskip("openai", reason="openai is not installed (the extra 'openai' brings it)")
pytest.importorskip("torch", reason="torch is not installed (the extra 'torch' brings it)")

from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing

from ets.errors import EngineLostError
from ets.policy.completion import Completion
from ets.policy.openai import OpenAIPolicy

FOLDER = str(DEMO / "policy")
PROBLEM = str(demo.problems()[2]["problem"])
SENTENCE = "So Tom has 3 apples.\n\n"


def card(**more: Any) -> dict[str, Any]:
    return {"id": "m", "owned_by": "vllm", "root": FOLDER, "max_model_len": 512, **more}


def always(reply: Reply | None) -> Script:
    async def script(body: dict[str, Any]) -> Reply | None:
        return reply

    return script


def choice(text: str = "", finish: str | None = "stop", **more: Any) -> Reply:
    usage = {"prompt_tokens_details": {"cached_tokens": 7}}
    return Reply(
        {"choices": [{"text": text, "finish_reason": finish, **more}], "usage": usage},
    )


@contextmanager
def serving(
    completions: Script | None, *cards: dict[str, Any], **options: Any
) -> Iterator[tuple[ScriptedServer, OpenAIPolicy]]:
    """A scripted server and a policy on it; each test closes the policy's loops by itself."""
    models = always(Reply({"object": "list", "data": list(cards) or [card()]}))
    scripts: dict[str, Script] = {"/v1/models": models}
    if completions is not None:
        scripts["/v1/completions"] = completions
    with scripted_server(scripts) as server:
        yield server, OpenAIPolicy("m", server.url, **options)


def run(policy: OpenAIPolicy, work: Callable[[], Awaitable[Any]]) -> Any:
    async def then_close() -> Any:
        try:
            return await work()
        finally:
            await policy.aclose()

    return asyncio.run(then_close())


def sample(policy: OpenAIPolicy, *, max_tokens: int = 32, seed: int = 5) -> Step:
    root = policy.start(PROBLEM)
    step = run(policy, lambda: policy.sample(root, seed=seed, max_tokens=max_tokens))
    assert isinstance(step, Step)
    return step


def failure(policy: OpenAIPolicy) -> str:
    with pytest.raises(ets.EngineError) as caught:
        sample(policy)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def encode(text: str) -> list[int]:
    from ets.checkpoint.tokenizer import load_tokenizer

    return list(load_tokenizer(FOLDER).encode(text, add_special_tokens=False))


# --- vLLM: ids ------------------------------------------------------------------------------------


def test_a_step_of_a_saved_tree_is_read_again_without_the_server() -> None:
    with serving(always(DOWN)) as (server, policy):
        root = policy.start(PROBLEM)
        assert policy.reread(root, SENTENCE) == Step(SENTENCE, tuple(encode(SENTENCE)), "step")
    assert server.bodies == []


def test_ids_go_and_come() -> None:
    ids = [*encode(SENTENCE), 9, 9]
    reply = choice(SENTENCE, token_ids=ids, stop_reason="\n\n")
    with serving(always(reply), stop=("##",), temperature=0.5, top_p=0.9) as (server, policy):
        assert isinstance(policy, Policy)
        root = policy.start(PROBLEM)
        step = sample(policy)
    assert step == Step(SENTENCE, tuple(ids[:-2]), "step", root.prompt_tokens, 7, dropped_tokens=2)
    (body,) = server.bodies
    assert body == {
        "model": "m",
        "prompt": list(root.token_ids),
        "n": 1,
        "max_tokens": 32,
        "seed": 5,
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 0,
        "min_p": 0.0,
        "repetition_penalty": 1.0,
        "stop": ["\n\n", "##"],
        "include_stop_str_in_output": True,
        "stop_token_ids": [1],
        "skip_special_tokens": True,
        "spaces_between_special_tokens": False,
        "return_token_ids": True,
    }
    assert "authorization: bearer empty" in server.headers[0].lower()


def test_a_step_ends_by_ids_where_ids_tell_and_by_texts_where_not() -> None:
    (delimiter,) = encode("\n\n")
    with serving(always(OK)) as (server, policy):
        sample(policy)
    assert server.bodies[0]["stop"] == []
    assert server.bodies[0]["stop_token_ids"] == sorted({delimiter, *policy.prompt.end_ids})
    with serving(always(OK), stop=("Ann",)) as (server, policy):
        sample(policy)
    assert server.bodies[0]["stop"] == ["\n\n", "Ann"]
    assert server.bodies[0]["stop_token_ids"] == sorted(policy.prompt.end_ids)


def test_the_context_is_the_smallest_that_is_stated() -> None:
    reply = choice("So Tom", "length", token_ids=encode("So Tom"))
    for length, expected in ((None, 512), (40, 40)):
        with serving(always(reply), max_length=length) as (_, policy):
            assert policy.prompt.max_length == expected
    with serving(always(reply), card(max_model_len=10**6)) as (_, policy):
        assert policy.prompt.max_length == 1024  # the checkpoint's own


def test_a_full_context_is_not_asked_for() -> None:
    with serving(None) as (server, policy):
        root = policy.start(PROBLEM)
        full = root.extend(Step("x", (9,) * (512 - root.prompt_tokens), "length"))
        step = run(policy, lambda: policy.sample(full, seed=0, max_tokens=8))
    assert (step.token_ids, step.finish) == ((), "context")
    assert not server.bodies


def test_an_adapter_has_its_base_models_tokenizer() -> None:
    base = card(id="base")
    adapter = card(root="/nowhere/adapter", parent="base", max_model_len=None)
    with serving(None, base, adapter) as (_, policy):
        assert (policy.server.root, policy.server.max_length) == (FOLDER, 512)


def test_an_answer_without_ids_or_with_others() -> None:
    with serving(always(choice("So"))) as (server, policy):
        assert "returned no token ids" in failure(policy)
    broken = choice(SENTENCE, token_ids=[9, 9], stop_reason="\n\n")
    with serving(always(broken)) as (server, policy):
        assert "its tokenizer is not ours" in failure(policy)
    cut = Reply({**choice("So", token_ids=[9]).body, "usage": {"prompt_tokens": 3}})
    with serving(always(cut)) as (server, policy):
        assert f"the vLLM server at {server.url} read 3 prompt tokens of" in failure(policy)


# --- other servers: text --------------------------------------------------------------------------

SGLANG = card(owned_by="sglang")
LLAMA = {"id": "m", "owned_by": "llamacpp"}
PLAIN = {"id": "m", "owned_by": "someone"}


def text_step(server_card: dict[str, Any], reply: Reply, **options: Any) -> Step:
    with serving(always(reply), server_card, tokenizer=FOLDER, **options) as (_, policy):
        return sample(policy, max_tokens=16)


@pytest.mark.parametrize(
    ("server_card", "reply", "text", "finish"),
    [
        # The server says what ended the text, and may have left it in.
        (SGLANG, choice("So 3.", matched_stop="\n\n"), "So 3.\n\n", "step"),
        (SGLANG, choice("So 3.\n\n", matched_stop="\n\n"), "So 3.\n\n", "step"),
        (SGLANG, choice("So 3.", matched_stop="##"), "So 3.##", "end"),
        (SGLANG, choice("So 3.", matched_stop=1), "So 3.", "end"),
        (SGLANG, choice("So 3.", matched_stop=None), "So 3.", "end"),
        (SGLANG, choice("So 3", "length", matched_stop=None), "So 3", "length"),
        # It does not say.
        (LLAMA, choice("So 3."), "So 3.\n\n", "step"),
        (LLAMA, choice("So 3.\n\nThen"), "So 3.\n\n", "step"),
        (LLAMA, choice("So 3 ## 4\n\n"), "So 3 ##", "end"),
        (LLAMA, choice("The answer is 3."), "The answer is 3.", "end"),
        (LLAMA, choice("The answer is"), "The answer is\n\n", "step"),
        (LLAMA, choice("The answer is 3", "length"), "The answer is 3", "length"),
        (LLAMA, choice("So 3", "length"), "So 3", "length"),
        (LLAMA, choice(""), "", "end"),
        (LLAMA, choice("", "length"), "", "context"),
        # An answer ends the solution where its end is hidden.
        (LLAMA, choice("So the Answer is 2."), "So the Answer is 2.", "end"),
        (LLAMA, choice("**Answer:** two"), "**Answer:** two", "end"),
        (LLAMA, choice("so \\fbox{2}"), "so \\fbox{2}", "answer"),
        (LLAMA, choice("Whether the answer is 2"), "Whether the answer is 2\n\n", "step"),
        (LLAMA, choice("**Final Answer**\n\n2"), "**Final Answer**\n\n2", "end"),
        (LLAMA, choice("Is this answer is right?"), "Is this answer is right?\n\n", "step"),
        (SGLANG, choice("Answer: 2", matched_stop="\n\n"), "Answer: 2\n\n", "step"),
    ],
)
def test_steps_of_texts(server_card: dict[str, Any], reply: Reply, text: str, finish: str) -> None:
    step = text_step(server_card, reply, stop=("##",))
    assert (step.text, step.finish) == (text, finish)
    assert step.token_ids == tuple(encode(text))
    assert step.cached_tokens == 7


def test_texts_join_and_ids_extend() -> None:
    steps: list[Step] = []
    with serving(always(choice("So Tom has 3 apples.")), SGLANG, tokenizer=FOLDER) as (
        server,
        policy,
    ):
        root = policy.start(PROBLEM)

        async def two() -> Prefix:
            prefix = root
            for seed in (2**62, 1):
                steps.append(await policy.sample(prefix, seed=seed, max_tokens=32))
                prefix = prefix.extend(steps[-1])
            return prefix

        last = run(policy, two)
    prompt = policy.prompt.text(PROBLEM)
    assert [body["prompt"] for body in server.bodies] == [prompt, prompt + SENTENCE]
    assert last.token_ids == root.token_ids + 2 * tuple(encode(SENTENCE))
    first = server.bodies[0]
    assert first["seed"] == 2**62
    assert (first["top_k"], first["min_p"], first["stop"]) == (-1, 0.0, ["\n\n"])


def test_a_server_that_is_not_known_gets_standard_fields_only() -> None:
    with serving(always(choice("So")), PLAIN, tokenizer=FOLDER) as (server, policy):
        sample(policy)
    known = {"model", "prompt", "n", "max_tokens", "seed", "temperature", "top_p", "stop"}
    assert set(server.bodies[0]) == known


def test_the_end_of_the_context_ends_a_text() -> None:
    reply = choice("So 3", "length")
    with serving(always(reply), LLAMA, tokenizer=FOLDER) as (_, policy):
        length = policy.start(PROBLEM).prompt_tokens + 8
    with serving(always(reply), LLAMA, tokenizer=FOLDER, max_length=length) as (server, policy):
        assert sample(policy).finish == "context"
    assert server.bodies[0]["max_tokens"] == 8


def test_the_servers_tokenizer_writes_the_first_token(tmp_path: Path) -> None:
    """A template that writes it too would make two of it."""
    for file in (DEMO / "policy").glob("*.json"):
        shutil.copy(file, tmp_path)
    told = json.loads((tmp_path / "tokenizer_config.json").read_text())
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({**told, "bos_token": "<|user|>"}))
    tokenizer = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    tokenizer.post_processor = TemplateProcessing(
        single="<|user|> $A", special_tokens=[("<|user|>", 2)]
    )
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    with serving(always(choice("So")), PLAIN, tokenizer=tmp_path) as (server, policy):
        root = policy.start(PROBLEM)
        sample(policy)
    assert root.token_ids.count(2) == 1
    assert policy.prompt.text(PROBLEM) == "<|user|>" + server.bodies[0]["prompt"]


# --- what goes wrong ------------------------------------------------------------------------------


def in_turn(*replies: Reply | None) -> Script:
    left = list(replies)

    async def script(body: dict[str, Any]) -> Reply | None:
        return left.pop(0) if len(left) > 1 else left[0]

    return script


OK = choice(SENTENCE, token_ids=encode(SENTENCE), stop_reason="\n\n")
BUSY = Reply({"error": {"message": "too many requests"}}, status=429)
DOWN = Reply({"error": {"message": "out of\nmemory"}}, status=500)


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


def test_nothing_answers_at_construction() -> None:
    began = time.monotonic()
    with pytest.raises(ets.EngineError, match=r"^cannot reach the server at http://127.0.0.1:9/v1"):
        load_policy("openai:m@http://127.0.0.1:9/v1")
    assert time.monotonic() - began < 30


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
        ("openai:m", {}, "or openai:MODEL@URL, got 'openai:m'"),
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


# --- many requests --------------------------------------------------------------------------------


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


async def until(true: Callable[[], bool]) -> None:
    for _ in range(500):
        if true():
            return
        await asyncio.sleep(0.01)
    raise TimeoutError


async def never(body: dict[str, Any]) -> Reply:
    await asyncio.sleep(3600)
    return OK


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
