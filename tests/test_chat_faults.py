"""`ChatPolicy` and what goes wrong: servers that fail, refuse, filter, or say too little."""

from __future__ import annotations

import json
import logging
import re
from typing import Any

import pytest

import ets
from chat_cases import (
    PATH,
    PROBLEM,
    called,
    chatting,
    failure,
    refused,
    said,
    sample,
)
from scripted_http import BUSY, DOWN, Reply, always, in_turn, run, scripted_server

pytest.importorskip("openai", reason="openai is not installed (the extra 'openai' brings it)")

from ets.errors import ContextError, EngineLostError
from ets.policy.chat import ChatPolicy
from ets.step import Step

OK = said()


@pytest.mark.parametrize("fault", [BUSY, DOWN, None], ids=["429", "500", "dropped"])
def test_what_passes_is_tried_again(fault: Reply | None) -> None:
    with chatting(in_turn(fault, OK)) as (server, policy):
        assert sample(policy).text == "The answer is 7."
    assert len(server.bodies) == 2
    assert server.bodies[0] == server.bodies[1]


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (BUSY, "the server at URL answers /chat/completions with 429: too many requests"),
        (DOWN, "the server at URL answers /chat/completions with 500: out of memory"),
        (None, "cannot reach the server at URL: .+"),
        (
            refused("The model `m` does not exist.", 404),
            "the server at URL answers /chat/completions with 404: The model `m` does not exist.",
        ),
        (
            refused("no such path", 404),
            "the server at URL answers /chat/completions with 404, 'no such path': the URL must be "
            "the base of its API, such as http://127.0.0.1:8000/v1",
        ),
        (
            refused("Unsupported value: 'temperature' does not support 1.0 with this model."),
            "the server at URL refuses temperature: .*; temperature=null leaves it out",
        ),
        (
            refused("Extra inputs are not permitted: seed", 422),
            "the server at URL refuses seed: .*; seed_bits=31 sends small ones, seed_bits=0 none",
        ),
        (Reply("<html>\nbusy", content_type="text/html"), "the server at URL answers .*'<html>.*"),
        (Reply('{"choices": [{"mes'), ".*/chat/completions with '{.*', not with a chat completion"),
        (Reply({"choices": []}), ".*not with a chat completion"),
        (Reply({"choices": [{"message": None, "finish_reason": "stop"}]}), ".*chat completion"),
        (Reply([1]), ".*not with a chat completion"),
        (said(usage={"completion_tokens": -1}), ".*not with a chat completion"),
        (said(usage={"completion_tokens": True}), ".*not with a chat completion"),
        (said(usage={"completion_tokens": "9"}), ".*not with a chat completion"),
        (said(message={"tool_calls": {"a": 1}}), ".*not with a chat completion"),
        (said(message={"content": 7}), ".*not with a chat completion"),
        (
            said(finish=None),
            "the server at URL broke an answer off: its finish_reason is None, where 'stop', "
            "'length', 'tool_calls' or 'content_filter' was due",
        ),
        (said(finish="abort"), "the server at URL broke an answer off: .*'abort'.*"),
    ],
)
def test_what_stays_is_an_error_of_one_line(reply: Reply | None, message: str) -> None:
    with chatting(always(reply), max_retries=0, patience=0) as (server, policy):
        found = failure(policy)
    pattern = message.replace("(", r"\(").replace("server at URL", f"server at {server.url}")
    assert re.fullmatch(pattern, found)
    assert len(server.bodies) == 1


def test_keys_and_headers_are_shown_nowhere() -> None:
    key, other = "sk-5f2e-secret", "gateway-8c1d-secret"
    reply = refused(f"wrong key {key} or {other}", 401)
    headers = {"X-Gateway-Key": other, "X-Team": "blue"}
    with chatting(always(reply), api_key=key, headers=headers) as (server, policy):
        found = failure(policy)
    assert found.endswith("answers /chat/completions with 401: wrong key *** or ***")
    sent = server.headers[0].lower()
    assert f"authorization: bearer {key}" in sent
    assert f"x-gateway-key: {other}" in sent
    assert "x-team: blue" in sent


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ("X-Team: blue", "headers must be a table of names and texts"),
        ({"X Team": "blue"}, "headers must have names of HTTP headers, got 'X Team'"),
        ({"X-Team": "blue\r\nHost: evil"}, "headers['X-Team'] must be a text of one line in ASCII"),
        ({"X-Key": "sk\n"}, "headers['X-Key'] must be a text of one line in ASCII, got ***"),
        ({"X-Team": 3}, "headers['X-Team'] must be a text of one line in ASCII, got 3"),
    ],
)
def test_headers_that_are_none_are_refused(headers: Any, message: str) -> None:
    with pytest.raises(ets.InputError, match=re.escape(message)):
        ChatPolicy("m", "http://127.0.0.1:9/v1", headers=headers)


