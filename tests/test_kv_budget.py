"""A KV budget: every selection of a search keeps to it, and keeps the best that fits."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ets._core import SolverError, rebase_weights, select_leaves
from ets.errors import InputError
from ets.strategy import DVTS, ETS, REBASE, BeamSearch, BestOfN, Decision, Strategy, View
from ets.tree.events import Ended, Pruned
from ets.tree.frontier import Frontier
from ets.tree.nodes import Nodes
from ets.tree_search.search import Child, TreeSearch
from scripted import World, play

PROMPT = 50

worlds = st.builds(
    World,
    seed=st.integers(0, 10**6),
    finish=st.sampled_from([0.0, 0.1, 0.3]),
    decimals=st.sampled_from([0, 1, 6]),
    groups=st.integers(1, 6),
    max_tokens=st.sampled_from([0, 5, 40]),
)
pruners = st.builds(
    ETS,
    width=st.integers(1, 16),
    lambda_b=st.sampled_from([0.0, 0.5, 1.0, 2.5]),
    lambda_d=st.sampled_from([0.0, 0.5, 1.5]),
    node_cost=st.sampled_from(["uniform", "tokens"]),
    reward=st.sampled_from(["last", "min", "prod"]),
)


def begin(strategy: Strategy, budget: int | None, **options: Any) -> TreeSearch:
    return TreeSearch(strategy, PROMPT, kv_budget=budget, max_tokens=150, max_depth=6, **options)


class Watch:
    """An ETS whose every view and decision is handed to `check`."""

    obeys_kv_budget = True

    def __init__(self, inner: ETS, check: Callable[[View, Decision], None]) -> None:
        self.inner, self.check = inner, check
        self.width, self.needs_embeddings = inner.width, inner.needs_embeddings
        self.reward, self.temperature = inner.reward, inner.temperature

    def decide(self, view: View) -> Decision:
        decision = self.inner.decide(view)
        self.check(view, decision)
        return decision


def directly(strategy: ETS, view: View, clusters: NDArray[np.int64] | None) -> dict[int, int]:
    """Node -> continuations, by `select_leaves` and REBASE on the arrays of the whole tree."""
    tokens, rewards = view.tree.tokens, view.rewards(strategy.reward)
    keep = select_leaves(
        view.tree.parents,
        view.nodes,
        rebase_weights(rewards, view.width, strategy.temperature).astype(np.float64),
        clusters,
        lambda_b=strategy.lambda_b,
        lambda_d=0.0 if clusters is None else strategy.lambda_d or 0.0,
        node_costs=tokens.astype(np.float64) if strategy.node_cost == "tokens" else None,
        node_tokens=tokens,
        kv_budget=view.kv_budget,
    ).keep
    if not strategy.lambda_b and held(view.columns, view.nodes) <= (view.kv_budget or 0):
        keep = np.ones(len(keep), dtype=np.bool_)
    counts = rebase_weights(rewards[keep], view.width, strategy.temperature)
    nodes = view.nodes[keep]
    return {int(v): int(n) for v, n in zip(nodes, counts, strict=True) if n}


def held(nodes: Nodes, leaves: Iterable[int]) -> int:
    """The KV tokens of leaves, from the definition."""
    return sum(nodes.tokens[v] for v in {u for leaf in leaves for u in (0, *nodes.path(leaf))})


# -- the best that fits ----------------------------------------------------------------------------


@settings(max_examples=200, deadline=None)
@given(strategy=pruners, world=worlds, budget=st.integers(40, 400))
def test_every_selection_is_the_best_that_fits(strategy: ETS, world: World, budget: int) -> None:
    def check(view: View, decision: Decision) -> None:
        assert view.kv_budget == budget
        pairs = zip(view.nodes[decision.order], decision.counts, strict=True)
        counts = {int(v): int(n) for v, n in pairs}
        assert counts == directly(strategy, view, decision.clusters)
        assert sum(counts.values()) == view.width

    search = play(begin(Watch(strategy, check), budget), world)
    selections = [event for event in search.events if isinstance(event, Pruned)]
    for step, cut in zip(search.kv, selections, strict=True):
        assert step.kv_after == held(search.nodes, cut.kept) <= budget == step.kv_budget
    if search.end == "kv_budget":
        left = [v for v in search.nodes.levels[-1] if search.nodes.fate[v] == "left"]
        assert min(held(search.nodes, [v]) for v in left) > budget
        assert len(search.trajectories) == strategy.width - search.remaining
    else:
        assert search.end in ("width_used_up", "max_depth", "no_candidates")
        assert "left" not in search.nodes.fate


@settings(max_examples=100, deadline=None)
@given(strategy=pruners, world=worlds, more=st.sampled_from([0, 1, 10**30]))
def test_a_budget_that_binds_nothing_changes_nothing(
    strategy: ETS, world: World, more: int
) -> None:
    free = play(begin(strategy, None), world).to_dict()
    budget = max(step["kv_before"] for step in free["kv"]) + more
    bound = play(begin(strategy, budget), world).to_dict()
    assert (free.pop("kv_budget"), bound.pop("kv_budget")) == (None, budget)
    for saved, is_ in ((free, None), (bound, budget)):
        assert [step.pop("kv_budget") for step in saved["kv"]] == [is_] * len(saved["kv"])
    assert free == bound


def test_without_a_price_the_budget_alone_prunes() -> None:
    search = begin(ETS(width=4, lambda_b=0.0, lambda_d=0.0), 100)
    search.tell([Child(0, tokens, 0.5) for tokens in (10, 90, 10, 10)])
    assert [(ask.node, ask.n) for ask in search.ask()] == [(1, 2), (3, 1), (4, 1)]
    assert (search.kv[-1].kv_before, search.kv[-1].kv_after) == (170, 80)


@settings(max_examples=60, deadline=None)
@given(strategy=pruners, world=worlds, budget=st.integers(40, 400), order=st.integers(0, 2**32))
def test_saved_and_loaded_anywhere_it_keeps_its_budget(
    strategy: ETS, world: World, budget: int, order: int
) -> None:
    def reload(search: TreeSearch) -> TreeSearch:
        loaded = TreeSearch.from_json(search.to_json())
        assert loaded == search
        assert loaded.kv_budget == budget
        assert loaded.kv == search.kv
        return loaded

    fresh = reload(begin(strategy, budget))
    saved = play(fresh, world, shuffle=random.Random(order), between=reload)
    whole = play(begin(strategy, budget), world)
    assert saved.to_json() == whole.to_json()
    assert whole != play(begin(strategy, budget + 1), world)


# -- nothing fits ----------------------------------------------------------------------------------


def test_a_search_ends_where_not_even_the_cheapest_candidate_fits() -> None:
    """At 70 tokens the cheaper of two candidates fits; at 69 nothing does."""
    ends = []
    for budget in (69, 70):
        search = begin(ETS(width=3, lambda_d=0.0), budget)
        search.tell([Child(0, 25, 0.9), Child(0, 5, 0.5, finished=True), Child(0, 20, 0.1)])
        assert [t.node for t in search.trajectories] == [2]
        ends.append((search.end, [ask.node for ask in search.ask()], search.nodes.fate[1:]))
        assert TreeSearch.from_json(search.to_json()) == search
        if search.end is not None:
            assert search.events[-1] == Ended(1, "kv_budget")
            assert len(search.kv) == 1
            search.kv_budget = 10**6  # too late
            assert (search.end, search.ask()) == ("kv_budget", [])
    assert ends == [
        ("kv_budget", [], ["left", "done", "left"]),
        (None, [3], ["pruned", "done", "kept"]),
    ]


def test_a_prompt_must_fit_too() -> None:
    search = begin(ETS(width=3), PROMPT - 1)
    assert (search.end, search.ask(), search.nodes.fate) == ("kv_budget", [], ["left"])
    assert (list(search.kv), search.kv.after.peak) == ([], 0)
    assert TreeSearch.from_json(search.to_json()) == search
    assert begin(ETS(width=3), PROMPT).ask()[0].n == 3


# -- a budget that changes -------------------------------------------------------------------------


def test_a_selection_goes_by_the_budget_of_its_moment() -> None:
    search = begin(ETS(width=8, lambda_b=0.0, lambda_d=0.0), None)
    search.tell([Child(0, 10, r) for r in (0.5, 0.5, 0.4, 0.4, 0.4, 0.4, 0.4)])
    search.kv_budget = 75  # room for two
    search.tell([Child(0, 10, 0.4)])
    assert [ask.node for ask in search.ask()] == [1, 2]
    search.kv_budget = 51  # what is under way is not taken back
    assert [(ask.node, ask.n) for ask in search.ask()] == [(1, 4), (2, 4)]
    search.kv_budget = np.int64(80)
    search.tell([Child(1, 10, r) for r in (0.5, 0.5, 0.4, 0.4)] + [Child(2, 10, 0.4)] * 4)
    assert [(ask.node, ask.n) for ask in search.ask()] == [(9, 4), (10, 4)]
    search.kv_budget = None
    search.tell([Child(9, 10, 0.5)] * 4 + [Child(10, 10, 0.5)] * 4)
    assert [ask.node for ask in search.ask()] == list(range(17, 25))
    assert [(step.kv_budget, step.kv_after) for step in search.kv] == [
        (None, 50),
        (75, 70),
        (80, 80),
        (None, 160),
    ]
    assert type(search.kv[2].kv_budget) is int


@settings(max_examples=60, deadline=None)
@given(strategy=pruners, world=worlds, changes=st.randoms(use_true_random=False))
def test_a_driver_may_change_it_at_every_step(
    strategy: ETS, world: World, changes: random.Random
) -> None:
    asked: list[int | None] = [None, None]  # the first two selections are before any change

    def change(search: TreeSearch) -> TreeSearch:
        if search.end is None:
            asked.append(changes.choice([None, *range(150, 400, 25)]))
            search.kv_budget = asked[-1]
        return search

    search = play(begin(strategy, None), world, between=change)
    assert [step.kv_budget for step in search.kv] == asked[: len(search.kv)]
    for step in search.kv:
        assert step.kv_budget is None or step.kv_after <= step.kv_budget


# -- what is refused -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("budget", "message"),
    [
        (0, "kv_budget must be at least 1, or None, got 0"),
        (-5, "kv_budget must be at least 1, or None, got -5"),
        (1.5, "kv_budget must be an integer, or None, got 1.5"),
        (True, "kv_budget must be an integer, or None, got True"),
        ("9", "kv_budget must be an integer, or None, got '9'"),
    ],
)
def test_wrong_budgets_are_refused(budget: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        begin(ETS(width=2), budget)
    search = begin(ETS(width=2), 60)
    before = search.to_json()
    with pytest.raises(InputError, match=message):
        search.kv_budget = budget
    assert search.to_json() == before


class Own:
    """REBASE, as an object of one's own that says of itself whether it keeps to a budget."""

    width = 2
    needs_embeddings = False

    def __init__(self, **says: bool) -> None:
        self.__dict__.update(says)

    def decide(self, view: View) -> Decision:
        return REBASE(width=2).decide(view)

    def __repr__(self) -> str:
        return "Own()"


