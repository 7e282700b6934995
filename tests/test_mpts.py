"""Mass-preserving tree search: the whole decision, computed again from its definition."""

from __future__ import annotations

import itertools
import math
import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import ets
from ets.demo.splits import split_problems
from ets.errors import InputError
from ets.strategy import (
    Decision,
    Strategy,
    View,
    strategy_by_name,
    strategy_from_dict,
    strategy_to_dict,
)
from ets.strategy.width import largest_remainder
from ets.tree.seeds import child_seed
from ets.tree_search.search import Child, TreeSearch
from scripted import World, play
from test_strategy import Watch, spread, watch, worlds


def judge(view: View, decision: Decision, strategy: ets.MPTS) -> None:
    """Hold a decision against a computation that shares nothing with the strategy's."""
    if view.depth == 0:
        assert decision.counts.tolist() == [view.width]
        return
    n, texts, labels = len(view.nodes), view.texts(), decision.clusters
    assert labels is not None
    assert decision.rebase is not None
    rewards = view.rewards(strategy.reward).tolist()
    shares = [Fraction(int(count), view.width) for count in decision.rebase]
    mass: dict[int, Fraction] = defaultdict(Fraction)
    for label, share in zip(labels.tolist(), shares, strict=True):
        mass[label] += share
    if strategy.clusters == "text":
        pairs = itertools.combinations(range(n), 2)
        assert all((labels[i] == labels[j]) == (texts[i] == texts[j]) for i, j in pairs)

    def worth(kept: tuple[int, ...], price: float) -> float:
        leaves = view.nodes.tolist()
        paths = [{0, *view.columns.path(leaf)} for leaf in leaves]
        weigh = view.columns.tokens if strategy.node_cost == "tokens" else [1] * len(view.columns)
        every = sum(weigh[v] for v in set().union(*paths))
        held = sum(weigh[v] for v in set().union(*(paths[i] for i in kept)))
        members = [sum(labels[i] == k for i in kept) for k in mass]
        each = zip(mass.values(), members, strict=True)
        gains = sum(float(m) * (1 - strategy.rho**k) for m, k in each)
        own = strategy.lambda_r * sum(float(shares[i]) for i in kept)
        return float(gains + own - price * held / every)

    def enough(kept: tuple[int, ...]) -> bool:
        held = sum(mass[k] for k in {int(labels[i]) for i in kept})
        return float(held) >= strategy.min_mass - 1e-9

    kept = tuple(np.flatnonzero(decision.selection.keep).tolist()) if decision.selection else ()
    if n <= 9:
        sets = [s for k in range(1, n + 1) for s in itertools.combinations(range(n), k)]
        for halvings in range(11):
            price = strategy.lambda_b / 2**halvings
            values = [worth(each, price) for each in sets]
            best = [
                each
                for each, value in zip(sets, values, strict=True)
                if value >= max(values) - 1e-9
            ]
            if enough(kept) and kept in best:
                break
            # The price goes down only where an optimum has too little.
            assert not all(map(enough, best))
        else:
            kept = tuple(range(n))
    elif not enough(kept):  # nothing is charged
        kept = tuple(range(n))

    # Real-valued parts of the width, then whole ones by largest remainder.
    promise = {i: math.exp(rewards[i] / strategy.temperature) for i in kept}
    own = {k: sum(promise[i] for i in kept if labels[i] == k) for k in mass}
    parts = {i: float(mass[labels[i]]) * promise[i] / own[labels[i]] for i in kept}
    if not any(parts.values()):  # nothing pays, and the cheapest promises nothing
        parts = promise
    scale = view.width / sum(parts.values())
    counts = spread(view, decision)
    assert counts.sum() == view.width
    assert all(counts[i] == 0 for i in range(n) if i not in kept)
    rest = [parts[i] * scale - counts[i] for i in kept]
    assert all(-1 - 1e-9 < left < 1 + 1e-9 for left in rest)
    # Whoever was rounded up had no smaller a remainder than who was rounded down.
    up, down = [1 + left for left in rest if left < -1e-9], [left for left in rest if left > 1e-9]
    assert min(up, default=1.0) >= max(down, default=0.0) - 1e-9


@settings(max_examples=150, deadline=None)
@given(
    strategy=st.builds(
        ets.MPTS,
        width=st.integers(1, 24),
        lambda_b=st.sampled_from([0.2, 1.0, 2.0, 5.0]),
        rho=st.sampled_from([0.0, 0.5, 0.8]),
        min_mass=st.sampled_from([0.0, 0.5, 0.9, 1.0]),
        lambda_r=st.sampled_from([0.001, 1.0]),
        clusters=st.sampled_from(["embedding", "text"]),
        cluster_threshold=st.sampled_from([0.01, 0.3]),
        temperature=st.sampled_from([0.05, 0.2]),
        node_cost=st.sampled_from(["uniform", "tokens"]),
        reward=st.sampled_from(["last", "min", "prod"]),
    ),
    world=worlds,
)
def test_a_decision_is_what_its_definition_says(strategy: ets.MPTS, world: World) -> None:
    def check(view: View, decision: Decision) -> None:
        judge(view, decision, strategy)

    search = watch(strategy, world, check)
    assert len(search.trajectories) == strategy.width


