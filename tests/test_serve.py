"""What the server answers: solutions, streams, events, models, and refusals by name."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

import ets
from ets.errors import InputError

pytest.importorskip("fastapi", reason="the extra 'serve' is not installed")
pytest.importorskip("httpx", reason="httpx is not installed (the extra 'openai' brings it)")
from ets.serve.configurations import Served
from ets.serve.settings import Settings
from scripted_engines import ScriptedEmbedder, ScriptedPolicy, ScriptedPRM
from served import SEARCHES, Running, asked, content_of, events_of, served


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with served() as running:
        yield running


def alone(problem: str, strategy: Any, **more: Any) -> ets.SearchResult:
    """What a search without a server finds."""
    engines = {
        **{"policy": ScriptedPolicy(slow=False), "prm": ScriptedPRM()},
        **{"embedder": ScriptedEmbedder(), "max_step_tokens": 20},
    }
    with ets.Search(strategy=strategy, **{"max_tokens": 200, **engines, **more}) as search:
        return search.solve(problem)


def test_the_default_configuration_answers_as_a_search_does(server: Running) -> None:
    answer = server.chat("p 1", ets={"votes": True, "tree": True}).json()
    result = alone("p 1", ets.ETS(width=4))
    best = max((s for s in result.trajectories if s.answer == result.answer), key=lambda s: s.score)
    assert answer["object"] == "chat.completion"
    assert answer["model"] == "ets-4"
    (choice,) = answer["choices"]
    assert choice["message"] == {"role": "assistant", "content": best.text, "refusal": None}
    assert choice["finish_reason"] == "stop"
    found = answer["ets"]
    assert found["answer"] == result.answer
    assert found["end"] == result.end
    assert found["score"] == pytest.approx(result.score)
    assert found["kv"]["after"] == result.kv.after.sum
    assert [vote["answer"] for vote in found["votes"]] == [v.answer for v in result.votes]
    assert ets.TreeSearch.from_dict(found["tree"]) == result.tree
    usage = answer["usage"]
    assert usage["prompt_tokens"] == 5
    assert usage["completion_tokens"] == best.tokens
    assert usage["total_tokens"] == 5 + best.tokens
    assert usage["policy_tokens"] == result.usage.policy_tokens
    assert usage["kv_tokens"] == result.kv.after.peak


def test_votes_and_tree_come_where_they_are_wished_for(server: Running) -> None:
    found = server.chat("p 1").json()["ets"]
    assert found["votes"] is None
    assert found["tree"] is None


@pytest.mark.parametrize(
    ("asking", "strategy", "more"),
    [
        ({"model": "rebase-8"}, ets.REBASE(width=8), {}),
        ({"model": "majority-3"}, ets.BestOfN(width=3), {"vote": "majority"}),
        ({"seed": 7}, ets.ETS(width=4), {"seed": 7}),
        ({"max_tokens": 30}, ets.ETS(width=4), {"max_tokens": 30}),
        ({"max_completion_tokens": 30}, ets.ETS(width=4), {"max_tokens": 30}),
        ({"ets": {"width": 2}}, ets.ETS(width=2, lambda_d=1.5), {}),
        ({"ets": {"lambda_b": 0.3, "lambda_d": 0}}, ets.ETS(width=4, lambda_b=0.3, lambda_d=0), {}),
        ({"ets": {"strategy": "rebase"}}, ets.REBASE(width=4), {}),
        ({"ets": {"strategy": "ets-kv"}}, ets.ETS(width=4, lambda_d=0.0), {}),
        ({"ets": {"tokens": 60}}, ets.ETS(width=4), {"budget": ets.Budget(tokens=60)}),
        ({"ets": {"prm_calls": 3}}, ets.ETS(width=4), {"budget": ets.Budget(prm_calls=3)}),
        ({"ets": {"kv_budget": 90}}, ets.ETS(width=4), {"kv_budget": 90}),
        ({"ets": {"vote": "best"}}, ets.ETS(width=4), {"vote": "best"}),
        ({"ets": {"score": "min"}}, ets.ETS(width=4), {"score": "min"}),
    ],
)
def test_what_a_request_sets_holds_for_it(
    server: Running, asking: dict[str, Any], strategy: Any, more: dict[str, Any]
) -> None:
    wishes = {**asking.get("ets", {}), "tree": True}
    answer = server.chat("p 2", **{**asking, "ets": wishes}).json()
    result = alone("p 2", strategy, **more)
    assert ets.TreeSearch.from_dict(answer["ets"]["tree"]) == result.tree
    assert answer["ets"]["answer"] == result.answer


def test_n_gives_distinct_answers_best_first(server: Running) -> None:
    answer = server.chat("p 3", model="rebase-8", n=5).json()
    result = alone("p 3", ets.REBASE(width=8))
    assert len(result.votes) > 1
    assert len(answer["choices"]) == len(result.votes)
    for choice, vote in zip(answer["choices"], result.votes, strict=True):
        assert choice["message"]["content"].endswith(f"The answer is {vote.answer}.")
    assert [choice["index"] for choice in answer["choices"]] == list(range(len(result.votes)))


def test_stop_ends_the_text_before_it(server: Running) -> None:
    whole = server.chat("p 4").json()["choices"][0]["message"]["content"]
    cut = server.chat("p 4", stop=["nowhere", "answer"]).json()["choices"][0]
    assert cut["message"]["content"] == whole.partition("answer")[0]
    assert cut["finish_reason"] == "stop"


def test_a_cut_solution_says_length(server: Running) -> None:
    choice = server.chat("p 4", max_tokens=5, ets={"width": 1}).json()["choices"][0]
    assert choice["finish_reason"] == "length"


@pytest.mark.parametrize("more", [{}, {"stop": "thought"}, {"n": 3}, {"model": "rebase-8"}])
@pytest.mark.parametrize("number", range(4))
def test_the_joined_stream_is_the_unstreamed_answer(
    server: Running, number: int, more: dict[str, Any]
) -> None:
    problem = f"streamed {number}"
    whole = server.chat(problem, **more).json()
    streamed = server.chat(problem, stream=True, stream_options={"include_usage": True}, **more)
    assert streamed.headers["content-type"].startswith("text/event-stream")
    assert content_of(streamed.text) == whole["choices"][0]["message"]["content"]
    events = events_of(streamed.text)
    assert events[-1] == (None, "[DONE]")
    chunks = [data for _, data in events[:-1]]
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert len({chunk["id"] for chunk in chunks}) == 1
    ends = [c for chunk in chunks for c in chunk["choices"] if c.get("finish_reason")]
    assert [(c["index"], c["finish_reason"]) for c in ends] == [
        (c["index"], c["finish_reason"]) for c in whole["choices"]
    ]
    assert chunks[-1]["usage"]["completion_tokens"] == whole["usage"]["completion_tokens"]
    assert chunks[-1]["choices"] == []
    found = [chunk["ets"] for chunk in chunks if "ets" in chunk]
    assert [one["answer"] for one in found] == [whole["ets"]["answer"]]


def test_a_stream_without_the_option_has_no_usage(server: Running) -> None:
    events = events_of(server.chat("p 1", stream=True).text)
    assert not any("usage" in data for _, data in events[:-1])


def test_events_inline_and_beside_are_those_of_the_tree(server: Running) -> None:
    streamed = server.chat("p 5", stream=True, ets={"events": True})
    tree = alone("p 5", ets.ETS(width=4)).tree
    inline = [(name, data) for name, data in events_of(streamed.text) if name is not None]
    assert [name for name, _ in inline] == [event.kind for event in tree.events]
    scored = next(data for name, data in inline if name == "scored")
    assert scored["texts"] == [tree.nodes.text[node] for node in scored["nodes"]]
    with server.client() as client:
        key = streamed.headers["x-search-id"]
        beside = events_of(client.get(f"/v1/searches/{key}/events").text)
    assert beside[:-1] == inline
    name, answer = beside[-1]
    assert name == "answer"
    assert answer["answer"] == alone("p 5", ets.ETS(width=4)).answer


def test_what_was_said_before_reaches_the_policy() -> None:
    """As the dialogue that `ets.Search` takes; a developer's message is the system's."""
    before = [
        {"role": "system", "content": "be short"},
        {"role": "user", "content": "p 0"},
        {"role": "assistant", "content": "1"},
        {"role": "user", "content": "p 1"},
    ]
    with served("demo", more={"prm": "demo", "embedder": "lexical"}) as running:
        with running.client() as client:
            body = {"messages": before, "ets": {"tree": True, "width": 1}}
            answer = client.post("/v1/chat/completions", json=body).json()
            before[0]["role"] = "developer"
            same = client.post("/v1/chat/completions", json=body).json()
            thought = {**before[2], "reasoning": "hm", "reasoning_content": "hm"}
            fourth = client.post(
                "/v1/chat/completions",
                json={**body, "messages": [*before[:2], thought, before[3]]},
            ).json()
            lead = {"instructions": "be short", "input": before[1:], "ets": body["ets"]}
            third = client.post("/v1/responses", json=lead).json()
        given: dict[str, Any] = {"max_step_tokens": 20, "max_tokens": 200}
        with ets.Search(strategy=ets.ETS(width=1, lambda_d=1.5), **given) as search:
            before[0]["role"] = "system"
            result = search.solve(before)
    for found in (answer, same, third, fourth):
        assert ets.TreeSearch.from_dict(found["ets"]["tree"]) == result.tree
    assert answer["usage"]["prompt_tokens"] == result.tree.prompt_tokens


def test_responses_have_the_same_solution(server: Running) -> None:
    chat = server.chat("p 6").json()
    with server.client() as client:
        for given in (
            "p 6",
            [{"role": "user", "content": "p 6"}],
            [{"role": "user", "content": [{"type": "input_text", "text": "p 6"}]}],
        ):
            answer = client.post("/v1/responses", json={"input": given}).json()
            (message,) = answer["output"]
            assert message["content"][0]["text"] == chat["choices"][0]["message"]["content"]
            assert answer["status"] == "completed"
            assert answer["usage"]["output_tokens"] == chat["usage"]["completion_tokens"]
        cut = client.post(
            "/v1/responses", json={"input": "p 6", "max_output_tokens": 5, "ets": {"width": 1}}
        ).json()
        assert cut["status"] == "incomplete"
        assert cut["incomplete_details"] == {"reason": "max_output_tokens"}


def test_streamed_responses_are_the_unstreamed(server: Running) -> None:
    with server.client() as client:
        whole = client.post("/v1/responses", json={"input": "p 7"}).json()
        text = client.post("/v1/responses", json={"input": "p 7", "stream": True}).text
    events = [data for _, data in events_of(text)]
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    deltas = [e["delta"] for e in events if e["type"] == "response.output_text.delta"]
    assert "".join(deltas) == whole["output"][0]["content"][0]["text"]
    assert events[-1]["type"] == "response.completed"
    assert events[-1]["response"]["output"][0]["content"] == whole["output"][0]["content"]


def test_models_are_the_configurations(server: Running) -> None:
    with server.client() as client:
        listed = client.get("/v1/models").json()["data"]
        assert [model["id"] for model in listed] == list(SEARCHES)
        assert [model["default"] for model in listed] == [True, False, False]
        assert client.get("/v1/models/rebase-8").json()["width"] == 8
        assert client.get("/v1/models/none").status_code == 404


def test_health_is_true_and_counts(server: Running) -> None:
    with server.client() as client:
        health = client.get("/health")
    assert health.status_code == 200
    assert health.json() == {"status": "ok", "in_flight": 0, "queued": 0}


# -- refusals --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"tools": [{"type": "function"}]}, "tools"),
        ({"functions": []}, "functions"),
        ({"response_format": {"type": "json_object"}}, "response_format.type"),
        ({"logprobs": True}, "logprobs"),
        ({"frequency_penalty": 0.5}, "frequency_penalty"),
        ({"logit_bias": {"1": 2}}, "logit_bias"),
        ({"reasoning_effort": "high"}, "reasoning_effort"),
        ({"store": True}, "store"),
        ({"temperature": 0.7}, "temperature"),
        ({"top_p": 0.5}, "top_p"),
        ({"n": 0}, "n"),
        ({"seed": "x"}, "seed"),
        ({"stop": ""}, "stop"),
        ({"max_tokens": 3, "max_completion_tokens": 4}, "max_tokens"),
        ({"stream": "yes"}, "stream"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].role"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
            "messages[0].content[0].type",
        ),
        ({"messages": [{"role": "user", "content": " "}]}, "messages[0].content"),
        ({"messages": [{"role": "assistant", "content": "x"}]}, "messages[0].role"),
        (
            {"messages": [{"role": r, "content": "x"} for r in ("user", "system", "user")]},
            "messages[1].role",
        ),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": "x", "name": "Ann"}]}, "messages[0].name"),
        ({"ets": {"width": 0}}, "ets.width"),
        ({"ets": {"width": 9}}, "ets.width"),
        ({"ets": {"strategy": "none"}}, "ets.strategy"),
        ({"ets": {"strategy": "rebase", "lambda_b": 1.0}}, "ets.lambda_b"),
        ({"ets": {"lambda_b": -1}}, "ets.lambda_b"),
        ({"ets": {"colour": 1}}, "ets.colour"),
        ({"ets": {"kv_budget": 5}, "model": "rebase-8"}, "ets"),
    ],
    ids=lambda value: json.dumps(value),
)
def test_what_cannot_be_honoured_is_refused_by_name(
    server: Running, more: dict[str, Any], param: str
) -> None:
    answer = server.chat(**more) if "messages" not in more else None
    if answer is None:
        with server.client() as client:
            answer = client.post("/v1/chat/completions", json={**asked(), **more})
    error = answer.json()["error"]
    assert answer.status_code == 400
    assert error["param"] == param
    assert param.rpartition(".")[2].partition("[")[0] in error["message"]
    assert error["type"] == "invalid_request_error"
    assert error["code"]


@pytest.mark.parametrize(
    "more",
    [
        {"tools": [], "tool_choice": "none", "parallel_tool_calls": True},
        {"response_format": {"type": "text"}, "modalities": ["text"]},
        {"frequency_penalty": 0, "presence_penalty": 0.0, "logit_bias": {}, "logprobs": False},
        {"user": "somebody", "store": False, "service_tier": "auto", "n": None, "stop": None},
    ],
)
def test_what_says_nothing_is_taken(server: Running, more: dict[str, Any]) -> None:
    assert server.chat(**more).status_code == 200


def test_whom_a_search_is_for_is_told(server: Running) -> None:
    key = server.chat(user="somebody").headers["x-search-id"]
    with server.client() as client:
        assert client.get(f"/v1/searches/{key}").json()["user"] == "somebody"


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("GET", "/nothing", None, 404, "not_found"),
        ("PUT", "/v1/models", None, 405, "method_not_allowed"),
        ("POST", "/v1/chat/completions", b"{", 400, "invalid_json"),
        ("POST", "/v1/chat/completions", b"", 400, "invalid_json"),
        ("POST", "/v1/chat/completions", b"\xff\xfe", 400, "invalid_json"),
        ("POST", "/v1/chat/completions", b"[" * 100_000, 400, "invalid_json"),
        ("POST", "/v1/chat/completions", b"[]", 400, "invalid_value"),
        ("POST", "/v1/responses", b'{"input": 3}', 400, "invalid_value"),
        ("GET", "/v1/searches/none", None, 404, "not_found"),
        ("DELETE", "/v1/searches/none", None, 404, "not_found"),
        ("GET", "/v1/searches/none/events", None, 404, "not_found"),
    ],
)
def test_every_error_has_the_same_shape(
    server: Running, method: str, path: str, body: bytes | None, status: int, code: str | None
) -> None:
    with server.client() as client:
        answer = client.request(
            method, path, content=body, headers={"Content-Type": "application/json"}
        )
    assert answer.status_code == status
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
    assert answer.json()["error"]["code"] == code


def test_an_unknown_model_is_404_as_with_openai(server: Running) -> None:
    answer = server.chat(model="gpt-none")
    assert answer.status_code == 404
    assert answer.json()["error"]["param"] == "model"
    assert "ets-4, rebase-8, majority-3" in answer.json()["error"]["message"]


# -- configurations --------------------------------------------------------------------------------


def test_without_configurations_there_is_one() -> None:
    assert list(Served.of({}, {}, Settings()).searches) == ["ets-16"]
    given = {"strategy": {"name": "rebase", "width": 7}}
    assert list(Served.of(given, {}, Settings()).searches) == ["rebase-7"]


@pytest.mark.parametrize(
    ("searches", "settings", "words"),
    [
        ({"a": {"policy": "demo"}}, {}, "searches.a: policy is of the engines"),
        ({"a": {"colour": 1}}, {}, "searches.a: unknown key 'colour'"),
        ({"a": 3}, {}, "searches.a must be a table"),
        ({"a": {}}, {"default": "b"}, "serve.default must be one of a, got 'b'"),
        ({"a": {}}, {"colour": 1}, "unknown key 'colour' in serve"),
        ({"a": {}}, {"concurrency": 0}, "serve.concurrency"),
        ({"a": {}}, {"queue": -1}, "serve.queue must be an integer >= 0, got -1"),
        ({"a": {}}, {"max_seconds": 0}, "serve.max_seconds"),
        ({"a": {}}, {"max_body_bytes": "1"}, "serve.max_body_bytes"),
    ],
)
def test_a_wrong_configuration_is_refused_by_its_key(
    searches: dict[str, Any], settings: dict[str, Any], words: str
) -> None:
    with pytest.raises(InputError) as refused:
        Served.of({}, searches, Settings.of(settings))
    assert words in str(refused.value)
