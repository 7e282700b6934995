"""Searches until the answer is certain: what is counted, when it ends, what it refuses."""

from __future__ import annotations

import asyncio
import pickle
import random
from collections import Counter
from inspect import signature
from typing import Any

import pytest

import ets
from ets.answer.mode import fewest_votes, standing
from ets.bench.grid import Grid
from ets.bench.measure import measure
from ets.bench.runner import run
from ets.cli.app import solve
from ets.cli.bench.commands import bench
from ets.cli.setup import make_grid
from ets.errors import EngineLostError, InputError
from ets.prm.policy import PolicyPRM
from ets.problems.problem import Problem
from ets.rollout.pooled import _as_asked
from ets.search.toml import search_arguments
from ets.serve.configurations import Configurations, Served
from ets.serve.settings import Settings
from ets.step import Prefix, Score, Step
from ets.tree.seeds import problem_seed, search_seed
from scripted_engines import ScriptedPolicy, ScriptedPRM
from scripted_search import PROBLEMS, search
from scripted_worker import ScriptedFleet


class Skewed(ScriptedPolicy):
    """Says 7 four times in five, in three steps; what is wrong has one, and comes back first."""

    def __init__(self, *, slow: bool = True, share: float = 0.8) -> None:
        super().__init__(slow=slow)
        self.share = share

    async def sample(self, prefix: Prefix, *, seed: int, max_tokens: int) -> Step:
        draw = random.Random(seed)
        right = bool(prefix.steps) or draw.random() < self.share
        if self.slow:
            await asyncio.sleep(0.004 if right else 0.0)
        ids = tuple(draw.randrange(100) for _ in range(3))
        if right and len(prefix.steps) < 2:
            return Step(f"thought {draw.randrange(6)}\n\n", ids, "step", 3, 1)
        answer = 7 if right else draw.randrange(3)
        return Step(f"The answer is {answer}.", ids, "answer", 3, 1)


class Worth(ScriptedPRM):
    """Rewards 7 with 0.9 and all else with 0.6."""

    async def score(self, prefix: Prefix) -> Score:
        return Score(0.9 if "7" in prefix.steps[-1].text else 0.6)


def all_of(result: ets.SearchResult) -> Any:
    """All of a result but the times."""
    found = result.to_dict()
    for name in ("seconds", "policy_seconds", "prm_seconds"):
        del found["usage"][name]
    return found, [tree.to_json() for tree in result.trees]


def sampling(until: ets.Certain, *, width: int = 64, **more: Any) -> ets.Search:
    more = {"policy": Skewed(), "vote": "majority", **more}
    return search(ets.BestOfN(width=width), until=until, **more)


def expected_end(answers: list[str | None], until: ets.Certain, width: int) -> tuple[int, bool]:
    """How many of the votes are asked for, by the test alone; and whether it is certain then."""
    asked = min(width, max(until.batch, fewest_votes(until.error)))
    while True:
        found = standing(answers[:asked], error=until.error)
        if found is not None and found.certain:
            return asked, True
        if asked == width:
            return asked, False
        asked = min(width, asked + until.batch)


# -- independent samples ---------------------------------------------------------------------------


@pytest.mark.parametrize("until", [ets.Certain(), ets.Certain(error=0.2, batch=1)], ids=repr)
def test_samples_are_the_first_of_the_whole_width(until: ets.Certain) -> None:
    with search(ets.BestOfN(width=40), policy=Skewed(), vote="majority") as s:
        whole = {problem: _as_asked(s.solve(problem)) for problem in PROBLEMS[:4]}
    ends = Counter[str]()
    with sampling(until, width=40) as s:
        for problem, every in whole.items():
            result = s.solve(problem)
            asked, certain = expected_end([one.answer for one in every], until, 40)
            assert [one.text for one in result.trajectories] == [one.text for one in every[:asked]]
            assert result.end == ("certain" if certain else "uncertain")
            assert result.certainty is not None
            assert result.certainty.certain == certain
            assert result.certainty.counted == asked
            assert result.answer == result.certainty.answer == result.votes[0].answer
            assert sum(vote.count for vote in result.votes) == asked
            ends[result.end] += 1
            check_sums(result)
    assert ends["certain"] > 0