@given(
    weights=st.lists(st.sampled_from([0.0, 0.1, 1.0, 1.0, 3.0, 1e-300, 1e300]), min_size=1),
    width=st.integers(1, 300),
)
def test_largest_remainders_sum_to_the_width(weights: list[float], width: int) -> None:
    if not any(weights):
        return
    rewards = np.linspace(1.0, 0.0, len(weights))
    counts = largest_remainder(np.array(weights), width, rewards)
    assert counts.sum() == width
    assert counts.min() >= 0
    ideal = [Fraction(w) * width / sum(map(Fraction, weights)) for w in weights]
    off = [abs(int(count) - part) for count, part in zip(counts, ideal, strict=True)]
    assert max(off) < 1 + Fraction(1, 10**9)


def test_equal_remainders_go_to_the_better_leaf_and_then_to_the_first() -> None:
    even = np.ones(4)
    assert largest_remainder(even, 6, np.array([0.1, 0.9, 0.5, 0.5])).tolist() == [1, 2, 2, 1]
    assert largest_remainder(even, 2, np.array([0.5, 0.5, 0.5, 0.5])).tolist() == [1, 1, 0, 0]


def told_decision(
    strategy: Strategy, steps: Sequence[tuple[str | None, float]]
) -> tuple[View, Decision]:
    """What was decided of the first step."""
    found: list[tuple[View, Decision]] = []
    told(Watch(strategy, lambda *decided: found.append(decided)), steps)
    return found[-1]


@settings(max_examples=300)
@given(
    steps=st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 9)), min_size=2, max_size=12),
    lambda_b=st.sampled_from([0.0, 0.1, 0.2]),
)
@example(  # all but the last a kept: of seven a b has 5/3 and an a 2/3, and a b is rounded up first
    steps=[("b", 9), ("a", 8), ("a", 8), ("a", 8), ("b", 9), ("b", 9), ("a", 8)], lambda_b=0.2
)
def test_equal_remainders_are_equal_whatever_the_last_bits(
    steps: list[tuple[str, int]], lambda_b: float
) -> None:
    """Where a text has one reward all parts are fractions, and whole ones follow from them."""
    first = dict(reversed(steps))
    told_steps = [(text, 0.1 * first[text]) for text, _ in steps]
    strategy = ets.MPTS(width=len(steps), clusters="text", lambda_b=lambda_b)
    view, decision = told_decision(strategy, told_steps)
    assert decision.rebase is not None
    texts, kept = view.texts(), list(range(len(steps)))
    if decision.selection is not None:
        kept = np.flatnonzero(decision.selection.keep).tolist()
    mass: dict[str | None, int] = defaultdict(int)
    for text, share in zip(texts, decision.rebase.tolist(), strict=True):
        mass[text] += share
    members = Counter(texts[i] for i in kept)
    total = sum(mass[text] for text in members)
    parts = {i: Fraction(len(steps) * mass[texts[i]], total * members[texts[i]]) for i in kept}
    whole = [math.floor(parts.get(i, 0)) for i in range(len(steps))]
    earned = view.rewards("last").tolist()
    order = sorted(kept, key=lambda i: (whole[i] - parts[i], -earned[i], i))
    for i in order[: len(steps) - sum(whole)]:
        whole[i] += 1
    assert spread(view, decision).tolist() == whole


@pytest.mark.parametrize("temperature", [0.2, 1e-3, 1e-5, 1e-300])
def test_a_cluster_far_below_the_best_shares_among_its_own(temperature: float) -> None:
    strategy = ets.MPTS(width=4, clusters="text", lambda_b=0.0, temperature=temperature)
    _, decision = told_decision(strategy, [("a", 0.9), ("b", 0.1), ("b", 0.05), ("c", 0.0)])
    assert decision.rebase is not None
    assert decision.counts.sum() == 4
    assert decision.rebase.sum() == 4
    if temperature < 0.01:
        assert decision.counts.tolist() == [4]
        assert decision.rebase.tolist() == [4, 0, 0, 0]


# -- small searches by hand ------------------------------------------------------------------------


def told(strategy: Strategy, steps: Sequence[tuple[str | None, float]]) -> TreeSearch:
    """A search after its first step, whose children say and earn this."""
    search = TreeSearch(strategy, 10)
    search.tell(
        Child(parent=0, index=i, tokens=5, reward=reward, finished=False, text=text)
        for i, (text, reward) in enumerate(steps)
    )
    return search


