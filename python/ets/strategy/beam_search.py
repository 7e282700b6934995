"""Beam search: the best few leaves, an equal share each."""

from __future__ import annotations

from dataclasses import dataclass

from ets._core import beam_weights
from ets.checks import check_choice, check_int
from ets.pickled import Pickled
from ets.strategy.base import Decision, View
from ets.strategy.width import MAX_WIDTH, all_to_root, best_first
from ets.tree.nodes import Reward


@dataclass(frozen=True, slots=True, kw_only=True)
class BeamSearch(Pickled):
    """The best `beam` leaves, `ceil(remaining width / beam)` continuations each (Snell et
    al., 2024, arXiv 2408.03314).

    The product may exceed the remaining width, so that a few more trajectories than the width may
    complete, as in the published code.

    Raises `InputError` for a field out of range.
    """

    width: int
    """Trajectories to complete, 1 to 2**32."""
    beam: int | None = None
    """Leaves to keep, >= 1; None: `ceil(sqrt(remaining width))`."""
    reward: Reward = "last"

    def __post_init__(self) -> None:
        check_int("width", self.width, 1, MAX_WIDTH)
        if self.beam is not None:
            check_int("beam", self.beam, 1, MAX_WIDTH, ", or None")
        check_choice("reward", self.reward, Reward)

    @property
    def needs_embeddings(self) -> bool:
        """False."""
        return False

    def decide(self, view: View) -> Decision:
        """Keep the best; the root gets the whole width."""
        if view.depth == 0:
            return all_to_root(view)
        rewards = view.rewards(self.reward)
        counts = beam_weights(rewards, view.width, self.beam)
        order = best_first(rewards, counts)
        return Decision(order=order, counts=counts[order])
