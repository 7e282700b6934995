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
from chat_cases import CARD, PROBLEM, TOOL, called, chatting, said, sample
from ets.bench.bank import SampleBank
from ets.bench.banked import BankedPolicy
from ets.bench.grid import Grid
from ets.doctor.chat import examine_chat
from ets.doctor.report import Report
from ets.engines import Prefix, Score, Step, WritesWholeAnswers
from ets.engines.whole_answers import writes_whole_answers
from ets.policy import load_policy
from scripted_http import Reply, always, in_turn, run

pytest.importorskip("openai", reason="openai is not installed (the extra 'openai' brings it)")

from ets.policy.chat import ChatPolicy
from ets.policy.chat_options import ChatOptions

OK = said()


def searched(policy: Any, width: int = 4, prm: Any = "none", **options: Any) -> ets.SearchResult:
    with ets.Search(policy=policy, prm=prm, strategy=ets.BestOfN(width=width), **options) as search:
        return search.solve(PROBLEM)


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


# --- votes ----------------------------------------------------------------------------------------


def test_calls_of_tools_vote_in_one_form() -> None:
    def calling(*calls: dict[str, Any], content: str | None = None) -> Reply:
        return said(content, "tool_calls", message={"tool_calls": list(calls)})

    paris = called("weather", '{"city": "Paris", "days": 2}', key="a")
    again = called("weather", '{"days":2.0,"city":"Paris"}', key="b")
    rome = called("weather", '{"city": "Rome", "days": 2}', key="c")
    replies = (
        calling(rome),
        calling(paris),
        calling(again, content="I look."),
        calling(rome, paris),
    )
    with chatting(in_turn(*replies, calling(paris, rome)), max_in_flight=1) as (_, policy):
        result = searched(policy, 5)
        asyncio.run(policy.aclose())
    one = '{"arguments":{"city":"Paris","days":2},"name":"weather"}'
    other = '{"arguments":{"city":"Rome","days":2},"name":"weather"}'
    assert {(vote.answer, vote.count) for vote in result.votes} == {
        (f"[{one}]", 2),
        (f"[{other}]", 1),
        (f"[{one},{other}]", 2),
    }
    texts = [solution.text for solution in result.trajectories]
    assert json.dumps([paris]) in texts, "the calls as the server gave them"
    assert "I look.\n\n" + json.dumps([again]) in texts


def test_objects_vote_in_one_form() -> None:
    contents = ['{"a": 1, "b": [2]}', '{"b":[2.0],"a":1e0}', '```json\n{"a": 2}\n```', '{"a": 3}']
    with chatting(in_turn(*map(said, contents)), max_in_flight=1) as (_, policy):
        result = searched(policy)
        asyncio.run(policy.aclose())
    assert (result.answer, result.votes[0].count) == ('{"a":1,"b":[2]}', 2)


def test_an_old_function_call_is_a_call() -> None:
    old = {"function_call": {"name": "f", "arguments": "{}"}}
    with chatting(always(said(None, "function_call", message=old))) as (_, policy):
        assert searched(policy, 1).answer == '[{"arguments":{},"name":"f"}]'
        asyncio.run(policy.aclose())


@pytest.mark.parametrize(("vote", "answer"), [("majority", "7"), ("weighted", "9"), ("best", "8")])
def test_all_votes_work(vote: Any, answer: str) -> None:
    rewards = {"7": 0.1, "8": 0.9, "9": 0.5}

    def prm(problem: str, steps: list[str]) -> float:
        return rewards[steps[-1][-2]]

    texts = [f"The answer is {n}." for n in (7, 7, 7, 8, 9, 9)]
    with chatting(in_turn(*map(said, texts)), max_in_flight=1) as (_, policy):
        result = searched(policy, 6, prm, vote=vote)
        asyncio.run(policy.aclose())
    assert result.answer == answer
    assert result.usage.policy_tokens == 54
    assert result.usage.policy_prompt_tokens == 6 * 21
    assert result.usage.policy_cached_tokens == 6 * 16
    assert result.tree.prompt_tokens == 0


# --- who takes whole answers ----------------------------------------------------------------------

REFUSAL = (
    "writes whole answers, since a chat server cannot continue a text, so ETS.* has no steps to "
    "choose among; use ets.BestOfN, or openai:MODEL@URL on a server with /v1/completions"
)
NAME = "chat:m@http://user:sekret@127.0.0.1:9/v1"


def test_strategies_that_choose_among_steps_refuse_when_the_search_is_made() -> None:
    with pytest.raises(ets.InputError, match=REFUSAL) as caught:
        ets.Search(policy=NAME, prm="none")
    assert "sekret" not in str(caught.value)
    with pytest.raises(ets.InputError, match=REFUSAL):
        ets.Search(policy=[NAME, NAME], prm="none", workers=ets.Workers(2))
    with chatting(always(OK)) as (_, policy):
        with pytest.raises(ets.InputError, match=f"the policy ChatPolicy {REFUSAL}"):
            ets.Search(policy=policy, prm="none")
        with ets.Search(policy=policy, prm="none", strategy=ets.BestOfN(width=1)) as search:
            with pytest.raises(ets.InputError, match=REFUSAL):
                search.beside(strategy=ets.ETS(width=2, lambda_d=0.0))
            with pytest.raises(ets.InputError, match="REBASE"):
                search.beside(strategy=ets.REBASE(width=2))
            assert search.beside(strategy=ets.BestOfN(width=2)).solve(PROBLEM).answer == "7"
        asyncio.run(policy.aclose())


