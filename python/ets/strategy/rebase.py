"""REBASE: width in proportion to reward."""

from __future__ import annotations

from dataclasses import dataclass

from ets._core import rebase_weights
from ets.checks import check_choice, check_int, check_number
from ets.pickled import Pickled
from ets.strategy.base import Decision, View
from ets.strategy.width import MAX_WIDTH, best_first
from ets.tree.nodes import Reward


@dataclass(frozen=True, slots=True, kw_only=True)
class REBASE(Pickled):
    """Reward-balanced search: width in proportion to `exp(reward / temperature)`, rounded up from
    the best leaf down (Wu et al., 2024, arXiv 2408.00724; ceil as in the public codes).

    Raises `InputError` for a field out of range.
    """

    width: int
    """Trajectories to complete, 1 to 2**32."""
    temperature: float = 0.2
    reward: Reward = "last"

    def __post_init__(self) -> None:
        check_int("width", self.width, 1, MAX_WIDTH)
        check_number("temperature", self.temperature, "> 0", lambda x: x > 0)
        check_choice("reward", self.reward, Reward)

    @property
    def needs_embeddings(self) -> bool:
        """False."""
        return False

    def decide(self, view: View) -> Decision:
        """Spread the remaining width over all candidates; the worst may get none."""
        rewards = view.rewards(self.reward)
        counts = rebase_weights(rewards, view.width, self.temperature)
        order = best_first(rewards, counts)
        return Decision(order=order, counts=counts[order], rebase=counts)
