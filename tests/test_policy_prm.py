"""The policy as its own PRM: which numbers make a verdict, and by which rule a reward."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ets
from certainty_cases import PROBLEM
from ets.certainty import Certainty
from ets.engines import Prefix, Score, Step
from ets.policy import load_policy
from ets.prm import load_prm
from ets.prm.policy import ranks, with_logprobs
from scripted_engines import ScriptedPolicy

EACH = {"logprob": 0, "entropy": 1, "confidence": 2, "self-certainty": 3}


def certain(rows: Sequence[Sequence[float]]) -> Certainty:
    return Certainty(np.array(rows, dtype="<f4").reshape(-1, 4).tobytes())


def solution(*steps: Sequence[Sequence[float]]) -> Prefix:
    made = tuple(Step("a", (1,) * len(rows), "step", certainty=certain(rows)) for rows in steps)
    return Prefix("p", 0, (), made)


def reward(name: str, prefix: Prefix) -> float:
    score = asyncio.run(load_prm(name).score(prefix))
    assert (score.prompt_tokens, score.cached_tokens) == (0, 0)
    return score.reward


STEPS = ([[-0.5, 0.7, 3, 2], [-1.5, 0.1, 9, 8]], [[-0.1, 0.2, 12, 11], [-0.3, 0.4, 5, 6]])


@pytest.mark.parametrize("of", ["step", "path"])
@pytest.mark.parametrize("score", sorted(EACH))
def test_the_map_is_the_stated_one(score: str, of: str) -> None:
    rows = [*STEPS[0], *STEPS[1]] if of == "path" else STEPS[1]
    mean = sum(row[EACH[score]] for row in rows) / len(rows)
    wanted = {
        "logprob": math.exp(mean),
        "entropy": math.exp(-mean),
    }.get(score, mean / (mean + 10))
    found = reward(f"policy?score={score}&of={of}&scale=map", solution(*STEPS))
    assert found == pytest.approx(wanted, rel=1e-6)


@given(
    st.lists(st.lists(st.floats(0, 30, width=32), max_size=9), min_size=1, max_size=5),
    st.integers(1, 12),
)
def test_the_lowest_group_is_that_of_all_windows(steps: list[list[float]], group: int) -> None:
    """DeepConf's, by trying every window; over the path they reach across the ends of steps."""
    prefix = solution(*([[0, 0, value, 0] for value in step] for step in steps))
    for of in ("step", "path"):
        written = [step for step in steps if step]
        values = [v for step in written for v in step] if of == "path" else (written or [[]])[-1]
        size = min(group, len(values))
        windows = [values[at : at + size] for at in range(len(values) - size + 1)] if values else []
        lowest = min((sum(window) / size for window in windows), default=0.0)
        name = f"policy?score=lowest-group&of={of}&group={group}&scale=map"
        assert reward(name, prefix) == pytest.approx(lowest / (lowest + 10), rel=1e-6, abs=1e-9)


@given(st.lists(st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]), max_size=8))
def test_ranks_count_those_below(rewards: list[float]) -> None:
    wanted = [
        sum(1.0 if other < mine else 0.5 if other == mine else 0.0 for other in rewards)
        / len(rewards)
        for mine in rewards
    ]
    assert ranks(rewards) == pytest.approx(wanted)


def test_a_step_without_tokens_scores_as_the_one_before() -> None:
    empty = Step("", (), "end")
    before = solution(STEPS[0])
    assert reward("policy", before.extend(empty)) == reward("policy", before) > 0
    assert reward("policy", Prefix("p", 0, ()).extend(empty)) == 0.0


def test_a_policy_that_gives_none_is_told() -> None:
    with (
        ets.Search(
            policy=ScriptedPolicy(slow=False), prm="policy", strategy=ets.REBASE(width=2)
        ) as search,
        pytest.raises(
            ets.EngineError, match=r"step 0 came without \(Step.certainty\): .* top_logprobs=20"
        ),
    ):
        search.solve("p")