def test_what_twins_promise_goes_to_the_one_that_is_kept() -> None:
    strategy = ets.MPTS(width=8, clusters="text", rho=0.0, lambda_b=1.0)
    search = told(strategy, [("a", 0.5)] * 6 + [("b", 0.5)] * 2)
    # Six of eight shares for one leaf that says a, two for one that says b.
    assert [(ask.node, ask.n) for ask in search.ask()] == [(1, 6), (7, 2)]
    assert search.kv.steps[-1].kept == 2


def test_further_members_pay_less_and_less() -> None:
    kept = []
    for rho in (0.0, 0.5, 0.8, 0.95):
        search = told(ets.MPTS(width=16, clusters="text", rho=rho), [("a", 0.5)] * 16)
        kept.append(search.kv.steps[-1].kept)
        assert sum(ask.n for ask in search.ask()) == 16
    # With 17 nodes each costs 2 / 17: at rho 0.5 worth it thrice (1/2, 1/4, 1/8 of the mass).
    assert kept == [1, 3, 3, 1]


def test_a_price_of_nothing_prunes_nothing() -> None:
    search = told(ets.MPTS(width=4, clusters="text", lambda_b=0.0), [("a", 0.5)] * 4)
    assert search.kv.steps[-1].kept == 4


def test_clusters_of_a_function() -> None:
    seen: list[list[str | None]] = []

    def by_first_letter(texts: list[str | None]) -> list[int]:
        seen.append(texts)
        return [ord(str(text)[0]) for text in texts]

    strategy = ets.MPTS(width=4, clusters=by_first_letter, rho=0.0, lambda_b=1.0)
    search = told(strategy, [("ab", 0.5), ("ac", 0.5), ("b", 0.5), ("ad", 0.5)])
    assert [(ask.node, ask.n) for ask in search.ask()] == [(1, 3), (3, 1)]
    assert seen == [["ab", "ac", "b", "ad"]]
    saved = search.to_json()
    with pytest.raises(InputError, match="MPTS with clusters of your own"):
        TreeSearch.from_json(saved)
    assert TreeSearch.from_json(saved, strategy=strategy) == search


def test_labels_of_a_function_may_be_any_integers() -> None:
    labels = [2**64 - 1, np.int8(-3), 2**64 - 1]
    search = told(ets.MPTS(width=3, clusters=lambda texts: labels), [("a", 0.5)] * 3)
    assert list(search.nodes.cluster[1:]) == [0, 1, 0]


@pytest.mark.parametrize(
    "labels",
    [[0, 1], [[0], [1], [2]], [[0], [1, 2], 3], [0.0, 1.0, 2.0], [True, 0, 1], "abc", None],
)
def test_a_function_that_returns_no_labels_is_told(labels: Any) -> None:
    with pytest.raises(InputError, match=r"clusters\(texts\) must return one integer for each of"):
        told(ets.MPTS(width=3, clusters=lambda texts: labels), [("a", 0.5)] * 3)


