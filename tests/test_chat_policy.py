"""`ChatPolicy` over a scripted server: what it asks for, and what it makes of the answers."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ets
from chat_cases import CARD, PROBLEM, TOOL, chatting, said, sample, searched
from ets.engines import Step
from ets.policy import load_policy
from scripted_http import always

pytest.importorskip("openai", reason="openai is not installed (the extra 'openai' brings it)")

from ets.policy.chat_options import ChatOptions

OK = said()


# --- what is asked for ----------------------------------------------------------------------------


def test_a_sample_is_one_request() -> None:
    with chatting(always(OK)) as (server, policy):
        step = sample(policy, max_tokens=64, seed=5)
    assert server.bodies == [
        {
            "model": "m",
            "messages": [{"role": "user", "content": PROBLEM}],
            "temperature": 1.0,
            "top_p": 1.0,
            "seed": 5,
            "max_tokens": 64,
        }
    ]
    assert "x-session-id" in server.headers[0].lower()
    assert step == Step(
        "The answer is 7.", (), "end", prompt_tokens=21, cached_tokens=16, written_tokens=9
    )
    assert step.tokens == 9


def test_options_go_into_the_request() -> None:
    options = {
        "temperature": None,
        "top_p": None,
        "stop": "END",
        "system_prompt": "Be brief.",
        "user_template": "Q: {problem}",
        "top_logprobs": 3,
        "seed_bits": 0,
        "token_limit": "max_completion_tokens",
        "tools": [TOOL],
        "tool_choice": "required",
        "parallel_tool_calls": False,
        "response_format": "json_object",
        "extra_body": {"reasoning_effort": "low", "top_k": 5},
    }
    token = {"token": "7", "logprob": -0.5, "top_logprobs": [{"token": "7", "logprob": -0.5}]}
    with chatting(always(said(logprobs={"content": [token]})), **options) as (server, policy):
        sample(policy)
    assert server.bodies == [
        {
            "model": "m",
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": f"Q: {PROBLEM}"},
            ],
            "stop": ["END"],
            "tools": [TOOL],
            "tool_choice": "required",
            "parallel_tool_calls": False,
            "response_format": {"type": "json_object"},
            "logprobs": True,
            "top_logprobs": 3,
            "reasoning_effort": "low",
            "top_k": 5,
            "max_completion_tokens": 64,
        }
    ]


@pytest.mark.parametrize(
    ("card", "seed", "sent", "more"),
    [
        (CARD, 2**62 + 5, 2**62 + 5, {}),
        (
            {"id": "m", "owned_by": "llamacpp"},
            2**32,
            1,
            {"top_k": 0, "min_p": 0.0, "repeat_penalty": 1.0},
        ),
        (
            {"id": "m", "owned_by": "vllm"},
            2**62 + 5,
            2**62 + 5,
            {"top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0},
        ),
    ],
    ids=["other", "llama.cpp", "vllm"],
)
def test_servers_that_are_known_are_told_to_sample_from_all_tokens(
    card: dict[str, Any], seed: int, sent: int, more: dict[str, Any]
) -> None:
    with chatting(always(OK), card) as (server, policy):
        sample(policy, seed=seed)
    body = server.bodies[0]
    assert body["seed"] == sent
    assert {key: body[key] for key in ("top_k", "min_p") if key in body} == {
        key: value for key, value in more.items() if key in ("top_k", "min_p")
    }
    assert more.items() <= body.items()


def test_small_seeds_for_servers_that_take_no_others() -> None:
    with chatting(always(OK), seed_bits=31) as (server, policy):
        sample(policy, seed=2**62 + 9)
    assert server.bodies[0]["seed"] == 9


def test_a_dialogue_is_sent_as_it_is() -> None:
    messages = [
        {"role": "system", "content": "Answer in whole numbers."},
        {"role": "user", "content": "Ben has 9 coins. How many?"},
        {"role": "assistant", "content": "The answer is 9."},
        {"role": "user", "content": "And with 6 more?"},
    ]
    with chatting(always(OK), system_prompt="not this", user_template="Q: {problem}") as (
        server,
        policy,
    ):
        with ets.Search(policy=policy, prm="none", strategy=ets.BestOfN(width=2)) as search:
            assert search.solve(messages).answer == "7"
        asyncio.run(policy.aclose())
    wanted = [*messages[:-1], {"role": "user", "content": "Q: And with 6 more?"}]
    assert [body["messages"] for body in server.bodies] == [wanted, wanted]
    assert len({body["seed"] for body in server.bodies}) == 2


def test_tools_and_formats_come_from_files(tmp_path: Path) -> None:
    (tmp_path / "tools.json").write_text(json.dumps([TOOL]))
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}}
    (tmp_path / "form.json").write_text(json.dumps(form))
    options = ChatOptions(
        tools=str(tmp_path / "tools.json"), response_format=str(tmp_path / "form.json")
    )
    assert (options.tools, options.response_format) == ([TOOL], form)
    (tmp_path / "tools.json").write_text("[")
    with pytest.raises(ets.InputError, match=r"tools: the file .* is no JSON"):
        ChatOptions(tools=str(tmp_path / "tools.json"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": -1}, "temperature must be >= 0, or None, got -1"),
        ({"top_p": 0}, r"top_p must lie in \(0, 1\], got 0"),
        ({"top_logprobs": -1}, "top_logprobs must be an integer"),
        ({"vocabulary": 1}, "vocabulary must be an integer from 2"),
        ({"seed_bits": 64}, "seed_bits must be an integer from 0 to 63, got 64"),
        ({"token_limit": "tokens"}, "token_limit must be one of"),
        ({"delimiter": ""}, "delimiter must not be empty"),
        ({"user_template": "x"}, "user_template must hold '{problem}'"),
        ({"tools": []}, r"tools must be a list of the API's tool objects, .* got \[\]"),
        ({"tools": [3]}, "tools must be a list of the API's tool objects"),
        ({"tools": "nowhere.json"}, "tools must be given as objects or as a JSON file"),
        ({"tools": [{"x": object()}]}, "tools must hold what JSON can"),
        ({"tools": [TOOL], "tool_choice": "maybe"}, "tool_choice must be one of"),
        ({"tool_choice": "auto"}, "tool_choice needs tools, got none"),
        ({"parallel_tool_calls": True}, "parallel_tool_calls needs tools, got none"),
        ({"tools": [TOOL], "parallel_tool_calls": 1}, "parallel_tool_calls must be True or False"),
        ({"response_format": {}}, "response_format must be the API's object with a type"),
        ({"response_format": "json"}, "response_format must be given as objects or as a JSON file"),
        ({"extra_body": {"n": 3}}, "extra_body must not hold 'n', which the policy sets"),
        ({"extra_body": {"x": float("nan")}}, "extra_body must hold what JSON can"),
        ({"extra_body": "x"}, "extra_body must be a table of a request's fields"),
        ({"chat_template": "x"}, "unknown option 'chat_template' of a chat policy; its options"),
    ],
)
def test_options_that_are_none_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ets.InputError, match=message) as caught:
        load_policy("chat:m@http://127.0.0.1:9/v1", **options)
    assert "\n" not in str(caught.value)


# --- what is made of an answer --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ({"reasoning_content": "3 + 4"}, "<think>\n3 + 4\n</think>\n\nIt is 7."),
        ({"reasoning": "3 + 4"}, "<think>\n3 + 4\n</think>\n\nIt is 7."),
        ({"reasoning": "3", "reasoning_content": "3"}, "<think>\n3\n</think>\n\nIt is 7."),
        ({"content": "<think>8?</think>\n\nIt is 7."}, "<think>8?</think>\n\nIt is 7."),
        (
            {
                "content": [
                    {"type": "thinking", "thinking": "8?"},
                    {"type": "text", "text": "It is 7."},
                ]
            },
            "<think>\n8?\n</think>\n\nIt is 7.",
        ),
        ({"reasoning": None, "reasoning_content": ""}, "It is 7."),
    ],
)
def test_thoughts_are_no_part_of_the_answer(message: dict[str, Any], text: str) -> None:
    with chatting(always(said("It is 7.", message=message))) as (_, policy):
        step = sample(policy)
    assert (step.text, step.tokens) == (text, 9)
    assert step.answer_text == ("\n\nIt is 7." if text != "It is 7." else text)


def test_thoughts_that_are_cut_hold_no_answer() -> None:
    reply = said(None, "length", message={"reasoning": "maybe 8"}, usage={"completion_tokens": 64})
    with chatting(always(reply)) as (server, policy):
        result = searched(policy, max_tokens=64)
        asyncio.run(policy.aclose())
    assert len(server.bodies) == 4, "a cut thought must not be asked to go on"
    assert result.answer is None
    assert result.note == "4 of 4 solutions were cut, by max_tokens: raise max_tokens"
    assert result.usage.policy_tokens == 4 * 64


def test_what_a_prm_reads_is_parted_and_without_thoughts() -> None:
    read: list[list[str]] = []

    def prm(problem: str, steps: list[str]) -> float:
        read.append(steps)
        return 0.5

    content = "So 3.\n\n\n\nAnd 4.\n\nThe answer is 7."
    reply = said(content, message={"reasoning": "8?\n\n9?"})
    with chatting(always(reply)) as (_, policy):
        searched(policy, 1, prm)
        searched(policy, 1, prm, prm_thinking="read")
        asyncio.run(policy.aclose())
    parts = ["So 3.\n\n\n\n", "And 4.\n\n", "The answer is 7."]
    assert [text.strip() for text in read[0]] == [part.strip() for part in parts]
    assert read[1][0] == "<think>\n8?\n\n9?\n</think>\n\nSo 3."
    assert read[1][1:] == read[0][1:]


@given(st.lists(st.sampled_from(["a", " ", "\n", "\n\n", "b\n\n", "7"])), st.integers(0, 6))
def test_parted_steps_are_the_same_text(pieces: list[str], thinking: int) -> None:
    text = "".join(pieces)
    step = Step(text, (), "end", written_tokens=5, thinking=min(thinking, len(text)))
    parts = step.parted("\n\n")
    assert "".join(part.text for part in parts) == text
    assert parts[0].thinking == step.thinking
    assert sum(part.tokens for part in parts) == 5
    assert [part.finish for part in parts] == ["step"] * (len(parts) - 1) + ["end"]
    if len(parts) > 1:
        assert all(part.answer_text.strip() for part in parts)


def test_log_probabilities_are_those_that_came() -> None:
    """Against the definitions, computed here."""
    tops = [[-0.2, -2.5, -4.0], [-0.9, -1.1, -3.0]]
    tokens = [
        {
            "token": "x",
            "logprob": one[0],
            "top_logprobs": [{"token": "y", "logprob": v} for v in one],
        }
        for one in tops
    ]
    options = {"top_logprobs": 3, "vocabulary": 50}
    with chatting(always(said(logprobs={"content": tokens})), **options) as (_, policy):
        step = sample(policy)
    assert step.certainty is not None
    logs = np.array(tops)
    rest = 1 - np.exp(logs).sum(axis=1)
    tail = np.minimum(np.log(rest / 47), logs.min(axis=1))
    far = -np.log(50) - (logs.sum(axis=1) + 47 * tail) / 50
    assert step.certainty.of_tokens("logprob") == pytest.approx(logs[:, 0], abs=1e-6)
    assert step.certainty.of_tokens("confidence") == pytest.approx(-logs.mean(axis=1), abs=1e-6)
    assert step.certainty.of_tokens("self_certainty") == pytest.approx(far, abs=1e-5)


def test_the_size_of_the_vocabulary_hardly_matters() -> None:
    from ets.certainty import Certainty

    logs = [[-0.2, -2.5, -4.0], [-1.7, -1.9, -3.0]]
    small, large = (Certainty.of([-0.2, -1.7], logs, size) for size in (32_000, 262_144))
    assert small.of_tokens("self_certainty") == pytest.approx(
        large.of_tokens("self_certainty"), abs=1e-2
    )
