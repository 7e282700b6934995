"""Searches whose problems go to workers: what is found, what is lost, what goes on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import pytest

import ets
from ets import demo
from ets.engines.kv_space import KVSpace
from ets.errors import EngineLostError, InputError
from ets.rollout.options import SearchOptions
from ets.rollout.result import Answered
from ets.workers.load import OptionsEngines
from scripted_engines import ScriptedEmbedder, ScriptedPolicy, ScriptedPRM
from scripted_worker import ScriptedFleet, ScriptedWorker
from worker_cases import PROBLEMS, STRATEGY, all_of, search, told


@pytest.fixture(scope="module")
def undisturbed() -> list[Any]:
    with search() as alone:
        return all_of(list(alone.map(PROBLEMS, concurrency=4)))


def dies_at(*numbers: int) -> Callable[[int], None]:
    """At its messages of these numbers."""

    def before(number: int) -> None:
        if number in left:
            left.remove(number)
            raise EngineLostError("killed")

    left = list(numbers)
    return before


@pytest.mark.parametrize("count", [1, 2, 4])
def test_workers_change_no_result(count: int, undisturbed: list[Any]) -> None:
    fleet = ScriptedFleet(count)
    with search(workers=fleet) as several:
        assert [replica.name for replica in several.replicas] == [
            f"worker {number + 1}" for number in range(count)
        ]
        results = list(several.map(PROBLEMS, concurrency=4))
    assert all_of(results) == undisturbed
    assert all(worker.closed for worker in fleet.workers)
    assert all(worker.sent > 0 for worker in fleet.workers), "none is left idle"
    for result in results if count > 1 else ():
        assert len(result.usage.replicas) == 1


@pytest.mark.parametrize("at", [0, 1, 2, 7, 20])
@pytest.mark.parametrize("count", [1, 2])
def test_problems_of_a_dead_worker_go_on(count: int, at: int, undisturbed: list[Any]) -> None:
    fleet = ScriptedFleet(count, before=[dies_at(at, at + 2), *[dies_at()] * (count - 1)])
    with search(workers=fleet) as several:
        results = list(several.map(PROBLEMS, concurrency=4))
    assert all_of(results) == undisturbed
    assert fleet.workers[0].ended == ["killed", "killed"]


def test_a_stream_over_workers_is_the_same(undisturbed: list[Any]) -> None:
    with search() as alone:
        events = [event for event in alone.stream(PROBLEMS[0]) if not isinstance(event, Answered)]
    for before in (dies_at(), dies_at(2, 4)):
        with search(workers=ScriptedFleet(1, before=before)) as several:
            stream = several.stream(PROBLEMS[0])
            *found, last = stream
            assert found == events
            assert isinstance(last, Answered)
            assert told(last.result) == undisturbed[0]
            assert stream.tree == last.result.tree


def test_a_worker_that_is_given_up_leaves_the_others(undisturbed: list[Any]) -> None:
    always = dies_at(*range(3))
    fleet = ScriptedFleet(2, before=[always, dies_at()], restarts=1)
    with search(workers=fleet) as several:
        results = list(several.map(PROBLEMS, concurrency=4))
        assert all_of(results) == undisturbed
        assert several.replicas[0].lost is not None


def test_all_given_up_is_an_error_with_the_last_words() -> None:
    fleet = ScriptedFleet(2, before=[dies_at(*[0] * 9), dies_at(*[0] * 9)], restarts=0)
    with search(workers=fleet) as several, pytest.raises(EngineLostError) as caught:
        list(several.map(PROBLEMS, concurrency=4))
    assert "all 2 replicas are lost: worker 1: " in str(caught.value)
    assert "killed" in str(caught.value)


def test_all_given_up_leaves_the_answers_so_far(undisturbed: list[Any]) -> None:
    def late(number: int) -> None:
        if number >= 4:
            raise EngineLostError("killed")

    with search(workers=ScriptedFleet(1, before=late, restarts=0)) as several:
        result = several.solve(PROBLEMS[0])
    assert (result.end, result.lost) == ("engine_lost", "killed")
    assert result.trajectories


@dataclass
class Cached(ScriptedPolicy):
    """Whose KV cache is known."""

    async def kv_space(self) -> KVSpace:
        return KVSpace(tokens=10_000, block_size=1)


@pytest.mark.parametrize("concurrency", [4, "auto"])
def test_a_map_begins_without_a_worker_that_is_given_up(
    concurrency: int | Literal["auto"], undisturbed: list[Any]
) -> None:
    fleet = ScriptedFleet(2, restarts=0)
    with search(policy=Cached(), workers=fleet) as several:
        fleet.workers[0].restart("killed", 1)
        results = list(several.map(PROBLEMS, concurrency=concurrency))
    assert all_of(results) == undisturbed
    assert fleet.workers[0].sent == 0


@pytest.mark.parametrize("method", ["open", "at_once", "kv_space"])
def test_a_worker_that_is_lost_while_a_map_begins_is_asked_again(
    method: str, undisturbed: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    call = ScriptedWorker.call
    lost: list[str] = []

    async def once_lost(self: ScriptedWorker, asked: str, *arguments: Any) -> Any:
        if asked == method and not lost:
            lost.append(asked)
            self.restart("killed", self.starts)
            raise EngineLostError("killed")
        return await call(self, asked, *arguments)

    monkeypatch.setattr(ScriptedWorker, "call", once_lost)
    with search(policy=Cached(), workers=ScriptedFleet(1)) as several:
        results = list(several.map(PROBLEMS, concurrency="auto"))
        assert several.replicas[0].kv_space == 10_000
    assert all_of(results) == undisturbed
    assert lost == [method]


def test_a_poisonous_problem_is_given_up() -> None:
    def always(number: int) -> None:
        raise EngineLostError("killed")

    fleet = ScriptedFleet(1, before=always, restarts=100)
    with search(workers=fleet) as several, pytest.raises(EngineLostError, match="killed"):
        several.solve("poison")
    assert len(fleet.workers[0].ended) == 4


def test_a_drained_worker_hands_its_problems_on(undisturbed: list[Any]) -> None:
    fleet = ScriptedFleet(2)
    with search(workers=fleet) as several:

        def drain(number: int) -> None:
            if number == 3:
                several.replicas[0].drain()

        fleet.workers[0]._before = drain
        results = list(several.map(PROBLEMS, concurrency=4))
        assert all_of(results) == undisturbed
        assert fleet.workers[0].ended == []
        assert any(result.usage.replicas == ["worker 1", "worker 2"] for result in results)


def test_a_saved_tree_goes_on_in_a_worker() -> None:
    problem = str(demo.problems()[0]["problem"])
    with (
        ets.Search(strategy=STRATEGY) as alone,
        ets.Search(strategy=STRATEGY, workers=ScriptedFleet(1)) as several,
    ):
        stream = several.stream(problem)
        saved = None
        for event in stream:
            if saved is None and event.kind == "scored":
                assert stream.tree is not None
                saved = stream.tree.to_json()
        assert saved is not None
        found = several.resume(ets.TreeSearch.from_json(saved), problem)
        assert found.tree.to_json() == alone.solve(problem).tree.to_json()
        assert told(found)[1] == told(alone.resume(ets.TreeSearch.from_json(saved), problem))[1]
        with pytest.raises(InputError, match="tree must be of this problem and policy"):
            several.resume(ets.TreeSearch(STRATEGY, 3), problem)


def test_searches_share_running_workers(undisturbed: list[Any]) -> None:
    """Each with a strategy of its own; they stay their owner's, who has nothing left in them."""
    options = SearchOptions(policy=ScriptedPolicy(), prm=ScriptedPRM(), embedder=ScriptedEmbedder())
    workers = ScriptedFleet(2).start(OptionsEngines(options))
    for _ in range(2):
        with search(policy="demo", prm="demo", workers=workers) as one:
            with ets.Search(strategy=ets.REBASE(width=3), workers=workers) as other:
                assert other.solve(PROBLEMS[0]).tree.strategy == ets.REBASE(width=3)
            assert all_of(list(one.map(PROBLEMS, concurrency=4))) == undisturbed
    assert [worker._body._sites for worker in workers] == [{}, {}]
    assert not any(worker.closed for worker in workers)


def test_what_a_worker_cannot_have_is_refused() -> None:
    with pytest.raises(InputError, match=r"policy must be one, of which each worker has a copy"):
        search(policy=["demo", "demo"], workers=ScriptedFleet(1))
    with pytest.raises(InputError, match="prm must be a name or an object that pickles"):
        search(prm=lambda problem, steps: 0.5, workers=ScriptedFleet(1))
    with pytest.raises(InputError, match=r"workers must be an ets.Workers or running workers"):
        search(workers=2)
    with pytest.raises(InputError, match=r"workers\[0\] must be a running worker, got 3"):
        search(workers=[3])
