"""What the strategies decide."""

from __future__ import annotations

import dataclasses
import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ets.errors import InputError
from ets.strategy import (
    DORA,
    DVTS,
    ETS,
    MPTS,
    REBASE,
    BeamSearch,
    BestOfN,
    Decision,
    ParticleFilter,
    Strategy,
    View,
    strategy_from_dict,
    strategy_to_dict,
)
from ets.strategy.registry import STRATEGIES
from ets.tree_search.search import Child, TreeSearch
from scripted import World, play

widths = st.integers(1, 40)
worlds = st.builds(
    World,
    seed=st.integers(0, 10**6),
    finish=st.sampled_from([0.0, 0.1, 0.3]),
    decimals=st.sampled_from([0, 1, 6]),
)


class Watch:
    """Lets a strategy decide, and hands view and decision to a check."""

    def __init__(self, inner: Strategy, check: Any) -> None:
        self.inner = inner
        self.width = inner.width
        self.needs_embeddings = inner.needs_embeddings
        self.check = check
        self.seen = 0

    def decide(self, view: View) -> Decision:
        decision = self.inner.decide(view)
        self.check(view, decision)
        self.seen += 1
        return decision


def watch(inner: Strategy, world: World, check: Any) -> TreeSearch:
    search = TreeSearch(Watch(inner, check), 30, max_depth=6)
    return play(search, world)


def spread(view: View, decision: Decision) -> NDArray[np.int64]:
    """int64[n]: the continuations of each candidate."""
    counts = np.zeros(len(view.nodes), dtype=np.int64)
    np.add.at(counts, decision.order, decision.counts)
    return counts


# -- the width -------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(width=widths, world=worlds, reward=st.sampled_from(["last", "min", "prod"]))
@pytest.mark.parametrize(
    "kind", ["ets", "ets-kv", "mpts", "rebase", "dvts", "particle", "systematic", "dora", "best"]
)
def test_the_remaining_width_is_spread_exactly(
    kind: str, width: int, world: World, reward: Any
) -> None:
    kinds: dict[str, Strategy] = {
        "ets": ETS(width=width, reward=reward),
        "ets-kv": ETS(width=width, lambda_d=0.0, lambda_b=1.7, reward=reward),
        "mpts": MPTS(width=width, reward=reward),
        "rebase": REBASE(width=width, reward=reward),
        "dvts": DVTS(width=width, reward=reward),
        "particle": ParticleFilter(width=width, reward=reward),
        "systematic": ParticleFilter(width=width, resampling="systematic", reward=reward),
        "dora": DORA(width=width, reward=reward),
        "best": BestOfN(width=width),
    }
    strategy = kinds[kind]

    def check(view: View, decision: Decision) -> None:
        assert decision.counts.sum() == view.width
        assert len(set(decision.order.tolist())) == len(decision.order)

    search = watch(strategy, world, check)
    assert len(search.trajectories) == width
    assert search.remaining == 0


@settings(max_examples=60, deadline=None)
@given(width=widths, world=worlds, beam=st.none() | st.integers(1, 50))
def test_beam_search_keeps_the_best(width: int, world: World, beam: int | None) -> None:
    def check(view: View, decision: Decision) -> None:
        if view.depth == 0:
            assert decision.counts.tolist() == [width]
            return
        keep = beam or math.ceil(math.sqrt(view.width))
        counts, rewards = spread(view, decision), view.rewards()
        assert (counts > 0).sum() == min(keep, len(counts))
        assert set(counts.tolist()) <= {0, math.ceil(view.width / keep)}
        assert rewards[counts > 0].min() >= rewards[counts == 0].max(initial=0.0)

    search = watch(BeamSearch(width=width, beam=beam), world, check)
    assert len(search.trajectories) >= width or search.end == "no_candidates"


# -- ETS -------------------------------------------------------------------------------------------


def value(view: View, decision: Decision, kept: NDArray[np.bool_], strategy: ETS) -> float:
    """The objective of a keep set, from its definition."""
    assert decision.rebase is not None
    leaves = view.nodes.tolist()
    paths = [{0, *view.columns.path(v)} for v in leaves]
    weigh = view.columns.tokens if strategy.node_cost == "tokens" else [1] * len(view.columns)
    whole = sum(weigh[v] for v in set().union(*paths))
    held = set().union(*(path for path, keep in zip(paths, kept, strict=True) if keep))
    total = decision.rebase[kept].sum() / decision.rebase.sum()
    total -= strategy.lambda_b * sum(weigh[v] for v in held) / whole
    if decision.clusters is not None:
        covered = len(set(decision.clusters[kept].tolist()))
        total += (strategy.lambda_d or 0.0) * covered / (decision.clusters.max() + 1)
    return float(total)