def test_a_policy_of_ours_is_asked_for_them() -> None:
    assert with_logprobs("demo", {}, "policy?of=path") == {"top_logprobs": 20}
    assert with_logprobs("demo", {"top_logprobs": 5}, "policy") == {"top_logprobs": 5}
    assert with_logprobs("demo?top_logprobs=5", {}, "policy") == {}
    assert with_logprobs("demo", {}, "demo") == {}
    for other in ("outcome:demo?steps=none", "transformers:policy", "vllm:"):
        assert with_logprobs("demo", {}, other) == {}
    for nested in ("generative:policy", "outcome:demo?steps=policy%3Fof=path", "outcome:policy"):
        assert with_logprobs("demo", {}, nested) == {"top_logprobs": 20}
    message = "top_logprobs must be at least 1 where the PRM is the policy itself, got 0"
    for policy, options in (("demo?top_logprobs=0", {}), ("demo", {"top_logprobs": 0})):
        with pytest.raises(ets.InputError, match=message):
            with_logprobs(policy, options, "policy")
    loaded = load_policy("demo")
    try:
        with pytest.raises(ets.InputError, match=message):
            ets.Search(policy=loaded, prm="policy", strategy=ets.REBASE(width=2))
    finally:
        asyncio.run(loaded.aclose())


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("policy?score=loud", "score must be one of .*'lowest-group'.*, got 'loud'"),
        ("policy?of=tree", r"of must be one of \['step', 'path'\], got 'tree'"),
        ("policy?scale=log", r"scale must be one of \['rank', 'map'\], got 'log'"),
        ("policy?group=0", "group must be"),
        ("policy?window=3", "unknown option 'window' of the PRM policy; it has score, of, group"),
        ("policy:PATH", "prm must be demo, .*policy, .*or none, got 'policy:PATH'"),
    ],
)
def test_bad_names_are_refused(name: str, said: str) -> None:
    with pytest.raises(ets.InputError, match=said):
        load_prm(name)


def test_rewards_of_a_step_are_ranks_of_its_continuations() -> None:
    strategy = ets.REBASE(width=6)
    trees = {}
    for scale in ("rank", "map"):
        with ets.Search(policy="demo", prm=f"policy?scale={scale}", strategy=strategy) as search:
            trees[scale] = search.solve(PROBLEM).tree
    first = {scale: tree.nodes.levels[1] for scale, tree in trees.items()}
    assert first["rank"] == first["map"]
    raw, ranked = (
        [trees[scale].nodes.reward[node] for node in first[scale]] for scale in ("map", "rank")
    )
    assert ranked == pytest.approx(ranks(raw), abs=1e-6)
    assert len(set(ranked)) > 1
    for level in trees["rank"].nodes.levels[1:]:
        rewards = [trees["rank"].nodes.reward[node] for node in level]
        assert sum(rewards) / len(rewards) == pytest.approx(0.5, abs=1e-5)


class Judge:
    """A PRM that says what it was told to of a step."""

    def __init__(self, rewards: object) -> None:
        self.rewards = rewards

    async def score(self, prefix: Prefix) -> Score:
        return Score(0.5)

    def judge_step(self, rewards: Sequence[float]) -> Sequence[float]:
        return self.rewards  # type: ignore[return-value]

    async def aclose(self) -> None:
        pass


@pytest.mark.parametrize(
    ("rewards", "said"),
    [
        ([0.5], r"Judge gave judge_step\(\) \[0.5\]; it must be a sequence of 2 rewards"),
        (None, r"Judge gave judge_step\(\) None; it must be a sequence of 2 rewards"),
        ([0.5, 2.0], r"Judge gave the reward 2.0; it must lie in \[0, 1\]"),
    ],
)
def test_what_a_judge_of_steps_gives_is_checked(rewards: object, said: str) -> None:
    with (
        ets.Search(policy="demo", prm=Judge(rewards), strategy=ets.REBASE(width=2)) as search,
        pytest.raises(ets.EngineError, match=said),
    ):
        search.solve(PROBLEM)


def test_it_works_in_a_worker() -> None:
    found = []
    for workers in (None, ets.Workers(1)):
        with ets.Search(
            policy="demo", prm="policy?of=path", strategy=ets.REBASE(width=4), workers=workers
        ) as search:
            found.append(search.solve(PROBLEM))
    here, there = found
    assert there.tree == here.tree
    assert there.tree.nodes.certainty[1] is not None


def test_the_doctor_says_that_there_is_no_model() -> None:
    """And tries a critic that is the policy itself."""
    from ets.doctor import Load, Report, examinations

    async def reports(prm: str) -> list[Report]:
        found = examinations(
            "demo", prm, policy_options={}, prm_options={}, load=Load(width=4, max_tokens=64)
        )
        return [report async for report in found]

    alone = asyncio.run(reports("policy"))[-1]
    assert [finding.text for finding in alone.findings] == [
        "the policy judges its own steps: there is no model to be tried"
    ]
    critic = asyncio.run(reports("generative:policy?critique_tokens=8"))[-1]
    assert "the right second step scores" in critic.findings[0].text
