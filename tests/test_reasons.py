"""Why a leaf was pruned."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ets
from ets.strategy.base import Decision, Strategy, View
from ets.tree_page.reasons import verdicts
from ets.tree_search.search import TreeSearch
from scripted import World, play
from test_tree_page import told


def test_each_reason_where_it_is_due() -> None:
    """Two that say the same, one that says something else, one that is bad."""
    level = [
        (0.95, [1.0, 0.0, 0.0], False, "a"),
        (0.85, [1.0, 0.0, 0.0], False, "b"),
        (0.90, [0.0, 1.0, 0.0], False, "c"),
        (0.01, [0.0, 0.0, 1.0], False, "d"),
    ]
    search = told(ets.ETS(width=4, lambda_b=1.6, lambda_d=0.0), level)
    kept = [v for v in range(1, 5) if search.nodes.fate[v] == "kept"]
    assert 0 < len(kept) < 4
    found = verdicts(search)
    assert found[0].reason is None
    for v in range(1, 5):
        share = found[v].share
        assert share is not None
        if v in kept:
            assert found[v].reason is None
        else:
            assert found[v].reason == ("kv" if share else "reward")


def test_a_twin_goes_because_its_cluster_is_covered() -> None:
    """Two good ones that say the same, one that says something else, and a crowd of bad ones."""
    bad = [(0.01, [0.0, 0.0, 1.0], False, f"bad {k}") for k in range(5)]
    level = [
        (0.95, [1.0, 0.0, 0.0], False, "a"),
        (0.93, [1.0, 0.0, 0.0], False, "the same"),
        (0.90, [0.0, 1.0, 0.0], False, "other"),
        *bad,
    ]
    search = told(ets.ETS(width=8, lambda_b=4.0, lambda_d=1.0), level)
    nodes, found = search.nodes, verdicts(search)
    assert nodes.cluster[1] == nodes.cluster[2] != nodes.cluster[3]
    assert [nodes.fate[v] for v in (1, 2, 3)] == ["kept", "pruned", "kept"]
    assert [found[v].reason for v in (1, 2, 3)] == [None, "cluster", None]
    assert {found[v].reason for v in range(4, 9)} == {"reward"}


class Witness:
    """A strategy that remembers what its pruner said, which a search does not record."""

    def __init__(self, strategy: ets.ETS | ets.MPTS) -> None:
        self.strategy = strategy
        self.width = strategy.width
        self.needs_embeddings = strategy.needs_embeddings
        self.obeys_kv_budget = True
        self.left_out: dict[int, bool] = {}
        self.share: dict[int, int] = {}

    def decide(self, view: View) -> Decision:
        decision = self.strategy.decide(view)
        ids = view.nodes.tolist()
        if decision.selection is None or decision.rebase is None:  # the root's, under MPTS
            self.left_out |= dict.fromkeys(ids, False)
            self.share |= dict.fromkeys(ids, view.width)
            return decision
        kept = decision.selection.keep.tolist()
        self.left_out |= {node: not keep for node, keep in zip(ids, kept, strict=True)}
        self.share |= dict(zip(ids, decision.rebase.tolist(), strict=True))
        return decision


SETTINGS: dict[str, Any] = {
    "width": st.integers(2, 40),
    "lambda_b": st.sampled_from([0.1, 0.5, 1.0, 2.0]),
    "temperature": st.sampled_from([0.05, 0.2]),
    "node_cost": st.sampled_from(["uniform", "tokens"]),
    "reward": st.sampled_from(["last", "min", "prod"]),
}


@settings(max_examples=60, deadline=None)
@given(
    strategy=st.one_of(
        st.builds(ets.ETS, lambda_d=st.sampled_from([None, 0.0]), **SETTINGS),
        st.builds(
            ets.MPTS,
            rho=st.sampled_from([0.0, 0.5]),
            min_mass=st.sampled_from([0.0, 0.6, 0.9]),
            **SETTINGS,
        ),
    ),
    kv_budget=st.sampled_from([None, 90, 200]),
    world=st.builds(
        World,
        seed=st.integers(0, 10**6),
        finish=st.sampled_from([0.0, 0.2]),
        decimals=st.sampled_from([1, 6]),
    ),
)
def test_reasons_are_what_the_pruner_said(
    strategy: ets.ETS | ets.MPTS, kv_budget: int | None, world: World
) -> None:
    witness = Witness(strategy)
    search = play(TreeSearch(witness, 20, max_depth=6, kv_budget=kv_budget), world)
    search.strategy = strategy
    nodes = search.nodes
    for v, verdict in enumerate(verdicts(search)):
        assert verdict.share == witness.share.get(v)
        if nodes.fate[v] == "left":
            assert verdict.reason == "ended"
        elif nodes.fate[v] != "pruned":
            assert verdict.reason is None
        elif not verdict.share or not witness.left_out[v]:
            assert verdict.reason == "reward"
        else:
            covered = any(
                nodes.cluster[u] == nodes.cluster[v] >= 0 and nodes.fate[u] == "kept"
                for u in nodes.levels[nodes.depth[v]]
            )
            assert verdict.reason == ("cluster" if covered else "kv")


def test_kept_by_the_pruner_and_then_given_nothing_is_by_reward() -> None:
    """REBASE's ceilings use the width up before the last of those that the pruner kept."""
    witness = Witness(ets.ETS(width=16))
    search = play(TreeSearch(witness, 20, max_depth=6), World(seed=3, finish=0.1))
    search.strategy = witness.strategy
    nodes, found = search.nodes, verdicts(search)
    given_nothing = [
        v
        for v, left_out in witness.left_out.items()
        if nodes.fate[v] == "pruned" and not left_out and witness.share[v]
    ]
    assert given_nothing
    assert {found[v].reason for v in given_nothing} == {"reward"}


