"""Math-Shepherd-Mistral-7B-PRM (Wang et al., arXiv 2312.08935; its model card).

    {problem} Step 1: {step} ки\\nStep 2: {step} ки

The tokenizer puts its beginning-of-sequence token in front. The score of a step is read at its tag
`ки`: the probability of `+` in a softmax over the language model's logits of `+` and `-`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from ets.errors import EngineError
from ets.prm.checkpoint import Checkpoint
from ets.prm.formats.step_tag import StepTagFormat

if TYPE_CHECKING:
    import torch


class MathShepherdFormat(StepTagFormat):
    """Steps end with `ки`, where `+` speaks for the step and `-` against it."""

    name: ClassVar[str] = "math-shepherd"
    models: ClassVar[str] = "Math-Shepherd-Mistral-7B-PRM"

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__(checkpoint, after_problem=" ")
        # As its model card finds them: a space in front of both.
        signs = checkpoint.tokenizer.encode("1 + -", add_special_tokens=False)[-2:]
        if [checkpoint.tokenizer.decode([token]).strip() for token in signs] != ["+", "-"]:
            raise EngineError(
                f"{checkpoint.name!r} is no {self.name} PRM: its tokenizer has no tokens + and -"
            )
        self.good_id, self.bad_id = signs

    @classmethod
    def recognises(cls, checkpoint: Checkpoint) -> bool:
        """By the name: the config is that of any language model."""
        return checkpoint.is_lm and "math-shepherd" in checkpoint.label

    def head(self) -> torch.nn.Module:
        """`+` against `-`."""
        from ets.prm.heads import TokenChoice

        checkpoint = self.checkpoint
        rows = checkpoint.weights.lm_rows(checkpoint.config, (self.good_id, self.bad_id)).float()
        return TokenChoice(rows[:1], rows[1:])

    @property
    def head_weights(self) -> frozenset[str]:
        """The language model's head."""
        return frozenset({"lm_head.weight"})
