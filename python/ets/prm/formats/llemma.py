"""The Llemma-34B PRM of REBASE and ETS (tkitsers/Llemma-reward-model; Wu et al., arXiv 2408.00724).

    {problem}\\nStep 1: {step} ки\\nStep 2: {step} ки

That is the text of the ETS code; the REBASE code has nothing between problem and `Step 1`
(`after_problem=""`). The score of a step is read at its tag `ки`, as both codes' scorer does: the
sigmoid of the mean over all rows that the head holds, of which training leaves two.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from ets.prm.checkpoint import Checkpoint
from ets.prm.formats.step_tag import StepTagFormat

if TYPE_CHECKING:
    import torch


class LlemmaFormat(StepTagFormat):
    """Steps end with `ки`, where all outputs of the head are averaged."""

    name: ClassVar[str] = "llemma"
    models: ClassVar[str] = "Llemma-reward-model (REBASE, ETS)"

    def __init__(self, checkpoint: Checkpoint, *, after_problem: str = "\n") -> None:
        super().__init__(checkpoint, after_problem=after_problem)

    @classmethod
    def recognises(cls, checkpoint: Checkpoint) -> bool:
        """By the name: the config is that of any language model."""
        label = checkpoint.label
        return checkpoint.is_lm and "llemma" in label and ("reward" in label or "prm" in label)

    def head(self) -> torch.nn.Module:
        """The mean of the stored rows."""
        from ets.prm.heads import Sigmoid

        rows = self.checkpoint.weights.lm_rows(self.checkpoint.config)
        return Sigmoid(rows.double().mean(dim=0).float())

    @property
    def head_weights(self) -> frozenset[str]:
        """The language model's head."""
        return frozenset({"lm_head.weight"})
