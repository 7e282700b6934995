"""Which strategies take policies that write whole answers, and when they refuse them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import ets
from chat_cases import PROBLEM, chatting, said, searched
from ets.bench.grid import Grid
from ets.engines import Prefix, Step, WritesWholeAnswers
from ets.engines.whole_answers import writes_whole_answers
from ets.policy import load_policy
from scripted_http import always

pytest.importorskip("openai", reason="openai is not installed (the extra 'openai' brings it)")


OK = said()


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
