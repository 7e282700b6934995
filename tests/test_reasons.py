"""Why a leaf was pruned."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

import ets
from ets.report.reasons import verdicts
from ets.tree_search import TreeSearch
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


@settings(max_examples=40, deadline=None)
@given(
    width=st.integers(2, 40),
    lambda_b=st.sampled_from([0.5, 1.0, 2.0]),
    world=st.builds(World, seed=st.integers(0, 10**6), finish=st.sampled_from([0.0, 0.2])),
)
def test_reasons_follow_the_definition(width: int, lambda_b: float, world: World) -> None:
    search = play(TreeSearch(ets.ETS(width=width, lambda_b=lambda_b), 20, max_depth=6), world)
    nodes, found = search.nodes, verdicts(search)
    for v, verdict in enumerate(found):
        fate = nodes.fate[v]
        if fate == "left":
            assert verdict.reason == "ended"
        elif fate != "pruned":
            assert verdict.reason is None
        else:
            same = [
                u
                for u in nodes.levels[nodes.depth[v]]
                if nodes.cluster[u] == nodes.cluster[v] >= 0 and nodes.fate[u] == "kept"
            ]
            expected = "reward" if not verdict.share else "cluster" if same else "kv"
            assert verdict.reason == expected
    for step in search.kv:
        shares = [
            found[v].share or 0
            for v in nodes.levels[step.depth]
            if nodes.fate[v] in ("kept", "pruned")
        ]
        assert sum(shares) == step.width


def test_other_strategies_prune_by_reward() -> None:
    search = play(TreeSearch(ets.BeamSearch(width=9), 20, max_depth=5), World(finish=0.0))
    found = [v.reason for v, fate in zip(verdicts(search), search.nodes.fate, strict=True)
             if fate == "pruned"]  # fmt: skip
    assert found
    assert set(found) == {"reward"}