def check_sums(result: ets.SearchResult) -> None:
    parts = result.searches
    assert result.tree is parts[0].tree
    last = result.trees[-1]
    assert ets.TreeSearch.from_json(last.to_json()) == last
    assert result.trees == [part.tree for part in parts]
    for name in ("policy_calls", "policy_tokens", "prm_calls", "prm_tokens", "given_up"):
        assert getattr(result.usage, name) == sum(getattr(part.usage, name) for part in parts)
    assert result.usage.policy_tokens == sum(sum(t.nodes.tokens[1:]) for t in result.trees)
    assert [step.depth for step in result.usage.steps] == list(
        range(1, len(result.usage.steps) + 1)
    )
    assert result.kv.after.sum == sum(part.kv.after.sum for part in parts)
    assert result.kv.before.peak == max(part.kv.before.peak for part in parts)
    assert len(result.trajectories) == sum(len(part.trajectories) for part in parts)


@pytest.mark.parametrize("strategy", [ets.BestOfN(width=24), ets.REBASE(width=3)], ids=repr)
def test_neither_company_nor_time_changes_a_result(strategy: Any) -> None:
    found = []
    for slow, concurrency in [(False, 1), (True, 1), (True, 4), (True, 12)]:
        with search(strategy, policy=Skewed(slow=slow), until=ets.Certain(error=0.2)) as s:
            results = list(s.map(PROBLEMS[:6], concurrency=concurrency))
            assert [result.problem for result in results] == PROBLEMS[:6]
        found.append([all_of(result) for result in results])
    assert found[1:] == found[:-1]


def test_a_smaller_batch_asks_for_fewer_and_sees_the_same_samples() -> None:
    sizes = []
    for batch in (1, 4, 16):
        with sampling(ets.Certain(batch=batch)) as s:
            sizes.append([one.text for one in s.solve("p").trajectories])
    assert len(sizes[0]) <= min(len(sizes[1]), len(sizes[2]))
    assert sizes[1][: len(sizes[0])] == sizes[2][: len(sizes[0])] == sizes[0]


def test_asynchronous_callers_get_the_same() -> None:
    async def both() -> list[ets.SearchResult]:
        async with sampling(ets.Certain()) as s:
            alone = await s.asolve("p")
            return [alone, *[result async for result in s.map(["p", "q"], ordered=False)]]

    with sampling(ets.Certain()) as s:
        expected = all_of(s.solve("p"))
    first, *others = asyncio.run(both())
    assert all_of(first) == expected
    assert expected in [all_of(result) for result in others]


def test_weights_are_tested_where_votes_are_weighed() -> None:
    """The commonest answer is worth less than another here."""
    more = {"policy": Skewed(share=0.45), "prm": Worth(), "vote": "weighted"}
    with sampling(ets.Certain(error=0.2), width=200, **more) as s:
        result = s.solve("p")
    answers, weights = zip(*result.ballots, strict=True)
    found = standing(answers, weights, error=0.2)
    assert found == result.certainty
    assert result.certainty != standing(answers, error=0.2)
    assert result.votes[0].answer == result.answer == "7"
    assert {round(weight, 6) for weight in weights} <= {0.6, 0.9}


def test_solutions_without_an_answer_do_not_vote() -> None:
    with sampling(ets.Certain(most=8), max_depth=2) as s:  # which cuts all that say 7
        result = s.solve("p")
    assert result.end == "uncertain"
    assert result.certainty is None or result.certainty.counted < 8
    assert len(result.trajectories) == 8
    with sampling(ets.Certain(), max_depth=1, policy=Skewed(share=1.0), width=9) as s:
        nothing = s.solve("p")
    assert (nothing.answer, nothing.certainty, nothing.end) == (None, None, "uncertain")
    assert "max_depth" in str(nothing.note)
    assert nothing.to_dict()["certainty"] is None