@pytest.mark.parametrize(
    "strategy",
    [
        REBASE(width=2),
        BeamSearch(width=2),
        DVTS(width=2),
        BestOfN(width=2),
        Own(),
        Own(obeys_kv_budget=False),
    ],
)
def test_a_strategy_that_does_not_prune_to_a_budget_gets_none(strategy: Strategy) -> None:
    name = type(strategy).__name__
    message = rf"goes with a strategy that prunes to it \(ETS, MPTS\), got {name}\(.*60"
    with pytest.raises(InputError, match=message):
        begin(strategy, 60)
    search = begin(strategy, None)
    with pytest.raises(InputError, match=message):
        search.kv_budget = 60
    search.kv_budget = None
    assert search.kv_budget is None
    assert search.ask()
    saved = begin(ETS(width=2), 60).to_json()
    with pytest.raises(InputError, match=message):
        TreeSearch.from_json(saved, strategy=strategy)


def test_a_strategy_that_exceeds_the_budget_is_found_out() -> None:
    search = begin(Own(obeys_kv_budget=True), 69)
    children = [Child(0, 10, 0.5), Child(0, 10, 0.5)]
    message = r"must keep at most kv_budget = 69 KV tokens, got 70 from Own\(\)"
    with pytest.raises(InputError, match=message):
        search.tell(children)
    before = search.to_json()
    with pytest.raises(InputError, match=message):
        search.ask()
    assert search.to_json() == before
    search.kv_budget = 70
    assert [ask.node for ask in search.ask()] == [1, 2]


