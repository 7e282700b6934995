"""Whole answers in searches over scripted servers: votes, PRMs, banks, replicas, `ets serve`."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

import ets
from chat_cases import PROBLEM, called, chatting, said, searched
from ets.bench.bank import SampleBank
from ets.bench.banked import BankedPolicy
from ets.engines import Prefix, Score, Step
from ets.engines.whole_answers import writes_whole_answers
from scripted_http import Reply, always, in_turn, run

pytest.importorskip("openai", reason="openai is not installed (the extra 'openai' brings it)")


OK = said()


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
