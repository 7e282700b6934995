"""Several replicas behind one search: where problems go, and where they go on."""

from __future__ import annotations

import asyncio
import io
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from rich.console import Console

import ets
from ets import demo
from ets.cli.replica_lines import ReplicaLines
from ets.engines.kv_space import KVSpace
from ets.engines.name import each_server
from ets.errors import EngineError, EngineLostError, InputError
from ets.rollout.result import SearchResult
from ets.rollout.site import LocalSite
from ets.search.replica import Replica
from ets.step import Prefix, Step
from scripted_engines import ScriptedEmbedder, ScriptedPolicy, ScriptedPRM

PROBLEMS = [f"problem {i}" for i in range(12)]
STRATEGY = ets.ETS(width=6, lambda_b=1.0)


@dataclass
class Watched(ScriptedPolicy):
    """Knows which problems it was asked about, and what each sample is to do before it answers."""

    before: Callable[[Prefix], None] = lambda prefix: None
    asked: Counter[str] = field(default_factory=Counter)
    tokens: int | None = None

    async def sample(self, prefix: Prefix, *, seed: int, max_tokens: int) -> Step:
        self.asked[prefix.problem] += 1
        self.before(prefix)
        return await super().sample(prefix, seed=seed, max_tokens=max_tokens)


@dataclass
class Spacious(Watched):
    """With a KV cache of 4,000 tokens."""

    async def kv_space(self) -> KVSpace:
        return KVSpace(tokens=4000, block_size=1)


@dataclass
class Kept:
    """A problem whose tree keeps so many KV tokens."""

    kv_tokens: int


def local(replica: Replica) -> LocalSite:
    """Where its problems are searched: with engines of this process."""
    assert isinstance(replica.site, LocalSite)
    return replica.site


def search(policies: Sequence[Any], **more: Any) -> ets.Search:
    arguments = {"prm": ScriptedPRM(), "embedder": ScriptedEmbedder(), "max_step_tokens": 20}
    return ets.Search(list(policies), strategy=STRATEGY, **{**arguments, "max_tokens": 200, **more})


def found(results: Sequence[SearchResult]) -> list[tuple[str | None, str]]:
    return [(result.answer, result.tree.to_json()) for result in results]


def solved(policies: Sequence[Any], problems: list[str] = PROBLEMS, **more: Any) -> Any:
    with search(policies, **more) as several:
        return list(several.map(problems, concurrency=6))


@pytest.fixture(scope="module")
def undisturbed() -> list[tuple[str | None, str]]:
    return found(solved([Watched()]))


def lost_behind(samples: int, words: str = "the GPU has gone") -> Callable[[Prefix], None]:
    """Answers so many samples and no more."""
    left = iter(range(samples))

    def before(prefix: Prefix) -> None:
        if next(left, None) is None:
            raise EngineLostError(words)

    return before


