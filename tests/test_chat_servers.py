"""`ChatPolicy` on real servers, vLLM and llama.cpp: answers, log-probabilities, JSON, searches."""

from __future__ import annotations

import asyncio
import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

import ets
from certainty_cases import wrong_places
from ets import demo
from ets.doctor.chat import examine_chat
from ets.doctor.report import Report
from ets.loop.thread import LoopThread
from ets.step import Prefix, Step
from llamacpp_server import MODEL, LlamaServer, llamacpp_server
from models_page import hold_equal_steps
from vllm_server import VLLMServer

pytest.importorskip("openai", reason="openai is not installed (the extra 'openai' brings it)")

from ets.policy.chat import ChatPolicy

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
TOP = 20
PROBLEMS = [str(row["problem"]) for row in demo.problems()[:8]]
SCHEMA = {
    "type": "json_schema",
    "json_schema": {
        "name": "coins",
        "strict": True,
        "schema": {
            "type": "object",
            "properties": {"sure": {"type": "boolean"}, "answer": {"enum": [3, 5, 7]}},
            "required": ["sure", "answer"],
            "additionalProperties": False,
        },
    },
}


@pytest.fixture(scope="module")
def llamacpp(smollm2_gguf_path: Path) -> Iterator[LlamaServer]:
    if importlib.util.find_spec("xllamacpp") is None:
        pytest.skip("xllamacpp is not installed (linux on x86_64 only)")
    with llamacpp_server(smollm2_gguf_path) as started:
        yield started


def answers(policy: ChatPolicy, problems: list[str], loop: LoopThread, tokens: int) -> list[Step]:
    async def all_of_them() -> list[Step]:
        roots = [policy.start(problem) for problem in problems]
        asked = (policy.sample(r, seed=at, max_tokens=tokens) for at, r in enumerate(roots))
        return await asyncio.gather(*asked)

    try:
        return loop.run(all_of_them)
    finally:
        loop.run(policy.aclose)


# --- vLLM -----------------------------------------------------------------------------------------


@pytest.mark.vllm
def test_whole_answers_equal_a_plain_computation(
    tiny_server: VLLMServer, engine_loop: LoopThread
) -> None:
    from tokenizers import Tokenizer

    from plain_demo import plain_greedy

    tokenizer = Tokenizer.from_file(str(demo.policy_path() / "tokenizer.json"))
    greedy = ChatPolicy("tiny", tiny_server.url, temperature=0.0)
    assert (greedy.server.kind, greedy.max_length) == ("vllm", 1024)
    equal: list[bool] = []
    steps = answers(greedy, PROBLEMS, engine_loop, tokens=512)
    for at, (problem, step) in enumerate(zip(PROBLEMS, steps, strict=True)):
        # Without a cache: whole answers take a second each, so only two are compared to their ends.
        plain = plain_greedy(problem, steps=20 if at < 2 else 3, tokens=64)
        texts = [tokenizer.decode(ids, skip_special_tokens=False) for ids in plain]
        mine = [part.text for part in step.parted("\n\n")]
        equal += [one == other for one, other in zip(mine[:3], texts[:3], strict=True)]
        assert step.finish == "end"
        assert step.prompt_tokens == len(tokenizer.encode(f"<|user|>{problem}<|assistant|>").ids)
        if at < 2:
            assert step.text == "".join(texts)
            # Its end counts: that of the sequence is a token that was written.
            assert step.tokens == sum(map(len, plain)) + 1
    hold_equal_steps(equal, "bundled policy", "chat")


@pytest.mark.vllm
def test_log_probabilities_are_those_of_raw_logits(
    tiny_server: VLLMServer, engine_loop: LoopThread
) -> None:
    from tokenizers import Tokenizer

    from plain_demo import plain_logprobs

    tokenizer = Tokenizer.from_file(str(demo.policy_path() / "tokenizer.json"))
    policy = ChatPolicy(
        "tiny", tiny_server.url, top_logprobs=TOP, vocabulary=tokenizer.get_vocab_size()
    )
    steps = answers(policy, PROBLEMS[:4], engine_loop, tokens=512)
    end = tokenizer.token_to_id("<|end|>")
    assert end is not None
    for problem, step in zip(PROBLEMS, steps, strict=False):
        prompt = tokenizer.encode(f"<|user|>{problem}<|assistant|>").ids
        ids = [*tokenizer.encode(step.text).ids, end]
        assert step.certainty is not None
        assert len(step.certainty) == step.tokens == len(ids)
        logs = plain_logprobs(prompt, ids)
        assert wrong_places(step.certainty, ids, logs, TOP) == []


@pytest.mark.vllm
def test_the_context_is_filled_where_the_limit_does_not_fit(
    tiny_server: VLLMServer, engine_loop: LoopThread
) -> None:
    policy = ChatPolicy("tiny", tiny_server.url, extra_body={"ignore_eos": True})
    problem = PROBLEMS[0]
    (step,) = answers(policy, [problem], engine_loop, tokens=1024)
    assert step.finish == "context"
    assert step.prompt_tokens + step.tokens == 1024
    long = ChatPolicy("tiny", tiny_server.url)
    with pytest.raises(ets.errors.ContextError):
        answers(long, ["How many apples? " * 1024], engine_loop, tokens=16)


