"""Log-probabilities of scripted servers: the forms that they have, and what is said of none."""

from __future__ import annotations

from typing import Any

import pytest

from certainty_cases import NATS
from ets.certainty import MEASURES, Certainty
from openai_cases import LLAMA, PLAIN, SENTENCE, SGLANG, card, choice, encode, sample, serving
from scripted_http import Reply, always

IDS = encode(SENTENCE)
SAMPLED = [-2.0 if at % 2 else -4.5 for at in range(len(IDS))]
TOP = [[-0.25, -2.0, -3.0] for _ in IDS]
"""The likeliest three, of which every other token sampled is none."""


def lists() -> dict[str, Any]:
    """As vLLM and SGLang have them: the sampled token is always an entry."""
    top = [
        {f"token_id:{k}": log for k, log in enumerate(dict.fromkeys([mine, *logs]))}
        for mine, logs in zip(SAMPLED, TOP, strict=True)
    ]
    return {"token_logprobs": SAMPLED, "top_logprobs": top, "tokens": [], "text_offset": []}


def objects() -> dict[str, Any]:
    """As llama.cpp has them."""
    return {
        "content": [
            {"id": 1, "logprob": mine, "top_logprobs": [{"id": 2, "logprob": log} for log in logs]}
            for mine, logs in zip(SAMPLED, TOP, strict=True)
        ]
    }


def answer(logprobs: dict[str, Any] | None, **more: Any) -> Reply:
    return choice(SENTENCE.strip() if not more else SENTENCE, logprobs=logprobs, **more)


def llama(logprobs: dict[str, Any] | None) -> Reply:
    body = answer(logprobs, ids=True).body
    body["__verbose"] = {"tokens": IDS, "stop_type": "word", "stopping_word": "\n\n"}
    del body["choices"][0]["ids"]
    return Reply(body)


OF_VLLM = {"token_ids": IDS, "stop_reason": "\n\n"}


@pytest.mark.parametrize(
    ("kind", "reply"),
    [
        (card(), answer(lists(), **OF_VLLM)),
        (SGLANG, answer(lists(), matched_stop="\n\n")),
        (LLAMA, llama(objects())),
        (PLAIN, answer(lists())),
    ],
    ids=["vllm", "sglang", "llama.cpp", "other"],
)
def test_each_server_is_read_in_its_form(kind: dict[str, Any], reply: Reply) -> None:
    with serving(always(reply), kind, tokenizer=card()["root"], top_logprobs=3) as (server, policy):
        size = len(policy.prompt.tokenizer)
        step = sample(policy)
        assert server.bodies[0]["logprobs"] == 3
    wanted = Certainty.of(SAMPLED, TOP, size)
    assert step.text == SENTENCE
    assert step.certainty is not None
    for measure in MEASURES:
        found, right = step.certainty.of_tokens(measure), wanted.of_tokens(measure)
        assert found == pytest.approx(right, abs=NATS)


@pytest.mark.parametrize(
    ("kind", "reply", "said"),
    [
        (card(), answer(None, **OF_VLLM), r"the vllm server at \S+ gives none with .* of 'm'"),
        (SGLANG, answer(None), r"the sglang server at \S+ gives none with"),
        (LLAMA, llama(None), r"the llama.cpp server at \S+ gives none with"),
        (PLAIN, answer(None), r"the server at \S+ gives none with the completions of 'm'"),
        (
            PLAIN,
            answer({**lists(), "top_logprobs": None}),
            "gives none with .*: top_logprobs=3 asks for",
        ),
        (
            card(),
            answer({k: v[:2] for k, v in lists().items()}, **OF_VLLM),
            f"gives those of 2 of {len(IDS)} tokens",
        ),
        (
            PLAIN,
            answer({**lists(), "top_logprobs": [{} for _ in IDS]}),
            r"log-probabilities that are none with .*: top\[0\] must hold 1 to",
        ),
        (PLAIN, answer({**lists(), "top_logprobs": 7}), "not with a completion"),
    ],
)
def test_a_server_that_gives_none_is_named_at_once(
    kind: dict[str, Any], reply: Reply, said: str
) -> None:
    import ets

    with serving(always(reply), kind, tokenizer=card()["root"], top_logprobs=3) as (_, policy):
        with pytest.raises(ets.EngineError, match=said) as caught:
            sample(policy)
        assert "\n" not in str(caught.value)


def test_nothing_is_asked_for_unless_told() -> None:
    with serving(always(answer(None, **OF_VLLM)), card()) as (server, policy):
        assert sample(policy).certainty is None
        assert not {"logprobs", "return_tokens_as_token_ids"} & server.bodies[0].keys()


def test_an_empty_step_has_no_numbers_to_miss() -> None:
    ended = choice("", token_ids=[], stop_reason=None)
    with serving(always(ended), card(), top_logprobs=3) as (_, policy):
        assert sample(policy).certainty == Certainty(b"")
