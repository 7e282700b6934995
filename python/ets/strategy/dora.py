"""DORA: REBASE with less for leaves that say what others say."""

from __future__ import annotations

from dataclasses import dataclass

from ets._core import dora_weights, rebase_weights
from ets.checks import check_choice, check_int, check_number
from ets.pickled import Pickled
from ets.strategy.base import Decision, View
from ets.strategy.width import MAX_WIDTH, all_to_root, best_first
from ets.tree.nodes import Reward


@dataclass(frozen=True, slots=True, kw_only=True)
class DORA(Pickled):
    """Width in proportion to `exp(reward / temperature)` times the leaf's share in its own soft
    cluster, `exp(S_ii / T_s) / sum_j exp(S_ij / T_s)` with `S` the cosines of the last steps and
    `T_s` the similarity temperature (Wang et al., 2025, arXiv 2506.15707); rounded up from the
    largest share down, as in `REBASE`.

    Raises `InputError` for a field out of range.
    """

    width: int
    """Trajectories to complete, 1 to 2**32."""
    temperature: float = 0.1
    """Of the reward's weight, > 0."""
    similarity_temperature: float = 0.01
    """Of the soft clusters, > 0; the larger, the more unlike two steps may be and still share."""
    reward: Reward = "last"
    """How a leaf's reward is formed from its path."""

    def __post_init__(self) -> None:
        check_int("width", self.width, 1, MAX_WIDTH)
        check_number("temperature", self.temperature, "> 0", lambda x: x > 0)
        check_number("similarity_temperature", self.similarity_temperature, "> 0", lambda x: x > 0)
        check_choice("reward", self.reward, Reward)

    @property
    def needs_embeddings(self) -> bool:
        """True."""
        return True

    def decide(self, view: View) -> Decision:
        """Spread the remaining width over all candidates; the root gets all of it."""
        if view.depth == 0:
            return all_to_root(view)
        rewards = view.rewards(self.reward)
        if len(rewards) == 1 or view.same_texts():  # all as unique as each other
            counts = rebase_weights(rewards, view.width, self.temperature)
        else:
            counts = dora_weights(
                rewards,
                view.embeddings(),
                view.width,
                self.temperature,
                self.similarity_temperature,
            )
        order = best_first(rewards, counts)
        # What the KV record compares with: REBASE by its own temperature, not by the one here.
        rebase = rebase_weights(rewards, view.width)
        return Decision(order=order, counts=counts[order], rebase=rebase)