@settings(max_examples=60, deadline=None)
@given(
    world=worlds,
    width=st.integers(1, 9),
    lambda_b=st.sampled_from([0.0, 0.5, 1.0, 3.0]),
    lambda_d=st.sampled_from([0.0, 0.5, 1.5, 4.0]),
    node_cost=st.sampled_from(["uniform", "tokens"]),
)
def test_ets_keeps_what_is_worth_most(
    world: World, width: int, lambda_b: float, lambda_d: float, node_cost: Any
) -> None:
    """Against every keep set there is."""
    strategy = ETS(width=width, lambda_b=lambda_b, lambda_d=lambda_d, node_cost=node_cost)

    def check(view: View, decision: Decision) -> None:
        selection = decision.selection
        assert selection is not None
        every = itertools.product([False, True], repeat=len(view.nodes))
        values = [value(view, decision, np.array(keep), strategy) for keep in every if any(keep)]
        assert selection.optimal
        assert selection.objective == pytest.approx(max(values), abs=1e-9)
        mine = value(view, decision, selection.keep, strategy)
        assert mine == pytest.approx(max(values), abs=1e-9)
        assert lambda_b == 0 or not spread(view, decision)[~selection.keep].any()

    watch(strategy, world, check)


def test_ets_allots_by_rebase_among_the_leaves_kept() -> None:
    def check(view: View, decision: Decision) -> None:
        assert decision.selection is not None
        keep = decision.selection.keep
        alone = dataclasses.replace(view, nodes=view.nodes[keep])
        assert (
            spread(view, decision)[keep].tolist()
            == spread(alone, REBASE(width=20).decide(alone)).tolist()
        )

    search = watch(ETS(width=20), World(finish=0.1), check)
    assert any(step.kept < step.candidates for step in search.kv)


def test_ets_does_not_ask_for_embeddings_that_it_has_no_use_for() -> None:
    def no_embeddings() -> NDArray[np.float32]:
        raise AssertionError("asked for embeddings")

    views: list[View] = []
    search = TreeSearch(Watch(REBASE(width=3), lambda view, _: views.append(view)), 5)
    search.tell([Child(0, 5, r, text="same") for r in (0.1, 0.5, 0.9)])
    same = dataclasses.replace(views[1], lookup=no_embeddings)
    assert same.same_texts()
    decision = ETS(width=3).decide(same)
    assert (decision.clusters, decision.clusters_found) == (None, 0)
    single = dataclasses.replace(same, nodes=same.nodes[:1])
    assert ETS(width=3).decide(single).clusters is None
    search = TreeSearch(Watch(REBASE(width=3), lambda view, _: views.append(view)), 5)
    search.tell([Child(0, 5, r) for r in (0.1, 0.5, 0.9)])
    unknown = dataclasses.replace(views[-1], lookup=no_embeddings)
    assert ETS(width=3, lambda_d=0.0).decide(unknown).clusters is None
    with pytest.raises(AssertionError, match="asked for embeddings"):
        ETS(width=3).decide(unknown)


def test_embeddings_that_were_never_told_are_an_error() -> None:
    views: list[View] = []
    search = TreeSearch(Watch(REBASE(width=2), lambda view, _: views.append(view)), 5)
    with pytest.raises(InputError, match="node 0 has no embedding"):
        views[0].embeddings()
    assert search.ask()