def test_a_benchmark_refuses_them_before_it_runs() -> None:
    said_of_it = {"policy": "chat:m@http://127.0.0.1:9/v1", "prm": "none"}
    with pytest.raises(ets.InputError, match=r"REBASE.* has no steps to choose among"):
        Grid(strategies=("best-of-n", "rebase"), search=said_of_it)
    assert Grid(strategies=("best-of-n",), search=said_of_it)


class OneWord:
    """A policy of one's own that writes whole answers."""

    whole_answers = True
    delimiter = "\n\n"

    def start(self, problem: str) -> Prefix:
        return Prefix(problem, prompt_tokens=1, token_ids=(0,))

    async def sample(self, prefix: Prefix, *, seed: int, max_tokens: int) -> Step:
        return Step("The answer is 7", (), "length", written_tokens=2)

    async def aclose(self) -> None:
        pass


def test_a_policy_of_ones_own_says_so_too() -> None:
    assert isinstance(OneWord(), WritesWholeAnswers)
    with pytest.raises(ets.InputError, match="the policy OneWord writes whole answers"):
        ets.Search(policy=OneWord(), prm="none")
    result = searched(OneWord(), 2)
    assert [solution.cut for solution in result.trajectories] == ["max_tokens"] * 2
    assert result.kv.after.peak == 1


def test_policies_that_continue_texts_do_not() -> None:
    assert not writes_whole_answers("openai:m@http://127.0.0.1:9/v1")
    assert not writes_whole_answers("demo")
    policy = load_policy("demo")
    assert not writes_whole_answers(policy)
    asyncio.run(policy.aclose())


def test_a_strategy_of_ones_own_says_that_it_needs_no_steps() -> None:
    class Plain:
        width = 2
        needs_embeddings = False
        needs_steps = False

        def decide(self, view: Any) -> Any:
            return ets.BestOfN(width=2).decide(view)

    with ets.Search(policy=OneWord(), prm="none", strategy=Plain()) as search:
        assert len(search.solve(PROBLEM).trajectories) == 2


class CountingPRM:
    """Gives each text the same, and keeps what it read."""

    def __init__(self) -> None:
        self.read: list[Prefix] = []

    async def score(self, prefix: Prefix) -> Score:
        self.read.append(prefix)
        return Score(0.5)

    async def aclose(self) -> None:
        pass


def test_a_bank_tells_problems_apart_that_have_no_ids(tmp_path: Path) -> None:
    async def script(body: dict[str, Any]) -> Reply:
        return said(f"The answer is {len(body['messages'][0]['content'])}.")

    async def both(policy: Any) -> list[Step]:
        roots = [policy.start("one apple"), policy.start("two apples")]
        return [await policy.sample(root, seed=1, max_tokens=8) for root in roots * 2]

    with chatting(script) as (server, policy), SampleBank(tmp_path / "bank") as bank:
        banked: Any = BankedPolicy(policy, bank, b"model")
        assert writes_whole_answers(banked)
        assert banked.delimiter == "\n\n"
        steps = run(policy, lambda: both(banked))
        assert len(server.bodies) == 2
    assert [step.text for step in steps] == ["The answer is 9.", "The answer is 10."] * 2
    assert [step.banked for step in steps] == [False, False, True, True]
    assert {step.tokens for step in steps} == {9}


def test_a_prm_is_asked_once_for_an_answer() -> None:
    prm = CountingPRM()
    with chatting(always(said("So 3.\n\nThe answer is 7."))) as (_, policy):
        searched(policy, 3, prm)
        asyncio.run(policy.aclose())
    assert [len(prefix.steps) for prefix in prm.read] == [2, 2, 2]
    assert {prefix.problem for prefix in prm.read} == {PROBLEM}


def test_several_addresses_are_replicas() -> None:
    with chatting(always(OK)) as (one, first), chatting(always(OK)) as (other, second):
        for policy in (first, second):
            asyncio.run(policy.aclose())
        name = f"chat:m@{one.url},{other.url}"
        with ets.Search(policy=name, prm="none", strategy=ets.BestOfN(width=2)) as search:
            assert [replica.name for replica in search.replicas] == [one.url, other.url]
            results = list(search.map([f"{n}: {PROBLEM}" for n in range(4)], concurrency=2))
    assert {result.answer for result in results} == {"7"}
    assert len(one.bodies) == len(other.bodies) == 4


def test_a_saved_tree_of_answers_is_voted_on_again() -> None:
    with chatting(always(OK)) as (_, policy):
        with ets.Search(policy=policy, prm="none", strategy=ets.BestOfN(width=2)) as search:
            result = search.solve(PROBLEM)
            again = search.resume(ets.TreeSearch.from_json(result.tree.to_json()), PROBLEM)
        asyncio.run(policy.aclose())
    assert again.votes == result.votes