@pytest.mark.parametrize("error", [SolverError("no time"), InputError("kv_budget is 60: no")])
def test_a_budget_hides_no_other_error(error: Exception) -> None:
    class Fails(Own):
        def decide(self, view: View) -> Decision:
            if view.depth:
                raise error
            return super().decide(view)

    search = begin(Fails(obeys_kv_budget=True), 100)
    with pytest.raises(type(error), match=str(error)):
        search.tell([Child(0, 10, 0.5)] * 2)
    assert (search.end, len(search.nodes)) == (None, 3)


@pytest.mark.parametrize(
    ("budget", "given", "limit"),
    [(None, None, None), (10**6, None, None), (130, None, 5.0), (130, 0.5, 0.5), (10**6, 2.0, 2.0)],
)
def test_only_a_budget_that_binds_brings_a_time_limit(
    budget: int | None, given: float | None, limit: float | None
) -> None:
    asked: list[tuple[Any, Any]] = []

    class Noting:
        """A tree and what is contracted of it, which notes what the pruner is given."""

        def __init__(self, tree: Any) -> None:
            self._tree = tree

        def __getattr__(self, name: str) -> Any:
            return getattr(self._tree, name)

        def contracted(self, leaves: Any) -> Any:
            tree, places = self._tree.contracted(leaves)
            return Noting(tree), places

        def select(self, *arguments: Any, **options: Any) -> Any:
            asked.append((options["kv_budget"], options["time_limit"]))
            return self._tree.select(*arguments, **options)

    search = begin(ETS(width=8, lambda_d=0.0, time_limit=given), budget)
    search._frontier = Frontier(Noting(search.tree), [0])  # type: ignore[arg-type]
    (ask,) = search.ask()
    search.tell(Child(ask.node, tokens=30, reward=0.5, index=i) for i in ask.indices)
    assert asked == [(130 if budget == 130 else None, limit)]
