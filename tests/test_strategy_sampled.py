"""Particle filtering and DORA: what they decide is what the core hands out."""

from __future__ import annotations

import math
import pickle
import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ets._core import dora_weights, particle_weights, rebase_weights
from ets.errors import InputError
from ets.strategy import DORA, Decision, ParticleFilter, View
from ets.strategy.registry import strategy_from_dict, strategy_to_dict
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


def annealed(strategy: ParticleFilter, rewards: list[float], depth: int, max_depth: int) -> float:
    """The temperature of a draw, as the rule reads."""
    n = len(rewards)
    if n < 2 or depth / max_depth >= strategy.early:
        return strategy.temperature
    odds = [min(max(r, 1e-7), 1 - 1e-7) for r in rewards]
    logits = [math.log(r / (1 - r)) / strategy.temperature for r in odds]
    weights = [math.exp(logit - max(logits)) for logit in logits]
    p = [weight / math.fsum(weights) for weight in weights]
    ess = 1 / math.fsum(x * x for x in p)
    if ess / n >= strategy.ess_threshold:
        return strategy.temperature
    t = depth / max_depth
    if strategy.annealing == "ess":
        return strategy.temperature * max(1.0, (1 - t) * n / ess)
    evenness = -math.fsum(x * math.log(x) for x in p if x > 0) / math.log(n)
    beta = evenness + (1 - evenness) * t
    return strategy.temperature / beta


@settings(max_examples=40, deadline=None)
@given(
    width=st.integers(2, 40),
    world=worlds,
    rule=st.sampled_from(["ess", "entropy"]),
    temperature=st.sampled_from([0.2, 1.0, 3.0]),
    threshold=st.sampled_from([0.2, 0.5, 1.0]),
    early=st.sampled_from([0.1, 0.5, 1.0]),
)
def test_annealed_particles_are_drawn_at_the_temperature_of_the_rule(
    width: int, world: World, rule: Any, temperature: float, threshold: float, early: float
) -> None:
    strategy = ParticleFilter(
        width=width,
        temperature=temperature,
        annealing=rule,
        ess_threshold=threshold,
        early=early,
    )

    def check(view: View, decision: Decision) -> None:
        if view.depth == 0:
            return
        rewards = view.rewards()
        expected = annealed(strategy, rewards.tolist(), view.depth, view.max_depth)
        found = strategy.annealed(rewards, view.depth / view.max_depth)
        assert found == pytest.approx(expected, rel=1e-9)
        assert found >= temperature
        seed = child_seed(view.columns.seed[0], view.depth)
        counts = particle_weights(rewards, view.width, found, seed=seed, method="multinomial")
        assert spread(view, decision).tolist() == counts.tolist()

    watch(strategy, world, check)


@pytest.mark.parametrize("rule", ["ess", "entropy"])
def test_annealing_spares_what_a_sure_prm_would_end(rule: Any) -> None:
    """One candidate has nearly all of the shares; its rivals live on early, and not later."""
    rewards = np.array([0.999, *[0.5] * 15])
    plain = ParticleFilter(width=16)
    strategy = ParticleFilter(width=16, annealing=rule)
    assert plain.annealed(rewards, 0.04) == 1.0
    temperatures = [strategy.annealed(rewards, at) for at in (0.04, 0.2, 0.4, 0.5, 0.9)]
    assert temperatures[0] > temperatures[1] > temperatures[2] > 1.0
    assert temperatures[3:] == [1.0, 1.0]
    drawn = [
        np.count_nonzero(particle_weights(rewards, 16, t, seed=3, method="systematic"))
        for t in (1.0, temperatures[0])
    ]
    assert drawn[0] < drawn[1]
    even = np.full(16, 0.999)
    assert strategy.annealed(even, 0.04) == 1.0
    assert strategy.annealed(rewards[:1], 0.04) == 1.0


def test_a_filter_that_is_not_annealed_pickles_as_before() -> None:
    plain = ParticleFilter(width=4)
    _, (_, _, values) = plain.__reduce__()
    assert sorted(values) == ["resampling", "reward", "temperature", "width"]
    for strategy in (plain, ParticleFilter(width=4, annealing="ess", early=0.3)):
        assert pickle.loads(pickle.dumps(strategy)) == strategy
        assert strategy_from_dict(strategy_to_dict(strategy)) == strategy


@pytest.mark.parametrize("rule", ["ess", "entropy"])
@pytest.mark.parametrize("temperature", [5e-324, 1e-300, 1e300, 1.7e308])
def test_annealing_survives_temperatures_of_any_size(rule: Any, temperature: float) -> None:
    strategy = ParticleFilter(
        width=4, temperature=temperature, annealing=rule, ess_threshold=1.0, early=1.0
    )
    draw = random.Random(7)
    for n in (2, 3, 50):
        rewards = np.array([draw.choice([0.0, 1.0, draw.random()]) for _ in range(n)])
        found = strategy.annealed(rewards, 1e-9)
        assert temperature <= found < math.inf
        assert particle_weights(rewards, 4, found, seed=1, method="systematic").sum() == 4


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"annealing": "cool"}, ["annealing must be one of", "'cool'"]),
        ({"ess_threshold": 0.0}, ["ess_threshold", "(0, 1]", "0.0"]),
        ({"ess_threshold": 1.5}, ["ess_threshold", "1.5"]),
        ({"early": float("nan")}, ["early", "nan"]),
        ({"early": True}, ["early", "True"]),
    ],
)
def test_annealing_out_of_range_is_named(options: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        ParticleFilter(width=4, **options)
    assert all(word in str(caught.value) for word in words)


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