def test_a_begun_solution_is_not_continued() -> None:
    with chatting(always(OK)) as (_, policy):
        root = policy.start(PROBLEM).extend(Step("So", (1,), "step"))
        with pytest.raises(ets.InputError, match="a chat server cannot continue a text"):
            run(policy, lambda: policy.sample(root, seed=0, max_tokens=8))


def test_the_critic_of_a_generative_prm_must_continue_texts() -> None:
    with chatting(always(OK)) as (server, policy):
        asyncio.run(policy.aclose())
        with pytest.raises(ets.InputError, match="must be a policy that continues texts: a chat"):
            ets.Search(
                policy="demo",
                prm=f"generative:chat:m@{server.url}",
                strategy=ets.BestOfN(width=1),
            )


# --- the doctor -----------------------------------------------------------------------------------


def examined(policy: ChatPolicy) -> Report:
    report = Report("policy", "chat")
    run(policy, lambda: examine_chat(policy, report, max_tokens=64))
    return report


def test_the_doctor_says_what_a_server_can() -> None:
    async def able(body: dict[str, Any]) -> Reply:
        more: dict[str, Any] = {}
        if body.get("logprobs"):
            token = {"token": "7", "logprob": -0.5, "top_logprobs": [{"logprob": -0.5}] * 5}
            more["logprobs"] = {"content": [token]}
        if "tools" in body:
            calls = [called("report_number", '{"number": 28}')]
            return said(None, "tool_calls", message={"tool_calls": calls}, **more)
        content = '{"answer": 28}' if "response_format" in body else f"It is {body['seed'] % 9}."
        return said(content, **more)

    with chatting(able) as (_, policy):
        report = examined(policy)
    assert report.healthy
    good = [finding.text for finding in report.findings if finding.level == "good"]
    assert good == [
        "8 of 8 answers hold one that can vote",
        "the same seed gave the same answer",
        "it gives log-probabilities, of 5 tokens in each place",
        'it calls tools: [{"arguments":{"number":28},"name":"report_number"}]',
        'it keeps to a JSON schema: {"answer": 28}',
    ]


def test_the_doctor_says_what_it_cannot() -> None:
    count = 0

    async def plain(body: dict[str, Any]) -> Reply:
        nonlocal count
        count += 1
        for name in ("tools", "response_format"):
            if name in body:
                return Reply({"error": {"message": f"unknown field {name}"}}, status=400)
        return said(f"Who knows, {'abcdefghijklmnopqrstuvwxyz'[count % 26]}", usage=None)

    with chatting(plain, max_retries=0) as (_, policy):
        report = examined(policy)
    assert not report.healthy
    found = "\n".join(f"{finding.level}: {finding.text}" for finding in report.findings)
    for words in (
        "bad: it does not count its tokens",
        "bad: none of 8 answers holds one that can vote",
        "note: the same seed gave another answer",
        "note: it gives no log-probabilities (they are not in its answers)",
        "note: it takes no tools (the server at",
        "note: it takes no response_format of a JSON schema",
    ):
        assert words in found


def test_the_bundled_prm_judges_whole_answers() -> None:
    """The right answer's weight is the larger one, as where the policy writes step by step."""
    from ets.doctor.exam import PROBLEM as EXAM
    from ets.doctor.exam import RIGHT, WRONG

    replies = [said("\n\n".join(steps)) for steps in (WRONG, RIGHT)]
    with chatting(in_turn(*replies), max_in_flight=1) as (_, policy):
        with ets.Search(policy=policy, prm="demo", strategy=ets.BestOfN(width=2)) as search:
            result = search.solve(EXAM)
        asyncio.run(policy.aclose())
    wrong, right = (s.score for s in result.trajectories)
    assert right > 0.7 > 0.3 > wrong
    assert result.answer == "28"


def test_a_server_of_ours_stands_in_front_of_one_that_only_chats() -> None:
    """With best-of-n in its configurations; other strategies are refused by name."""
    pytest.importorskip("fastapi", reason="the extra 'serve' is not installed")
    from served import content_of, served

    searches = {"best-3": {"strategy": {"name": "best-of-n", "width": 3}, "vote": "majority"}}
    texts = ["The answer is 8.", "So.\n\nThe answer is 7.", "So.\n\nThe answer is 7."]
    script = in_turn(*map(said, texts * 2))
    with chatting(script, max_in_flight=1) as (_, policy):
        with served(policy, searches=searches, more={"prm": "none"}) as server:
            answer = server.chat(PROBLEM).json()
            streamed = server.chat(PROBLEM, stream=True).text
            refusal = server.chat(PROBLEM, ets={"strategy": "ets"})
        asyncio.run(policy.aclose())
    assert answer["choices"][0]["message"]["content"] == "So.\n\nThe answer is 7."
    assert answer["ets"]["answer"] == "7"
    assert answer["usage"]["policy_tokens"] == 27
    assert content_of(streamed) == "So.\n\nThe answer is 7."
    assert refusal.status_code == 400
    assert "has no steps to choose among" in refusal.json()["error"]["message"]