# -- searches by steps -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "strategy",
    [ets.REBASE(width=3), ets.ETS(width=3), ets.MPTS(width=3), ets.ParticleFilter(width=3)],
    ids=repr,
)
def test_other_strategies_are_searched_again(strategy: Any) -> None:
    with search(strategy, policy=Skewed(share=0.6)) as s:
        once = s.solve("p")
    with search(strategy, policy=Skewed(share=0.6), until=ets.Certain(error=0.1, most=20)) as s:
        result = s.solve("p")
    parts = result.searches
    first = problem_seed(0, "p")
    assert [tree.seed for tree in result.trees] == [
        search_seed(first, number) for number in range(len(parts))
    ]
    assert len({tree.seed for tree in result.trees}) == len(parts)
    assert parts[0].tree.to_json() == once.tree.to_json()
    assert parts[0].answer == once.answer
    answers = [part.answer for part in parts]
    assert result.ballots == [(answer, 1.0) for answer in answers]
    assert result.certainty == standing(answers, error=0.1)
    asked, certain = expected_end(answers, ets.Certain(error=0.1), 20)
    assert (len(parts), result.end) == (asked, "certain" if certain else "uncertain")
    check_sums(result)


def test_no_more_searches_run_at_once_than_are_asked_for() -> None:
    policy = Skewed(share=0.5)
    with search(
        ets.REBASE(width=2), policy=policy, until=ets.Certain(error=0.4, batch=5, most=15)
    ) as s:
        result = s.solve("p")
    assert len(result.searches) in (5, 10, 15)
    trees = result.trees
    assert len({tree.to_json() for tree in trees}) > 1


# -- budgets and losses ----------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", [ets.BestOfN(width=64), ets.REBASE(width=3)], ids=repr)
@pytest.mark.parametrize("tokens", [5, 90, 150])
def test_a_budget_is_of_all_searches_of_a_problem(strategy: Any, tokens: int) -> None:
    found = []
    for slow in (False, True, True):
        with search(
            strategy,
            policy=Skewed(slow=slow, share=0.5),
            until=ets.Certain(error=0.001),
            budget=ets.Budget(tokens=tokens),
        ) as s:
            result = s.solve("p")
        assert result.end == "token_budget"
        sampled = [count for tree in result.trees for count in tree.nodes.tokens[1:]]
        assert sum(sampled) >= tokens > sum(sampled[:-1])
        whole = [part for part in result.searches if part.end != "token_budget"]
        assert len(whole) == len(result.searches) - 1
        counted = sum(len(part.trajectories) for part in whole)
        if not isinstance(strategy, ets.BestOfN):
            counted = len(whole)
        assert (result.certainty.counted if result.certainty else 0) == counted
        found.append(all_of(result)[1])
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize("strategy", [ets.BestOfN(width=64), ets.REBASE(width=3)], ids=repr)
def test_prm_calls_of_all_searches_are_never_exceeded(strategy: Any) -> None:
    budget = ets.Budget(prm_calls=31)
    until = ets.Certain(error=0.001)
    with search(strategy, policy=Skewed(share=0.5), until=until, budget=budget) as s:
        result = s.solve("p")
    assert result.end == "prm_budget"
    assert result.usage.prm_calls == 31


def test_time_is_of_all_searches() -> None:
    class Late(Skewed):
        async def sample(self, prefix: Prefix, *, seed: int, max_tokens: int) -> Step:
            await asyncio.sleep(0.05)
            return await super().sample(prefix, seed=seed, max_tokens=max_tokens)

    until, budget = ets.Certain(error=0.4, batch=1, most=500), ets.Budget(seconds=0.6)
    with search(ets.REBASE(width=1), policy=Late(share=0.3), until=until, budget=budget) as s:
        result = s.solve("p")
    assert result.end == "time_budget"
    assert 1 < len(result.searches) < 500
    counted = 0 if result.certainty is None else result.certainty.counted
    assert counted <= sum(part.end != "time_budget" for part in result.searches)