def test_without_a_price_all_is_by_reward() -> None:
    search = play(TreeSearch(ets.ETS(width=9, lambda_b=0.0), 20, max_depth=6), World())
    reasons = {v.reason for v in verdicts(search)}
    assert reasons == {None, "reward"}


@pytest.mark.parametrize(
    "strategy",
    [
        ets.ETS(width=16, temperature=0.07),
        ets.REBASE(width=16, temperature=0.05),
        ets.REBASE(width=16, reward="prod"),
        ets.BeamSearch(width=16, reward="min"),
        ets.DVTS(width=16),
        ets.BestOfN(width=16),
        ets.ParticleFilter(width=16),
        ets.DORA(width=16),
    ],
    ids=repr,
)
def test_shares_are_those_of_the_kv_record(strategy: Strategy) -> None:
    search = play(TreeSearch(strategy, 20, max_depth=6), World(finish=0.1))
    found = verdicts(search)
    assert len(search.kv) > 3
    for step in search.kv:
        level = [v for v in search.nodes.levels[step.depth] if found[v].share is not None]
        assert len(level) == step.candidates
        shares = [found[v].share or 0 for v in level]
        assert sum(shares) == step.width
        going_on = np.array([v for v in level if found[v].share], dtype=np.int64)
        assert search.tree.kv_tokens(going_on) == step.kv_rebase
        if isinstance(strategy, ets.REBASE):
            assert shares == [search.nodes.requested[v] for v in level]


def test_a_share_that_was_not_recorded_is_not_made_up() -> None:
    """A strategy of one's own may compare itself with what it likes."""

    class Own:
        width = 8
        needs_embeddings = False
        reward = "best"
        temperature = "none"

        def decide(self, view: View) -> Decision:
            worst = np.argsort(view.rewards())[:1].astype(np.int64)
            rebase = np.zeros(len(view.nodes), dtype=np.int64)
            rebase[worst] = view.width
            return Decision(order=worst, counts=np.array([view.width]), rebase=rebase)

    search = play(TreeSearch(Own(), 20, max_depth=3), World(finish=0.0))
    found = verdicts(search)
    assert found[0].share == 8
    assert {found[v].share for v in search.nodes.levels[1]} == {None}
    assert {v.reason for v in found if v.reason} == {"reward"}


def test_other_strategies_prune_by_reward() -> None:
    search = play(TreeSearch(ets.BeamSearch(width=9), 20, max_depth=5), World(finish=0.0))
    found = [v.reason for v, fate in zip(verdicts(search), search.nodes.fate, strict=True)
             if fate == "pruned"]  # fmt: skip
    assert found
    assert set(found) == {"reward"}