@pytest.mark.vllm
def test_a_search_over_the_server(tiny_server: VLLMServer) -> None:
    """The same seed finds the same, with any of the votes; weights come from the policy itself, or
    from a PRM that reads an answer's steps."""
    from plain_demo import plain_score

    problem = demo.problems()[2]

    def result(**options: object) -> ets.SearchResult:
        with ets.Search(
            policy=f"chat:tiny@{tiny_server.url}",
            strategy=ets.BestOfN(width=16),
            **{"prm": "none", **options},  # type: ignore[arg-type]
        ) as search:
            return search.solve(str(problem["problem"]))

    plain = result(vote="majority")
    assert len(plain.trajectories) == 16
    assert len({s.text for s in plain.trajectories}) > 4, "seeds make no difference"
    assert plain.usage.policy_tokens == sum(s.tokens for s in plain.trajectories) > 16
    assert plain.usage.policy_cached_tokens > 0
    certain = result(prm="policy?score=self-certainty&scale=map")
    assert {s.text for s in certain.trajectories} == {s.text for s in plain.trajectories}
    assert len({s.score for s in certain.trajectories}) > 4
    judged = result(prm="demo", vote="best")
    expected = []
    for solution in judged.trajectories:
        steps = Step(solution.text, (), "end").parted("\n\n")
        expected.append(plain_score(Prefix(str(problem["problem"]), 0, (), steps)))
    found = [solution.score for solution in judged.trajectories]
    assert found == pytest.approx(expected, abs=1e-5)
    best = max(judged.trajectories, key=lambda s: s.score)
    assert judged.answer == best.answer


@pytest.mark.vllm
def test_vllm_keeps_to_a_schema(tiny_server: VLLMServer) -> None:
    with ets.Search(
        policy=f"chat:tiny@{tiny_server.url}",
        prm="none",
        strategy=ets.BestOfN(width=8),
        policy_options={"response_format": SCHEMA},
    ) as search:
        result = search.solve(PROBLEMS[0])
    hold_schema(result)


@pytest.mark.vllm
def test_vllm_calls_a_tool(tiny_server: VLLMServer) -> None:
    """The one that is named, whose arguments keep to its schema."""
    number = {"type": "object", "properties": {"number": {"enum": [3, 5, 7]}}}
    report = {"name": "report", "parameters": number | {"required": ["number"]}}
    with ets.Search(
        policy=f"chat:tiny@{tiny_server.url}",
        prm="none",
        strategy=ets.BestOfN(width=8),
        policy_options={
            "tools": [{"type": "function", "function": report}],
            "tool_choice": {"type": "function", "function": {"name": "report"}},
        },
        max_tokens=300,
    ) as search:
        result = search.solve(PROBLEMS[0])
    assert sum(vote.count for vote in result.votes) >= 4  # white space is endless in JSON
    for vote in result.votes:
        (call,) = json.loads(vote.answer)
        assert (call["name"], call["arguments"]["number"]) in {("report", n) for n in (3, 5, 7)}
    for solution in result.trajectories:
        if solution.answer is not None:
            (call,) = json.loads(solution.text.splitlines()[-1])
            arguments = json.loads(call["function"]["arguments"])
            assert [{"name": "report", "arguments": arguments}] == json.loads(solution.answer)


# --- llama.cpp ------------------------------------------------------------------------------------


def hold_schema(result: ets.SearchResult) -> None:
    """Every solution is an object of the schema, and votes by its answer."""
    said = [json.loads(solution.text) for solution in result.trajectories]
    assert said
    for value in said:
        assert sorted(value) == ["answer", "sure"]
        assert isinstance(value["sure"], bool)
    counts = {number: sum(v["answer"] == number for v in said) for number in (3, 5, 7)}
    assert {vote.answer: vote.count for vote in result.votes} == {
        str(number): count for number, count in counts.items() if count
    }


def test_llamacpp_keeps_to_a_schema_and_says_its_log_probabilities(llamacpp: LlamaServer) -> None:
    with ets.Search(
        policy=f"chat:{MODEL}@{llamacpp.url}",
        prm="policy?score=logprob&scale=map",
        strategy=ets.BestOfN(width=6),
        policy_options={"response_format": SCHEMA, "system_prompt": "Answer in JSON."},
        max_tokens=48,
    ) as search:
        result = search.solve("What is 2 + 3?")
    hold_schema(result)
    assert all(0 < solution.score <= 1 for solution in result.trajectories)


def test_the_doctor_on_a_real_server(llamacpp: LlamaServer, engine_loop: LoopThread) -> None:
    policy = ChatPolicy(MODEL, llamacpp.url)
    report = Report("policy", "chat")
    try:
        engine_loop.run(examine_chat, policy, report, max_tokens=48)
    finally:
        engine_loop.run(policy.aclose)
    good = "\n".join(finding.text for finding in report.findings if finding.level == "good")
    for words in (
        "the same seed gave the same answer",
        "of 20 tokens in each place",
        "JSON schema",
    ):
        assert words in good