def test_what_was_found_before_a_loss_is_shown() -> None:
    class Lost(Skewed):
        calls = 0

        async def sample(self, prefix: Prefix, *, seed: int, max_tokens: int) -> Step:
            self.calls += 1
            if self.calls > 60:
                raise EngineLostError("the server has gone")
            return await super().sample(prefix, seed=seed, max_tokens=max_tokens)

    with search(ets.REBASE(width=3), policy=Lost(share=0.5), until=ets.Certain(error=1e-6)) as s:
        result = s.solve("p")
    assert result.end == "engine_lost"
    assert "the server has gone" in str(result.lost)
    assert result.answer is not None
    nobody = Lost()
    nobody.calls = 100
    with (
        search(ets.BestOfN(width=9), policy=nobody, until=ets.Certain()) as s,
        pytest.raises(EngineLostError, match="the server has gone"),
    ):
        s.solve("p")


def test_an_error_of_one_search_ends_the_others() -> None:
    class Breaks(ScriptedPolicy):
        async def sample(self, prefix: Prefix, *, seed: int, max_tokens: int) -> Step:
            if self.running > 8:  # of several searches
                raise ZeroDivisionError("mine")
            return await super().sample(prefix, seed=seed, max_tokens=max_tokens)

    policy = Breaks()
    with search(ets.REBASE(width=3), policy=policy, until=ets.Certain(error=0.01)) as s:
        with pytest.raises(ZeroDivisionError, match="mine"):
            s.solve("p")
        assert policy.running == 0


# -- in workers, beside others, as rows ------------------------------------------------------------


@pytest.mark.parametrize("strategy", [ets.BestOfN(width=24), ets.REBASE(width=3)], ids=repr)
def test_workers_change_no_result(strategy: Any) -> None:
    until = ets.Certain(error=0.2)
    with search(strategy, policy=Skewed(), until=until) as s:
        expected = [all_of(result)[1] for result in s.map(PROBLEMS[:4])]
    with search(strategy, policy=Skewed(), until=until, workers=ScriptedFleet(2)) as s:
        results = list(s.map(PROBLEMS[:4]))
    assert [all_of(result)[1] for result in results] == expected
    assert results[0].usage.replicas


def test_a_search_beside_another_goes_by_its_own_rule() -> None:
    with search(ets.BestOfN(width=32), policy=Skewed(), vote="majority") as once:
        until = once.beside(until=ets.Certain())
        assert len(once.solve("p").trajectories) == 32
        found = until.solve("p")
        assert found.end == "certain"
        assert len(found.trajectories) < 32
        again = until.beside(until=None)
        assert again.solve("p").searches == ()


def test_a_result_pickles_and_shows_its_first_tree() -> None:
    with sampling(ets.Certain()) as s:
        result = s.solve("p")
    again = pickle.loads(pickle.dumps(result))
    assert again == result
    assert (again.end, again.certainty, len(again.searches)) == (
        result.end,
        result.certainty,
        len(result.searches),
    )
    assert again.kv == result.kv
    assert "<iframe" in result._repr_html_()


def test_a_row_says_how_often_and_how_sure() -> None:
    grid = Grid(strategies=("best-of-n",), widths=(64,), trees=False, search={"until": {}})
    cell = grid.cells()[0]
    with search(ets.REBASE(width=3), policy=Skewed(share=0.6), until=ets.Certain(error=0.2)) as s:
        result = s.solve("p")
    row = measure(cell, 0, Problem("p", "7", "p"), result)
    assert row["searches"] == len(result.searches) == len(row["classes"]) == len(row["hits"])
    assert row["chance"] == (result.certainty.chance if result.certainty else None)
    assert row["hits"] == [part.answer == "7" for part in result.searches]
    assert len(row["tokens"]) == len(result.trajectories)
    with search(ets.REBASE(width=3), policy=Skewed()) as s:
        assert "searches" not in measure(cell, 0, Problem("p", "7", "p"), s.solve("p"))


