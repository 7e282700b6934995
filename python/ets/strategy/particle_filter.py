"""Particle filtering: leaves resampled by their rewards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ets._core import particle_weights, rebase_weights
from ets.checks import check_choice, check_int, check_number
from ets.pickled import Pickled
from ets.strategy.base import Decision, View
from ets.strategy.width import MAX_WIDTH, all_to_root, best_first
from ets.tree.nodes import Reward
from ets.tree.seeds import child_seed

Resampling = Literal["multinomial", "systematic"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ParticleFilter(Pickled):
    """Resamples the leaves in proportion to `softmax(logit(reward) / temperature)` (Puri et al.,
    2025, arXiv 2502.01618).

    The particles are the remaining width: a trajectory that completes is a particle that is kept
    as it is, where the published code lets it be resampled away or doubled. What is drawn follows
    from the search's seed and the depth.

    Raises `InputError` for a field out of range.
    """

    width: int
    """Trajectories to complete, 1 to 2**32."""
    temperature: float = 1.0
    """Of the softmax, > 0."""
    resampling: Resampling = "multinomial"
    """`multinomial`: independent draws, as published; `systematic`: evenly spaced ones, whose
    counts are within 1 of the shares."""
    reward: Reward = "last"
    """How a leaf's reward is formed from its path."""

    def __post_init__(self) -> None:
        check_int("width", self.width, 1, MAX_WIDTH)
        check_number("temperature", self.temperature, "> 0", lambda x: x > 0)
        check_choice("resampling", self.resampling, Resampling)
        check_choice("reward", self.reward, Reward)

    @property
    def needs_embeddings(self) -> bool:
        """False."""
        return False

    def decide(self, view: View) -> Decision:
        """Draw the remaining width among the candidates; the root gets all of it."""
        if view.depth == 0:
            return all_to_root(view)
        rewards = view.rewards(self.reward)
        counts = particle_weights(
            rewards,
            view.width,
            self.temperature,
            seed=child_seed(view.columns.seed[0], view.depth),
            method=self.resampling,
        )
        order = best_first(rewards, counts)
        # What the KV record compares with: REBASE by its own temperature, not by the one here.
        rebase = rebase_weights(rewards, view.width)
        return Decision(order=order, counts=counts[order], rebase=rebase)
