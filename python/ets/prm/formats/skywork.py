"""Skywork-o1-Open-PRM-Qwen-2.5 (1.5B, 7B), as in its authors' skywork-o1-prm-inference.

    {bos}{problem}\\n{line}\\n{line}\\n

Each line is encoded by itself and followed by the id of a line break, where the value head is read:
the sigmoid of one linear output. In the whole text's ids a full stop would take the line break into
its own token. A step's score is that of its last line; blank lines are left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from ets.errors import EngineError
from ets.prm.checkpoint import Checkpoint
from ets.prm.formats.base import PRMFormat

if TYPE_CHECKING:
    import torch

_WEIGHT, _BIAS = "v_head.summary.weight", "v_head.summary.bias"


class SkyworkFormat(PRMFormat):
    """Lines, each with a line break at which a value head is read."""

    name: ClassVar[str] = "skywork"
    models: ClassVar[str] = "Skywork-o1-Open-PRM-Qwen-2.5-1.5B and 7B"
    not_on_vllm: ClassVar[str | None] = (
        "vLLM knows no model with a v_head and needs a plugin for it; use transformers:PATH"
    )

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__(checkpoint)
        tokenizer = checkpoint.tokenizer
        if tokenizer.bos_token is None:
            raise EngineError(
                f"{checkpoint.name!r} is no {self.name} PRM: its tokenizer has no bos_token"
            )
        self.tag_id: int = tokenizer.encode("\n", add_special_tokens=False)[-1]
        """Id of the line break."""
        if tokenizer.decode([self.tag_id]) != "\n":
            raise EngineError(
                f"{checkpoint.name!r} is no {self.name} PRM: its tokenizer has no line break"
            )

    @classmethod
    def recognises(cls, checkpoint: Checkpoint) -> bool:
        """By the class that the config states."""
        return "Qwen2ForPrmModel" in checkpoint.architectures

    def head(self) -> torch.nn.Module:
        """The value head."""
        from ets.prm.heads import Sigmoid

        weights = self.checkpoint.weights
        return Sigmoid(weights.tensor(_WEIGHT)[0].float(), weights.tensor(_BIAS).float())

    @property
    def head_weights(self) -> frozenset[str]:
        """The value head, and the language model's, which is kept and not used."""
        return frozenset({_WEIGHT, _BIAS, "lm_head.weight"})

    def _encode(self, problem: str, steps: list[str]) -> list[tuple[int, ...]]:
        tokenizer = self.checkpoint.tokenizer
        prompt = tokenizer.encode(f"{tokenizer.bos_token}{problem}\n", add_special_tokens=False)
        return [tuple(prompt), *map(self._step, steps)]

    def _step(self, step: str) -> tuple[int, ...]:
        ids: list[int] = []
        for line in filter(str.strip, step.split("\n")):
            ids += self.checkpoint.tokenizer.encode(line, add_special_tokens=False)
            ids.append(self.tag_id)
        return tuple(ids)