def test_text_needs_texts() -> None:
    with pytest.raises(InputError, match="clusters='text' needs the steps' texts; node 2 was told"):
        told(ets.MPTS(width=2, clusters="text"), [("a", 0.5), (None, 0.5)])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"rho": 1.0}, r"rho must be in \[0, 1\), got 1.0"),
        ({"rho": -0.1}, "rho must be"),
        ({"min_mass": 1.1}, r"min_mass must be in \[0, 1\], got 1.1"),
        ({"min_mass": -0.1}, "min_mass must be"),
        ({"lambda_b": math.nan}, "lambda_b must be"),
        ({"lambda_r": -1.0}, r"lambda_r must be in \[0, 1e300\], got -1.0"),
        ({"clusters": "words"}, "clusters must be 'embedding', 'text' or a function of the last"),
        ({"cluster_threshold": 3.0}, "cluster_threshold must be"),
        ({"temperature": 0.0}, "temperature must be"),
        ({"time_limit": 0.0}, "time_limit must be"),
    ],
)
def test_fields_out_of_range_are_named(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        ets.MPTS(width=4, **fields)


def test_by_name_and_saved() -> None:
    strategy = strategy_by_name("mpts", width=8, rho=0.25, clusters="text")
    assert strategy == ets.MPTS(width=8, rho=0.25, clusters="text")
    assert strategy_from_dict(strategy_to_dict(strategy)) == strategy


@settings(max_examples=40, deadline=None)
@given(world=worlds, rho=st.sampled_from([0.0, 0.5]))
def test_a_saved_search_goes_on_as_it_would_have(world: World, rho: float) -> None:
    def search() -> TreeSearch:
        return TreeSearch(ets.MPTS(width=9, rho=rho, lambda_b=1.0), 30, max_depth=6)

    whole = play(search(), world)
    again = play(search(), world, between=lambda half: TreeSearch.from_json(half.to_json()))
    assert again == whole


@given(
    # Of equal rewards the first has the larger share, as with REBASE.
    steps=st.lists(
        st.tuples(st.sampled_from("abcd"), st.integers(0, 10**6)),
        min_size=1,
        max_size=12,
        unique_by=lambda step: step[1],
    ),
    rho=st.sampled_from([0.0, 0.5]),
    order=st.randoms(use_true_random=False),
)
def test_the_order_of_candidates_does_not_count(
    steps: list[tuple[str, int]], rho: float, order: random.Random
) -> None:
    def kept(steps: list[tuple[str, int]]) -> tuple[list[tuple[str, int]], float]:
        found: list[tuple[View, Decision]] = []
        strategy = ets.MPTS(width=len(steps), clusters="text", rho=rho, lambda_b=1.2345)
        told(
            Watch(strategy, lambda *decided: found.append(decided)),
            [(text, part / 10**6) for text, part in steps],
        )
        view, decision = found[-1]
        assert decision.selection is not None
        assert decision.rebase is not None
        shares, keep = decision.rebase.tolist(), decision.selection.keep
        rows = zip(view.texts(), shares, keep, strict=True)
        chosen = sorted((str(text), share) for text, share, held in rows if held)
        return chosen, decision.selection.objective

    mixed = list(steps)
    order.shuffle(mixed)
    (mine, worth), (theirs, as_much) = kept(steps), kept(mixed)
    assert mine == theirs
    assert worth == pytest.approx(as_much)


@dataclass(frozen=True)
class OneHot(World):
    """A world in which each text has a direction of its own."""

    def embedding(self, text: str) -> NDArray[np.float32]:
        group, wording = map(int, text.split("."))
        direction = np.zeros(self.groups * self.wordings, dtype=np.float32)
        direction[group * self.wordings + wording] = 1.0
        return direction


@settings(max_examples=40, deadline=None)
@given(world=worlds, rho=st.sampled_from([0.0, 0.5]))
def test_clusters_of_text_are_those_of_embeddings_that_are_one_hot(
    world: World, rho: float
) -> None:
    world = OneHot(**asdict(world))
    by_text, by_embedding = (
        play(TreeSearch(ets.MPTS(width=9, rho=rho, lambda_b=1.0, clusters=how), 30), world)
        for how in ("text", "embedding")
    )
    assert by_text.nodes.cluster == by_embedding.nodes.cluster
    assert by_text.trajectories == by_embedding.trajectories
    assert list(by_text.kv) == list(by_embedding.kv)


def test_a_small_search_comes_out_as_it_did() -> None:
    search = play(TreeSearch(ets.MPTS(width=16, lambda_b=1.0), 30, max_depth=6), World(seed=7))
    steps = [(step.kept, step.kv_before, step.kv_after) for step in search.kv]
    first = [(1, 30, 30), (4, 303, 86), (2, 308, 90)]
    assert steps == [*first, (2, 223, 119), (2, 168, 116), (1, 204, 144)]
    nodes = [1, 3, 8, 13, 21, 23, 29, 31, 33, 38, 41, 44, 46, 49, 50, 51]
    assert [done.node for done in search.trajectories] == nodes


def test_the_budget_is_kept() -> None:
    strategy = ets.MPTS(width=12, clusters="text", rho=0.5, lambda_b=0.1)
    steps = [(f"say {i % 4}", 0.3 + 0.05 * i) for i in range(12)]
    search = TreeSearch(strategy, 10, kv_budget=27)
    search.tell(
        Child(parent=0, index=i, tokens=5, reward=reward, finished=False, text=text)
        for i, (text, reward) in enumerate(steps)
    )
    assert search.kv.steps[-1].kv_after <= 27
    assert sum(ask.n for ask in search.ask()) == 12


def test_the_bundled_pair_searches_with_less() -> None:
    problem = split_problems("dev")[3]
    kv = {}
    for strategy in (ets.REBASE(width=16), ets.MPTS(width=16)):
        with ets.Search(strategy=strategy) as search:
            result = search.solve(problem.text)
        assert len(result.trajectories) == 16
        kv[type(strategy).__name__] = result.kv.after.sum
    assert kv["MPTS"] < kv["REBASE"]


def test_seeds_are_those_of_paths() -> None:
    search = told(ets.MPTS(width=4, clusters="text", rho=0.0, lambda_b=1.0), [("a", 0.5)] * 4)
    (ask,) = search.ask()
    assert list(ask.seeds) == [child_seed(search.nodes.seed[ask.node], i) for i in range(4)]
