"""What a search does where an engine's model cannot go on: too long, white space, nothing."""

from __future__ import annotations

import re
from typing import Any

import pytest

import ets
from conftest import DEMO
from ets import demo
from ets.step import Prefix, Step
from scripted_engines import ScriptedPolicy

pytest.importorskip("torch", reason="torch is not installed (the extra 'torch' brings it)")

from ets.policy.transformers import TransformersPolicy
from ets.prm.transformers import TransformersPRM

PROBLEM = str(demo.problems()[2]["problem"])


def search(policy: Any, prm: Any, **options: Any) -> ets.Search:
    return ets.Search(policy=policy, prm=prm, strategy=ets.REBASE(width=4), **options)


def test_a_problem_that_fills_the_policys_context() -> None:
    policy = TransformersPolicy(DEMO / "policy", max_length=40)
    with (
        search(policy, lambda problem, steps: 0.5) as s,
        pytest.raises(ets.InputError, match="leaves no room for a step") as error,
    ):
        s.solve(PROBLEM)
    name = re.escape(repr(str(DEMO / "policy")))
    line = rf"problem of \d+ tokens with its prompt leaves no room for a step: {name} reads at most"
    assert re.fullmatch(line + " 40 tokens", str(error.value))


def test_a_problem_that_fills_the_prms_context() -> None:
    """The policy could go on; nothing could say how well."""
    prm = TransformersPRM(DEMO / "prm", max_length=40)
    with search(ScriptedPolicy(), prm) as s:
        result = s.solve(PROBLEM)
    assert {solution.cut for solution in result.trajectories} == {"prm_context"}
    assert result.answer is None
    assert "by the PRM's context" in str(result.note)


class Repeating(ScriptedPolicy):
    """Writes the same sentence for ever."""

    async def sample(self, prefix: Prefix, *, seed: int, max_tokens: int) -> Step:
        return Step("So Tom has 3 apples and 5 apples.\n\n", (1, 2), "step")


def test_solutions_that_outgrow_the_prms_context_are_cut() -> None:
    prm = TransformersPRM(DEMO / "prm", max_length=150)
    policy = Repeating()
    with search(policy, prm, max_depth=40) as s:
        result = s.solve("Tom has 3 apples.")
        assert {solution.cut for solution in result.trajectories} == {"prm_context"}
        assert min(len(solution.rewards) for solution in result.trajectories) > 5
        assert policy.running == 0
    with search(Repeating(), prm, max_depth=3) as shorter:
        assert not any(t.finished for t in shorter.solve("Tom has 3 apples.").trajectories)


class Wordless(ScriptedPolicy):
    """A sentence, white space, and then no token at all."""

    async def sample(self, prefix: Prefix, *, seed: int, max_tokens: int) -> Step:
        steps = (
            Step("Tom has some apples.\n\n", (7, seed % 50), "step"),
            Step(" \n\n", (8,), "step"),
            Step("", (), "end"),
        )
        return steps[len(prefix.steps)]


def test_steps_without_words_score_as_the_solution_before_them() -> None:
    with search(Wordless(), TransformersPRM(DEMO / "prm")) as s:
        result = s.solve(PROBLEM)
    assert len(result.trajectories) == 4
    for solution in result.trajectories:
        assert (solution.finished, solution.answer) == (True, None)
        first, *others = solution.rewards
        assert first > 0
        assert others == [first, first]
        assert solution.tokens == 3
    assert [step.policy_tokens for step in result.usage.steps] == [8, 4, 0]


class Silent(ScriptedPolicy):
    """Ends every solution before its first token."""

    async def sample(self, prefix: Prefix, *, seed: int, max_tokens: int) -> Step:
        return Step("", (), "end")


def test_a_policy_that_says_nothing_gives_no_answer() -> None:
    with search(Silent(), TransformersPRM(DEMO / "prm")) as s:
        result = s.solve(PROBLEM)
    assert (result.answer, result.votes) == (None, [])
    assert [solution.rewards for solution in result.trajectories] == [(0.0,)] * 4
    assert result.kv.after.sum == 5  # the prompt
