"""Particle filtering and DORA: what they decide is what the core hands out."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ets._core import dora_weights, particle_weights, rebase_weights
from ets.strategy import DORA, Decision, ParticleFilter, View
from ets.tree.seeds import child_seed
from ets.tree_search.search import Child, TreeSearch
from scripted import World, play
from test_strategy import spread, watch, worlds


@settings(max_examples=40, deadline=None)
@given(
    width=st.integers(2, 40), world=worlds, method=st.sampled_from(["multinomial", "systematic"])
)
def test_particles_are_drawn_by_seed_and_depth(width: int, world: World, method: Any) -> None:
    strategy = ParticleFilter(width=width, temperature=0.7, resampling=method)

    def check(view: View, decision: Decision) -> None:
        assert decision.rebase is None or view.depth > 0
        if view.depth == 0:
            assert decision.counts.tolist() == [width]
            return
        seed = child_seed(view.columns.seed[0], view.depth)
        counts = particle_weights(view.rewards(), view.width, 0.7, seed=seed, method=method)
        assert spread(view, decision).tolist() == counts.tolist()
        # The record compares with REBASE by its own temperature.
        assert decision.rebase is not None
        assert decision.rebase.tolist() == rebase_weights(view.rewards(), view.width).tolist()

    watch(strategy, world, check)


def test_particles_of_another_seed_are_others() -> None:
    world = World(finish=0.0)
    drawn = {
        tuple(
            play(
                TreeSearch(ParticleFilter(width=16), 30, seed=seed, max_depth=3), world
            ).nodes.parent
        )
        for seed in range(5)
    }
    assert len(drawn) > 1


@settings(max_examples=40, deadline=None)
@given(width=st.integers(2, 40), world=worlds, t_s=st.sampled_from([0.01, 0.1, 1.0]))
def test_dora_weighs_by_reward_and_likeness(width: int, world: World, t_s: float) -> None:
    strategy = DORA(width=width, similarity_temperature=t_s)
    clustered = 0

    def check(view: View, decision: Decision) -> None:
        nonlocal clustered
        if view.depth == 0:
            assert decision.counts.tolist() == [width]
            return
        rewards = view.rewards()
        if len(rewards) == 1 or view.same_texts():
            expected = rebase_weights(rewards, view.width, 0.1)
        else:
            clustered += 1
            expected = dora_weights(rewards, view.embeddings(), view.width, 0.1, t_s)
        assert spread(view, decision).tolist() == expected.tolist()

    watch(strategy, world, check)


def test_dora_gives_the_odd_one_out_more_than_rebase_does() -> None:
    """Seven that say the same beside one that does not, all of one reward."""
    search = TreeSearch(DORA(width=8), 10)
    [ask] = search.ask()
    same, other = np.array([1, 0], np.float32), np.array([0, 1], np.float32)
    search.tell(
        Child(ask.node, 3, 0.5, embedding=other if index == 7 else same, index=index)
        for index in ask.indices
    )
    asked = {ask.node: ask.n for ask in search.ask()}
    assert asked[8] == 4
    assert sum(asked.values()) == 8