def test_a_benchmark_searches_until_it_is_certain(tmp_path: Any) -> None:
    grid = Grid(
        dataset="demo",
        problems=2,
        strategies=("best-of-n",),
        widths=(16,),
        trees=False,
        search={"until": {"error": 0.2}, "vote": "majority"},
    )
    rows = run(grid, tmp_path / "run", lambda *seen: None)
    assert len(rows) == 2
    assert all(row["end"] in ("certain", "uncertain") for row in rows)
    assert all(len(row["classes"]) in (5, 9, 13, 16) for row in rows)
    again = run(grid, tmp_path / "run", lambda *seen: None)
    assert again == rows


# -- what is refused -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"error": 0.0}, r"until\.error must be in \(0, 0\.5\], got 0\.0"),
        ({"error": 1}, r"until\.error must be in"),
        ({"error": "0.05"}, r"until\.error must be a number"),
        ({"batch": 0}, r"until\.batch must be an integer from 1"),
        ({"batch": 2.0}, r"until\.batch must be an integer"),
        ({"most": 0}, r"until\.most must be an integer from 1 .* or None"),
    ],
)
def test_a_field_out_of_range_is_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        ets.Certain(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"until": 0.05}, r"until must be an ets\.Certain or None, got 0\.05"),
        ({"straggler": 0.1}, r"straggler must be 0 with until, got 0\.1"),
        ({"vote": "best"}, "vote must be 'majority' or 'weighted' with until, got 'best'"),
        (
            {"prm": PolicyPRM(), "vote": "weighted"},
            "vote must be 'majority' with until and a PRM that judges solutions beside each other",
        ),
    ],
)
def test_votes_that_cannot_be_tested_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        search(ets.BestOfN(width=8), **{"until": ets.Certain(), **options})
    assert "\n" not in str(caught.value)
    fine = {"prm": PolicyPRM(scale="map"), "vote": "weighted"}
    search(ets.BestOfN(width=8), until=ets.Certain(), **fine).close()
    search(ets.REBASE(width=8), until=ets.Certain(), vote="best", prm=PolicyPRM()).close()


def test_what_is_of_one_search_is_refused() -> None:
    with sampling(ets.Certain()) as s:
        tree = s.solve("p").tree
        for name, given in (("stream", ("p",)), ("resume", (tree, "p"))):
            with pytest.raises(InputError, match=f"{name} is of one search"):
                getattr(s, name)(*given)


@pytest.mark.parametrize("skip", [-1, 1.5, True, 2**63])
def test_samples_of_others_are_counted_by_a_whole_number(skip: Any) -> None:
    with pytest.raises(InputError, match="skip must be"):
        ets.TreeSearch(ets.BestOfN(width=2), 1, skip=skip)
    beyond = ets.TreeSearch(ets.BestOfN(width=2), 1, skip=5)
    [ask] = beyond.ask()
    whole = ets.TreeSearch(ets.BestOfN(width=7), 1).ask()[0]
    assert (ask.indices, ask.seeds) == (whole.indices[5:], whole.seeds[5:])


def test_a_server_refuses_it() -> None:
    served = Served.of({}, {"mine": {"until": {"error": 0.1}}}, Settings())
    with pytest.raises(InputError, match=r"searches\.mine: until is not served"):
        Configurations(served)


def test_a_benchmark_keeps_no_trees_of_it() -> None:
    assert not Grid(search={"until": {}}).keeps_trees
    assert Grid().keeps_trees
    with pytest.raises(InputError, match="trees must be off with"):
        Grid(search={"until": {}}, trees=True)


def test_commands_have_flags_for_it() -> None:
    flags = {"until_error", "until_most"}
    assert flags <= signature(solve).parameters.keys()
    assert flags <= signature(bench).parameters.keys()
    grid = make_grid(None, {"until": {"error": 0.1}})
    assert grid.search["until"] == {"error": 0.1}


def test_a_file_has_a_table_for_it() -> None:
    assert search_arguments({"until": {"error": 0.1, "most": 12}})["until"] == ets.Certain(
        error=0.1, most=12
    )
    assert search_arguments({"until": {}})["until"] == ets.Certain()
    with pytest.raises(InputError, match="unknown key 'delta' in until; the keys are error, batch"):
        search_arguments({"until": {"delta": 0.1}})
