"""Particle filtering: leaves resampled by their rewards."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from ets._core import particle_weights, rebase_weights
from ets.checks import check_choice, check_int, check_number
from ets.pickled import Pickled
from ets.strategy.base import Decision, View
from ets.strategy.width import MAX_WIDTH, all_to_root, best_first
from ets.tree.nodes import Reward
from ets.tree.seeds import child_seed

Resampling = Literal["multinomial", "systematic"]
Annealing = Literal["none", "ess", "entropy"]
_CLIP = 1e-7
"""How close to 0 and 1 a reward may come, as in `particle_weights`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ParticleFilter(Pickled):
    """Resamples the leaves in proportion to `softmax(logit(reward) / temperature)` (Puri et al.,
    2025, arXiv 2502.01618).

    The particles are the remaining width: a trajectory that completes is a particle that is kept
    as it is, where the published code lets it be resampled away or doubled. What is drawn follows
    from the search's seed and the depth.

    With `annealing`, entropic annealing (Giannone et al., 2025, arXiv 2510.05825; the step-wise
    resampling of arXiv 2606.08850 builds on it): a PRM that is sure too early would leave one
    particle's descendants alone. With `p_i` the shares of the `n` >= 2 candidates, `H` their
    entropy over `log n`, `t` = depth / `max_depth` of the search and `ESS = 1 / sum p_i ** 2`, the
    temperature is multiplied, where `ESS / n < ess_threshold` and `t < early`, by

    ```text
    ess:      max(1, (1 - t) * n / ESS)
    entropy:  1 / (H + (1 - H) * t)
    ```

    so that the draws are the flatter the fewer candidates hold the shares, and ever less so. The
    candidates are the particles that are not completed; the published code counts those as well.

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
    annealing: Annealing = "none"
    """`none`, as published by Puri et al.; `ess` or `entropy`: by which rule the draws are made
    flatter while the shares are those of few candidates early in the search."""
    ess_threshold: float = 0.5
    """Effective candidates, as a share of them, below which it is annealed, in (0, 1]."""
    early: float = 0.5
    """Share of `max_depth` before which it is annealed, in (0, 1]."""

    _later: ClassVar[frozenset[str]] = frozenset({"annealing", "ess_threshold", "early"})

    def __post_init__(self) -> None:
        check_int("width", self.width, 1, MAX_WIDTH)
        check_number("temperature", self.temperature, "> 0", lambda x: x > 0)
        check_choice("resampling", self.resampling, Resampling)
        check_choice("reward", self.reward, Reward)
        check_choice("annealing", self.annealing, Annealing)
        check_number("ess_threshold", self.ess_threshold, "in (0, 1]", lambda x: 0 < x <= 1)
        check_number("early", self.early, "in (0, 1]", lambda x: 0 < x <= 1)

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
            self.annealed(rewards, view.depth / view.max_depth),
            seed=child_seed(view.columns.seed[0], view.depth),
            method=self.resampling,
        )
        order = best_first(rewards, counts)
        # What the KV record compares with: REBASE by its own temperature, not by the one here.
        rebase = rebase_weights(rewards, view.width)
        return Decision(order=order, counts=counts[order], rebase=rebase)

    def annealed(self, rewards: NDArray[np.float64], progress: float) -> float:
        """The temperature of the draw among candidates with these rewards, float64[n], in [0, 1].

        `progress` is the depth over the search's `max_depth`.
        """
        n = len(rewards)
        if self.annealing == "none" or n < 2 or progress >= self.early:
            return self.temperature
        shares = _shares(rewards, self.temperature)
        effective = 1.0 / float(np.square(shares).sum())
        if effective >= self.ess_threshold * n:
            return self.temperature
        if self.annealing == "ess":
            factor = max(1.0, (1.0 - progress) * n / effective)
        else:
            evenness = _entropy(shares) / float(np.log(n))
            factor = 1.0 / max(evenness + (1.0 - evenness) * progress, sys.float_info.min)
        return min(self.temperature * max(1.0, factor), sys.float_info.max)


def _shares(rewards: NDArray[np.float64], temperature: float) -> NDArray[np.float64]:
    """`softmax(logit(reward) / temperature)`, float64[n]."""
    clipped = np.clip(rewards, _CLIP, 1.0 - _CLIP)
    logits = np.log(clipped / (1.0 - clipped))
    with np.errstate(over="ignore"):
        weights = np.exp((logits - logits.max()) / temperature)
    shares: NDArray[np.float64] = weights / weights.sum()
    return shares


def _entropy(shares: NDArray[np.float64]) -> float:
    some = shares[shares > 0]
    return -float((some * np.log(some)).sum())