def test_clustering_and_selection_are_timed_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock of our own: 2 us until all is clustered, 3 more until it is selected."""

    def check(view: View, decision: Decision) -> None:
        assert (decision.cluster_us, decision.select_us) == (2.0, 3.0)

    clock = itertools.cycle([1_000, 3_000, 6_000])
    monkeypatch.setattr("ets.strategy.pruned.perf_counter_ns", lambda: next(clock))
    assert watch(ETS(width=8), World(seed=1), check).depth > 1


def test_node_cost_in_tokens_drops_the_long_step() -> None:
    def kept(node_cost: Any) -> list[int]:
        search = TreeSearch(ETS(width=4, lambda_d=0.0, lambda_b=1.0, node_cost=node_cost), 100)
        search.tell([Child(0, t, 0.5) for t in (10, 10, 10, 900)])
        return sorted(ask.node for ask in search.ask())

    assert kept("tokens") == [1, 2, 3]
    assert kept("uniform") == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("width", "lambda_d"),
    [(1, 1.5), (16, 1.5), (31, 1.5), (33, 1.4), (64, 1.4), (127, 1.4), (129, 1.45), (4096, 1.45)],
)
def test_lambda_d_is_the_published_one_of_the_nearest_width(width: int, lambda_d: float) -> None:
    assert ETS(width=width).lambda_d == lambda_d
    assert ETS(width=width, lambda_d=0.7).lambda_d == 0.7


def test_only_coverage_needs_embeddings() -> None:
    assert ETS(width=4).needs_embeddings
    assert not ETS(width=4, lambda_d=0.0).needs_embeddings
    others = (
        REBASE(width=4),
        BeamSearch(width=4),
        DVTS(width=4),
        ParticleFilter(width=4),
        BestOfN(width=4),
    )
    assert not any(strategy.needs_embeddings for strategy in others)


# -- DVTS and best of N ----------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(width=widths, world=worlds, data=st.data())
def test_dvts_subtrees_are_independent(width: int, world: World, data: st.DataObject) -> None:
    subtrees = data.draw(st.none() | st.integers(1, width))
    number = subtrees or math.ceil(math.sqrt(width))
    blocks: list[set[int]] = []

    def check(view: View, decision: Decision) -> None:
        branch, done = view.columns.branch, set(view.completed)
        if view.depth == 0:
            return
        if view.depth == 1:
            trunks = [v for v in view.columns.levels[1] if v not in done]
            assert trunks == view.nodes.tolist()
            counts = spread(view, decision)
            # Each block has as much width as nodes, and its one best leaf gets it all.
            start = 0
            for n in counts[counts > 0].tolist():
                blocks.append(set(trunks[start : start + n]))
                start += n
            assert len(blocks) == min(number, len(trunks))
            sizes = [len(block) for block in blocks]
            assert sizes == sorted(sizes, reverse=True)
            assert max(sizes) - min(sizes) <= 1
        later = [branch[v] for v in done if view.columns.depth[v] > 1]
        counts, rewards = spread(view, decision), view.rewards()
        for block in blocks:
            inside = np.array([branch[v] in block for v in view.nodes.tolist()])
            share = len(block) - sum(v in block for v in later)
            assert counts[inside].sum() == share
            if share:
                assert (counts[inside] > 0).sum() == 1
                best = int(np.flatnonzero(inside & (counts > 0))[0])
                assert best == int(np.flatnonzero(inside & (rewards == rewards[inside].max()))[0])

    watch(DVTS(width=width, subtrees=subtrees), world, check)


@settings(max_examples=30, deadline=None)
@given(width=widths, world=worlds)
def test_best_of_n_is_independent_samples(width: int, world: World) -> None:
    search = play(TreeSearch(BestOfN(width=width), 30, max_depth=6), world)
    assert len(search.trajectories) == len(search.nodes.levels[1]) == width
    assert len({done.path[0] for done in search.trajectories}) == width
    assert search.nodes.requested[0] == width
    assert max(search.nodes.requested[1:]) <= 1
    assert "pruned" not in search.nodes.fate


# -- rewards ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("reward", "first"), [("last", 7), ("min", 5), ("prod", 7)])
def test_a_reward_is_formed_from_the_path(reward: Any, first: int) -> None:
    search = TreeSearch(BeamSearch(width=4, beam=2, reward=reward), 5)
    search.tell([Child(0, 5, r) for r in (0.6, 0.5, 0.1, 0.1)])
    assert [ask.node for ask in search.ask()] == [1, 2]
    search.tell([Child(1, 5, 0.6), Child(1, 5, 0.1), Child(2, 5, 0.8), Child(2, 5, 0.1)])
    # last 0.6, 0.8; min 0.6, 0.5; prod 0.36, 0.4
    assert search.ask()[0].node == first


# -- settings --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ETS(width=0), "width must be an integer from 1 to 4294967296, got 0"),
        (lambda: REBASE(width=True), "width must be an integer .* got True"),
        (lambda: BestOfN(width=2.0), "width must be an integer .* got 2.0"),  # type: ignore[arg-type]
        (lambda: BeamSearch(width=2**33), "width must be an integer"),
        (lambda: DVTS(width="4"), "width must be an integer .* got '4'"),  # type: ignore[arg-type]
        (lambda: ETS(width=4, lambda_b=-1.0), r"lambda_b must be in \[0, 1e300\], got -1.0"),
        (
            lambda: ETS(width=4, lambda_d=-0.1),
            r"lambda_d must be in \[0, 1e300\], or None, got -0.1",
        ),
        (
            lambda: ETS(width=4, lambda_d=math.nan),
            r"lambda_d must be in \[0, 1e300\], or None, got nan",
        ),
        (lambda: ETS(width=4, lambda_b=1e301), r"lambda_b must be in \[0, 1e300\], got 1e\+301"),
        (lambda: ETS(width=4, lambda_b=None), "lambda_b must be a number"),  # type: ignore[arg-type]
        (lambda: ETS(width=4, lambda_b=math.inf), r"lambda_b must be in \[0, 1e300\], got inf"),
        (lambda: ETS(width=4, temperature=0.0), "temperature must be > 0, got 0.0"),
        (lambda: REBASE(width=4, temperature=-1), "temperature must be > 0, got -1"),
        (lambda: ETS(width=4, cluster_threshold=2.5), r"cluster_threshold must be in \[0, 2\]"),
        (lambda: ETS(width=4, time_limit=0.0), "time_limit must be > 0 seconds, or None, got 0.0"),
        (lambda: ETS(width=4, node_cost="bytes"), "node_cost must be one of .*'tokens'"),  # type: ignore[arg-type]
        (lambda: ETS(width=4, solver="cbc"), "solver must be one of .*'milp'.* got 'cbc'"),  # type: ignore[arg-type]
        (lambda: REBASE(width=4, reward="mean"), "reward must be one of .* got 'mean'"),  # type: ignore[arg-type]
        (lambda: BeamSearch(width=4, beam=0), "beam must be an integer from 1 .* got 0"),
        (
            lambda: DVTS(width=4, subtrees=5),
            r"subtrees must be an integer from 1 to 4 \(the width\)",
        ),
        (lambda: DORA(width=0), "width must be an integer"),
        (lambda: DORA(width=4, temperature=0), "temperature must be > 0, got 0"),
        (lambda: DORA(width=4, similarity_temperature=-1.0), "similarity_temperature must be > 0"),
        (lambda: ParticleFilter(width=4, temperature=-1.0), "temperature must be > 0, got -1.0"),
        (lambda: ParticleFilter(width=4, resampling="residual"), "resampling must be"),  # type: ignore[arg-type]
    ],
)
def test_wrong_settings_name_field_and_value(make: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()


@pytest.mark.parametrize(
    "strategy",
    [
        ETS(width=4, lambda_b=0.5, node_cost="tokens", time_limit=2.0),
        REBASE(width=7, temperature=0.1, reward="min"),
        BeamSearch(width=3, beam=2),
        DVTS(width=9, subtrees=3),
        BestOfN(width=2),
        ParticleFilter(width=5, temperature=0.5, resampling="systematic", reward="prod"),
        DORA(width=6, temperature=0.2, similarity_temperature=0.05, reward="min"),
    ],
)
def test_settings_are_frozen_and_survive_a_dict(strategy: Strategy) -> None:
    assert strategy_from_dict(strategy_to_dict(strategy)) == strategy
    assert isinstance(strategy, Strategy)
    assert type(strategy) in STRATEGIES.values()
    with pytest.raises(dataclasses.FrozenInstanceError):
        strategy.width = 3  # type: ignore[misc]
    with pytest.raises(TypeError):
        type(strategy)(width=4, depth=3)  # type: ignore[call-arg]


def test_ets_without_a_price_is_rebase() -> None:
    """And so without quirk 5 of the reference."""
    world = World(finish=0.1)
    free = play(TreeSearch(ETS(width=30, lambda_b=0.0, lambda_d=0.0), 30), world)
    rebase = play(TreeSearch(REBASE(width=30), 30), world)
    assert free.nodes.parent == rebase.nodes.parent
    assert [t.path for t in free.trajectories] == [t.path for t in rebase.trajectories]
