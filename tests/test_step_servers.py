"""Steps whose end no server knows: what is asked of one, and read of a stream that is closed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ets.errors import EngineLostError
from ets.step import Step
from scripted_http import Reply, always

pytest.importorskip("openai", reason="openai is not installed (the extra 'openai' brings it)")
pytest.importorskip("torch", reason="torch is not installed (the extra 'torch' brings it)")

from openai_cases import (
    FOLDER,
    LLAMA,
    PLAIN,
    SGLANG,
    card,
    choice,
    encode,
    failure,
    sample,
    serving,
)

TEXT = "Tom has 3 apples. He buys 4.5 more.\n\nSo 7.5."
FIRST = "Tom has 3 apples."
VLLM = card()


def stream(*events: Any, end: str = "data: [DONE]\n\n") -> Reply:
    body = "".join(f"data: {json.dumps(event)}\n\n" for event in events)
    return Reply(body + end, content_type="text/event-stream")


def pieces(text: str) -> list[tuple[int, str]]:
    from ets.checkpoint.tokenizer import load_tokenizer

    tokenizer = load_tokenizer(FOLDER)
    ids = encode(text)
    texts = [tokenizer.decode(ids[:k]) for k in range(len(ids) + 1)]
    return [(i, b[len(a) :]) for i, a, b in zip(ids, texts[:-1], texts[1:], strict=True)]


def parts(kind: str, text: str, finish: str = "stop") -> list[dict[str, Any]]:
    """As a server of this kind streams a text; all of it, whoever listens."""
    events = []
    for token, piece in pieces(text):
        part: dict[str, Any] = {"text": piece, "finish_reason": None, "index": 0}
        event: dict[str, Any] = {"choices": [part], "usage": None}
        if kind == "vllm":
            part |= {"token_ids": [token], "stop_reason": None}
        elif kind == "llama.cpp":
            event["__verbose"] = {"tokens": [token], "stop": False}
        events.append(event)
    last: dict[str, Any] = {"text": "", "finish_reason": finish}
    if kind == "vllm":
        last |= {"token_ids": [], "stop_reason": None}
    end: dict[str, Any] = {"choices": [last]}
    if kind == "llama.cpp":
        end["__verbose"] = {"tokens": [], "stop_type": "eos", "stopping_word": ""}
    return [*events, end, {"choices": [], "usage": {"prompt_tokens": None}}]


CARDS = {"vllm": VLLM, "llama.cpp": LLAMA, "sglang": SGLANG, "other": PLAIN}


def step_of(kind: str, reply: Reply, **options: Any) -> tuple[Step, dict[str, Any]]:
    with serving(always(reply), CARDS[kind], tokenizer=FOLDER, **options) as (server, policy):
        step = sample(policy, max_tokens=60)
    return step, server.bodies[-1]


@pytest.mark.parametrize("kind", CARDS)
def test_a_sentence_ends_a_step_amid_a_stream(kind: str) -> None:
    step, body = step_of(kind, stream(*parts(kind, TEXT)), step="sentences", stop=("##",))
    assert (step.text, step.finish) == (FIRST, "step")
    assert step.token_ids == tuple(encode(FIRST))
    assert step.dropped_tokens == 1  # " He": the server is not listened to any longer
    assert body["stream"] is True
    assert body["stop"] == ["##"]
    if kind == "vllm":
        assert body["stop_token_ids"] == [1]


@pytest.mark.parametrize("kind", CARDS)
def test_a_stream_that_ends_by_itself(kind: str) -> None:
    text = "So the answer is"
    step, _ = step_of(kind, stream(*parts(kind, text)), step="sentences")
    assert (step.text, step.finish, step.dropped_tokens) == (text, "end", 0)
    step, _ = step_of(kind, stream(*parts(kind, text, "length")), step="sentences")
    assert step.text == text
    assert step.finish in ("length", "end")  # an end that says length and is short of it


@pytest.mark.parametrize("kind", ["vllm", "llama.cpp"])
def test_tokens_are_counted_by_the_server(kind: str) -> None:
    ids = encode(TEXT)[:6]
    text = "".join(piece for _, piece in pieces(TEXT)[:6])
    more: dict[str, Any] = {"token_ids": ids} if kind == "vllm" else {}
    reply = choice(text, "length", **more)
    if kind == "llama.cpp":
        reply.body["__verbose"] = {"tokens": ids, "stop_type": "limit"}
    step, body = step_of(kind, reply, step="tokens:6")
    assert (step.token_ids, step.finish, step.dropped_tokens) == (tuple(ids), "step", 0)
    assert body["max_tokens"] == 6
    assert "stream" not in body
    assert body["stop"] == []


def test_tokens_of_a_server_of_text_are_the_servers() -> None:
    step, body = step_of("other", choice("Tom has 3", "length"), step="tokens:3")
    assert (step.text, step.finish) == ("Tom has 3", "step")
    assert (body["max_tokens"], body["stop"]) == (3, [])
    # A paragraph with an answer is the last one, wherever the server goes on.
    said = "So \\boxed{7}.\n\nNow Ann"
    step, _ = step_of("other", choice(said, "length"), step="tokens:9")
    assert (step.text, step.finish) == ("So \\boxed{7}.\n\n", "answer")
    assert step.dropped_tokens == len(encode(said)) - len(step.token_ids)


def test_log_probabilities_come_in_parts() -> None:
    events = parts("vllm", TEXT)
    for at, event in enumerate(events[:-2]):
        event["choices"][0]["logprobs"] = {
            "token_logprobs": [-0.5 * at],
            "top_logprobs": [{"token_id:1": -0.5 * at, "token_id:2": -9.0}],
        }
    step, _ = step_of("vllm", stream(*events), step="sentences", top_logprobs=2)
    assert step.certainty is not None
    logprobs = step.certainty.of_tokens("logprob")
    assert logprobs.tolist() == [-0.5 * at for at in range(len(step.token_ids))]


def test_what_is_no_stream_of_a_completion_is_an_error_of_one_line() -> None:
    broken: dict[str, Reply] = {
        "its finish_reason is None": stream(*parts("vllm", "So Tom")[:-2], end=""),
        "not with a completion": stream({"choices": [{"finish_reason": "stop", "text": 3}]}),
        "with '7', not with": stream(7),
        "which is no JSON": stream(end="data: {broken\n\n"),
        "with a completion": stream({"choices": [{"text": "So", "token_ids": ["x"]}]}),
        "overloaded": stream({"error": {"message": "overloaded", "code": 500}}),
        "answers /completions with": Reply({"error": {"message": "no streams"}}, status=400),
    }
    for words, reply in broken.items():
        with serving(always(reply), VLLM, step="sentences", max_retries=0) as (_, policy):
            assert words in failure(policy), words


def test_a_server_that_goes_amid_a_stream_is_lost() -> None:
    begun = stream(*parts("vllm", "So Tom has")[:3], end="")
    broken = Reply(begun.body, content_type=begun.content_type, missing=100)
    with (
        serving(always(broken), VLLM, step="sentences", patience=0.0) as (server, policy),
        pytest.raises(EngineLostError, match="the server at") as caught,
    ):
        sample(policy)
    assert server.url.removesuffix("/v1") in str(caught.value)


def test_a_pattern_that_is_given_up_closes_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ets.policy.step_pattern._SECONDS", 0.0)
    reply = stream(*parts("vllm", TEXT))
    with serving(always(reply), VLLM, step=r"regex:(a|\w|\s)*(\w|\s)*%(?!%)") as (_, policy):
        assert "was given up" in failure(policy)