@pytest.mark.parametrize("count", [1, 2, 4])
def test_placement_changes_no_tree(count: int, undisturbed: Any) -> None:
    policies = [Watched() for _ in range(count)]
    results = solved(policies)
    assert found(results) == undisturbed
    # Each problem on one replica from its first sample to its last.
    assert sorted(problem for policy in policies for problem in policy.asked) == sorted(PROBLEMS)
    assert all(len(policy.asked) >= 12 // count - 2 for policy in policies), "none is left idle"
    served = [result.usage.replicas for result in results]
    assert all(len(names) == (count > 1) for names in served)
    for result in results if count > 1 else ():
        number = int(result.usage.replicas[0].removeprefix("replica "))
        assert result.problem in policies[number - 1].asked
        assert result.to_dict()["usage"]["replicas"] == result.usage.replicas


def test_the_bundled_pair_in_several_copies() -> None:
    texts = [str(problem["problem"]) for problem in demo.problems()[:4]]
    trees = []
    for count in (1, 2, 4):
        with ets.Search(["demo"] * count, "demo", ets.REBASE(width=4), seed=3) as several:
            assert len(several.replicas) == count
            assert len({id(local(replica).engines.policy) for replica in several.replicas}) == count
            assert len({id(local(replica).engines.prm) for replica in several.replicas}) == 1
            trees.append(found(list(several.map(texts, concurrency=4))))
    assert trees[0] == trees[1] == trees[2]


@pytest.mark.parametrize("samples", [0, 3, 6, 40, 100])
def test_what_was_on_a_lost_replica_goes_on_elsewhere(
    samples: int, undisturbed: Any, caplog: pytest.LogCaptureFixture
) -> None:
    policies = [Watched(), Watched(before=lost_behind(samples))]
    with caplog.at_level(logging.WARNING, logger="ets"):
        results = solved(policies)
    assert found(results) == undisturbed
    assert all(result.lost is None for result in results)
    moved = [result for result in results if len(result.usage.replicas) > 1]
    assert moved
    assert all(result.usage.replicas[-1] == "replica 1" for result in moved)
    said = [record.getMessage() for record in caplog.records]
    assert said == ["replica 2 is lost, its problems go on elsewhere: the GPU has gone"]


def test_budgets_count_what_is_kept_alone() -> None:
    budget = ets.Budget(tokens=150)
    whole = found(solved([Watched()], budget=budget))
    results = solved([Watched(), Watched(before=lost_behind(20))], budget=budget)
    assert found(results) == whole
    assert any(len(result.usage.replicas) > 1 for result in results)


def test_all_lost_is_an_error_that_names_each() -> None:
    policies = [Watched(before=lost_behind(0, "no power")), Watched(before=lost_behind(0, "fire"))]
    with search(policies) as several, pytest.raises(EngineLostError) as caught:
        several.solve("p")
    assert str(caught.value) == "all 2 replicas are lost: replica 1: no power; replica 2: fire"


def test_all_lost_leaves_the_answer_so_far(undisturbed: Any) -> None:
    def no_longer(prefix: Prefix) -> None:
        if len(prefix.steps) >= 4:
            raise EngineLostError("no power")

    with search([Watched(before=no_longer), Watched(before=no_longer)]) as several:
        results = [several.solve(problem) for problem in PROBLEMS]
    cut = [result for result in results if result.end == "engine_lost"]
    assert cut
    for result in cut:
        assert result.lost == ("all 2 replicas are lost: replica 1: no power; replica 2: no power")
        assert result.trajectories


def test_a_problem_that_ends_its_engines_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """One after the other, and they come back each time before it is told."""
    monkeypatch.setattr("ets.search.replica.Replica.lose", lambda replica, error: None)

    def poison(prefix: Prefix) -> None:
        if prefix.problem == "poison":
            raise EngineLostError("crashed")

    policies = [Watched(before=poison) for _ in range(3)]
    with search(policies) as several:
        with pytest.raises(EngineLostError, match="crashed"):
            several.solve("poison")
        assert several.solve("good").answer is not None
    asked = [policy.asked["poison"] for policy in policies]
    assert 0 < sum(asked) <= 4 * STRATEGY.width


def test_a_drained_replica_hands_its_problems_on(undisturbed: Any) -> None:
    policies = [Watched(), Watched()]
    with search(policies) as several:
        second = several.replicas[1]
        policies[1].before = lambda prefix: second.drain() if len(prefix.steps) == 2 else None
        results = list(several.map(PROBLEMS, concurrency=6))
        assert found(results) == undisturbed
        moved = [result for result in results if len(result.usage.replicas) > 1]
        assert moved
        assert all(result.usage.replicas == ["replica 2", "replica 1"] for result in moved)
        assert (second.drained, second.in_flight, second.lost) == (True, 0, None)
        before = sum(policies[1].asked.values())
        several.solve("another")
        assert sum(policies[1].asked.values()) == before
        second.undrain()
        several.replicas[0].drain()
        assert several.solve("another").usage.replicas == ["replica 2"]
        second.drain()
        with pytest.raises(EngineError, match="all of them are drained"):
            several.solve("another")


def test_a_replica_that_hangs_is_lost(undisturbed: Any) -> None:
    class Hanging(Watched):
        async def sample(self, prefix: Prefix, *, seed: int, max_tokens: int) -> Step:
            if len(prefix.steps) == 2:
                await asyncio.Event().wait()
            return await super().sample(prefix, seed=seed, max_tokens=max_tokens)

    results = solved([Watched(), Hanging()], engine_timeout=3.0)
    assert found(results) == undisturbed
    assert any(result.usage.replicas == ["replica 2", "replica 1"] for result in results)
    with search([Hanging()], engine_timeout=0.2) as alone, pytest.raises(EngineLostError) as caught:
        alone.solve("p")
    assert str(caught.value) == ("no sample came back in 0.2 s (engine_timeout), 6 are waited for")


def test_one_replica_cannot_be_left() -> None:
    with search([Watched()]) as one:
        one.replicas[0].drain()
        assert one.solve("p").answer is not None


def test_a_lost_replica_is_tried_by_one_problem_and_comes_back(
    monkeypatch: pytest.MonkeyPatch, undisturbed: Any
) -> None:
    monkeypatch.setattr("ets.search.placement._AGAIN", 0.0)
    down = {"yes": True}

    def before(prefix: Prefix) -> None:
        if down["yes"]:
            raise EngineLostError("restarts")

    policies = [Watched(), Watched(before=before)]
    with search(policies) as several:
        assert several.solve("a").usage.replicas == ["replica 1"]
        assert list(several.map(["b", "c"], concurrency=2))
        assert several.replicas[1].lost == "restarts"
        down["yes"] = False
        assert found(list(several.map(PROBLEMS, concurrency=6))) == undisturbed
        assert several.replicas[1].lost is None
    assert len(policies[1].asked) > 4


def test_a_problem_goes_where_fewest_are_and_then_where_space_is() -> None:
    """The second has one problem with a large tree; the third the same number with a small one."""
    policies = [Watched() for _ in range(3)]
    with search(policies) as several:
        first, second, third = several.replicas
        keys = [(replica, replica.enter()) for replica in (first, first, second, third)]
        second.holds(keys[2][1], Kept(900))
        third.holds(keys[3][1], Kept(9))
        assert [replica.kv_tokens for replica in several.replicas] == [0, 900, 9]
        assert several.solve("p").usage.replicas == ["replica 3"]
        third.enter()
        assert several.solve("p").usage.replicas == ["replica 2"]
        assert "takes problems, 1 problems" in repr(second)


def test_the_terminal_shows_each_replica() -> None:
    def shown(replicas: Sequence[Any]) -> list[list[str]]:
        console = Console(width=120, file=io.StringIO(), record=True)
        console.print(ReplicaLines(replicas))
        return [line.split() for line in console.export_text().splitlines() if line.strip()]

    with search([Spacious(), Spacious(), Spacious()], kv_budget="auto") as several:
        several.solve("p")
        first, second, third = several.replicas
        assert first.policy_tokens > 0 == second.policy_tokens
        first.enter()
        second.lose(EngineLostError("no\npower"))
        third.drain()
        lines = shown(several.replicas)
        assert lines[0][:9] == [
            "replica",
            "1",
            "1",
            "problems",
            "0",
            "of",
            "4,000",
            "KV",
            lines[0][8],
        ]
        assert float(lines[0][8].replace(",", "")) > 0
        assert lines[1][-3:] == ["lost:", "no", "power"]
        assert lines[2][-1] == "drained"
        assert shown([first]) == []
        assert shown([first] * 20)[-1] == ["and", "4", "more"]


def test_concurrency_auto_is_the_sum() -> None:
    async def most(count: int) -> int:
        with search([Spacious() for _ in range(count)], kv_budget="auto") as several:
            solver = several._solver
            limit = await several._loop.call(solver.at_once, "auto")
            one = limit()
            assert (await several._loop.call(solver.at_once, 4))() == 4
            several.replicas[0].drain()
            assert count == 1 or limit() == one * (count - 1) // count
            return one

    assert asyncio.run(most(3)) == 3 * asyncio.run(most(1)) == 30


def test_kv_budgets_are_those_of_each_replica() -> None:
    alone = solved([Spacious()], ["p"], kv_budget="auto")[0]
    with search([Spacious(), Spacious()], kv_budget="auto") as several:
        beside, _ = several.map(["p", "q"], concurrency=2)
    assert beside.tree.kv_budget == alone.tree.kv_budget


def test_replicas_are_one_model() -> None:
    class Other(Watched):
        def start(self, problem: str) -> Prefix:
            return Prefix(problem=problem, prompt_tokens=2, token_ids=(1, 2))

    with (
        search([Watched(before=lost_behind(8)), Other()]) as several,
        pytest.raises(EngineError, match="replica 2 reads this problem as other tokens than"),
    ):
        several.solve("p")


def test_policies_and_prms_in_pairs() -> None:
    prms = [ScriptedPRM(), ScriptedPRM()]
    policies = [Watched(), Watched()]
    with search(policies, prm=prms) as several:
        pairs = [
            (local(replica).engines.policy, local(replica).engines.prm)
            for replica in several.replicas
        ]
        assert pairs == list(zip(policies, prms, strict=True))
    with search(policies[:1], prm=prms) as several:
        assert [local(replica).engines.policy for replica in several.replicas] == policies[:1] * 2
    assert [policy.closed for policy in policies] == [0, 0], "they are their owner's"
    with pytest.raises(InputError, match="policy must be one, or one for each of the 3 replicas"):
        search(policies, prm=[*prms, ScriptedPRM()])
    with pytest.raises(InputError, match="got an empty sequence"):
        search([])
    with pytest.raises(InputError, match="policy must be a name or an object"):
        search([policies[0], 3])


@pytest.mark.parametrize(
    ("name", "names"),
    [
        (
            "openai:m@http://a/v1,http://b/v1?top_p=0.5",
            ["openai:m@http://a/v1?top_p=0.5", "openai:m@http://b/v1?top_p=0.5"],
        ),
        (
            "pooling:org/m@x@https://u:p,w@a:1/v1,https://b:2/v1,http://c/v1",
            [
                "pooling:org/m@x@https://u:p,w@a:1/v1",
                "pooling:org/m@x@https://b:2/v1",
                "pooling:org/m@x@http://c/v1",
            ],
        ),
        ("openai:m@http://a/v1", ["openai:m@http://a/v1"]),
        ("vllm:a,b", ["vllm:a,b"]),
        ("demo", ["demo"]),
    ],
)
def test_a_name_with_several_addresses(name: str, names: list[str]) -> None:
    assert each_server(name) == names