# --- what a server says of itself -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("models", "words"),
    [
        (Reply({"detail": "Not Found"}, status=404), "answers /models with 404"),
        (Reply({"detail": "no"}, status=405), "answers /models with 405"),
        (Reply("<html>"), "not with a list of models"),
        (Reply({"data": [{"id": "other"}]}), "has no model 'm'; it has 'other'"),
    ],
)
def test_a_server_need_not_list_its_model(
    models: Reply, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    with scripted_server({"/v1/models": always(models), PATH: always(OK)}) as server:
        policy = ChatPolicy("m", server.url, max_retries=0)
        assert sample(policy).text == "The answer is 7."
    (line,) = [r.getMessage() for r in caplog.records if r.name == "ets"]
    assert words in line
    assert line.endswith("'m' is asked for all the same")
    assert policy.max_length is None


def test_a_server_that_is_not_there_is_an_error_at_once() -> None:
    with pytest.raises(
        EngineLostError, match=r"cannot reach the server at http://127\.0\.0\.1:9/v1"
    ):
        ChatPolicy("m", "http://127.0.0.1:9/v1", max_retries=0)


# --- limits ---------------------------------------------------------------------------------------


def test_a_server_that_wants_the_other_limit_gets_it_from_then_on() -> None:
    """As OpenAI's reasoning models do."""
    message = (
        "Unsupported parameter: 'max_tokens' is not supported with this model. Use "
        "'max_completion_tokens' instead."
    )

    async def script(body: dict[str, Any]) -> Reply:
        return refused(message) if "max_tokens" in body else OK

    with chatting(script) as (server, policy):
        root = policy.start(PROBLEM)

        async def twice() -> list[Step]:
            return [await policy.sample(root, seed=s, max_tokens=64) for s in (1, 2)]

        assert [step.finish for step in run(policy, twice)] == ["end", "end"]
    limits = [(b.get("max_tokens"), b.get("max_completion_tokens")) for b in server.bodies]
    assert limits == [(64, None), (None, 64), (None, 64)]


def test_a_limit_that_is_named_is_not_changed() -> None:
    reply = refused("Use 'max_completion_tokens' instead.")
    with chatting(always(reply), token_limit="max_tokens") as (server, policy):
        assert "max_completion_tokens" in failure(policy)
    assert len(server.bodies) == 1


TOO_LONG = (
    "'max_tokens' or 'max_completion_tokens' is too large: 64. This model's maximum context length "
    "is 80 tokens and your request has 21 input tokens."
)


def test_where_prompt_and_limit_are_too_much_the_context_is_filled() -> None:
    full = said("So he has", "length", usage={"prompt_tokens": 21, "completion_tokens": 59})
    with chatting(in_turn(refused(TOO_LONG), full)) as (server, policy):
        step = sample(policy)
    assert (step.text, step.finish, step.tokens) == ("So he has", "context", 59)
    assert ["max_tokens" in body for body in server.bodies] == [True, False]
    assert "max_completion_tokens" not in server.bodies[1]


def test_a_prompt_that_is_too_long_cuts_the_solution() -> None:
    with chatting(always(refused(TOO_LONG))) as (_, policy):
        root = policy.start(PROBLEM)
        with pytest.raises(ContextError):
            run(policy, lambda: policy.sample(root, seed=0, max_tokens=64))
    with chatting(always(refused(TOO_LONG))) as (_, policy):
        result = solved(policy)
    assert result.answer is None
    assert {solution.cut for solution in result.trajectories} == {"context"}


@pytest.mark.parametrize(
    ("tokens", "finish"), [(64, "length"), (63, "length"), (40, "context"), (65, "length")]
)
def test_what_cut_an_answer_is_told_by_its_tokens(tokens: int, finish: str) -> None:
    reply = said("So", "length", usage={"completion_tokens": tokens})
    with chatting(always(reply)) as (_, policy):
        assert sample(policy).finish == finish


def test_a_cut_answer_is_not_continued_and_does_not_vote() -> None:
    cut = said("The answer is 8", "length", usage={"completion_tokens": 63})
    with chatting(in_turn(cut, OK, OK, OK)) as (server, policy):
        result = solved(policy, max_tokens=64)
    assert len(server.bodies) == 4
    assert [vote.answer for vote in result.votes] == ["7"]
    assert sorted(str(s.cut) for s in result.trajectories) == ["None", "None", "None", "max_tokens"]


# --- what is not said, and what is refused --------------------------------------------------------


def solved(policy: ChatPolicy, width: int = 4, **options: Any) -> ets.SearchResult:
    with ets.Search(
        policy=policy, prm=options.pop("prm", "none"), strategy=ets.BestOfN(width=width), **options
    ) as search:
        result = search.solve(PROBLEM)
    run(policy, _nothing)
    return result


async def _nothing() -> None:
    return None


def test_missing_usage_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    with chatting(always(said(usage=None))) as (_, policy), caplog.at_level(logging.WARNING, "ets"):
        result = solved(policy)
    assert result.answer == "7"
    assert result.usage.policy_tokens == 0
    lines = [r.getMessage() for r in caplog.records if r.name == "ets"]
    assert len(lines) == 1
    assert "does not count its tokens (usage)" in lines[0]


@pytest.mark.parametrize(
    "logprobs", [None, {"content": None, "refusal": None}, {"content": []}], ids=str
)
def test_missing_log_probabilities_are_an_error(logprobs: Any) -> None:
    with chatting(always(said(logprobs=logprobs)), top_logprobs=5) as (_, policy):
        found = failure(policy)
    assert re.search(r"gives (none|those of 0 of 1 tokens) with the completions of 'm'", found)


def test_calls_without_log_probabilities_are_an_error_that_says_what_goes() -> None:
    reply = said(None, "tool_calls", message={"tool_calls": [called("weather", "{}")]})
    with chatting(always(reply), top_logprobs=5) as (_, policy):
        assert failure(policy).endswith("cannot weigh them; prm='none' votes without")


@pytest.mark.parametrize(
    "reply",
    [
        said(None, "stop", message={"refusal": "I cannot say whether it is 8."}),
        said("", "content_filter"),
        said("It is 8", "content_filter"),
        said(None, "SAFETY"),
    ],
    ids=["refusal", "filtered", "filtered half way", "safety"],
)
def test_a_refusal_does_not_vote(reply: Reply) -> None:
    judged = []

    def prm(problem: str, steps: list[str]) -> float:
        judged.append(steps)
        return 0.5

    with chatting(in_turn(reply, OK, OK, OK)) as (_, policy):
        result = solved(policy, prm=prm)
    assert [(vote.answer, vote.count) for vote in result.votes] == [("7", 3)]
    assert len(judged) == 3
    (refusal,) = [s for s in result.trajectories if s.cut is not None]
    assert (refusal.cut, refusal.answer, refusal.score) == ("refused", None, 0.0)
    assert result.note is None


def test_refusals_alone_are_no_answer_and_the_note_says_so() -> None:
    with chatting(always(said(None, message={"refusal": "No 7 for you."}))) as (_, policy):
        result = solved(policy)
    assert result.answer is None
    assert result.note == (
        "4 of 4 solutions were cut, by a refusal of the model or a content filter: change the "
        "problem, system_prompt, or the model"
    )
    assert result.trajectories[0].text == "No 7 for you."
    again = ets.TreeSearch.from_json(result.tree.to_json())
    assert [t.cut for t in again.trajectories] == ["refused"] * 4


def test_a_refusal_has_no_rank_among_the_others() -> None:
    """Of log-probabilities, which a refusal may come without."""

    def with_logprob(logprob: float) -> Reply:
        token = {"token": "a", "logprob": logprob, "top_logprobs": [{"logprob": logprob}]}
        return said(logprobs={"content": [token]})

    refusal = said(None, message={"refusal": "No."})
    replies = (refusal, with_logprob(-1.0), with_logprob(-2.0), with_logprob(-3.0))
    with chatting(in_turn(*replies), max_in_flight=1, top_logprobs=1) as (_, policy):
        result = solved(policy, prm="policy")
    ranks = sorted(s.score for s in result.trajectories)
    assert ranks == pytest.approx([0.0, 1 / 6, 3 / 6, 5 / 6], abs=1e-6)


def test_broken_tool_arguments_are_kept_as_they_are() -> None:
    broken = {"tool_calls": [called("weather", '{"city": ')]}
    with chatting(always(said(None, "tool_calls", message=broken))) as (_, policy):
        result = solved(policy)
    assert result.answer == '[{"arguments":"{\\"city\\": ","name":"weather"}]'
    assert json.loads(result.trajectories[0].text) == broken["tool_calls"]


def test_half_a_character_in_a_problem_does_not_stop_a_search() -> None:
    with chatting(always(OK)) as (server, policy):
        with ets.Search(policy=policy, prm="none", strategy=ets.BestOfN(width=1)) as search:
            with pytest.raises(ets.InputError, match="UTF-8"):
                search.solve("half \ud83d of it")
            result = search.solve("whole \U0001f600 of it")
        run(policy, _nothing)
    assert result.answer == "7"
    assert server.bodies[0]["messages"][-1]["content"] == "whole \U0001f600 of it"


def test_a_lost_server_ends_with_the_answers_so_far() -> None:
    replies = in_turn(OK, OK, None)
    with chatting(replies, max_retries=0, patience=0, max_in_flight=1) as (_, policy):
        result = solved(policy)
    assert result.end == "engine_lost"
    assert result.answer == "7"
