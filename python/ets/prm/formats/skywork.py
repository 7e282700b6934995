"""Skywork-o1-Open-PRM-Qwen-2.5 (1.5B, 7B), as in its authors' skywork-o1-prm-inference.

    {bos}{problem}\\n{line}\\n{line}\\n

Each line is encoded by itself and followed by the id of a line break, where the value head is read:
the sigmoid of one linear output. In the whole text's ids a full stop would take the line break into
its own token. As in the authors' `prepare_input`, indents and blank lines stay, the blank line
between two steps too. A step's score is that of its last line with text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from ets.checkpoint.content_encoder import ContentEncoder
from ets.checkpoint.pieces import Content
from ets.dialogue import Turn
from ets.errors import EngineError
from ets.prm.checkpoint import Checkpoint
from ets.prm.formats.base import PRMFormat
from ets.prm.formats.kept_parts import Parts, Section

if TYPE_CHECKING:
    import torch

_WEIGHT, _BIAS = "v_head.summary.weight", "v_head.summary.bias"
_PROBLEM, _LINES = 0, 1


class SkyworkFormat(PRMFormat):
    """Lines, each with a line break at which a value head is read."""

    name: ClassVar[str] = "skywork"
    models: ClassVar[str] = "Skywork-o1-Open-PRM-Qwen-2.5-1.5B and 7B"
    keeps_space: ClassVar[bool] = True
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
        self._encoder = ContentEncoder(tokenizer, name=checkpoint.name)
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

    def _sections(self, problem: str, steps: list[str], before: tuple[Turn, ...]) -> list[Section]:
        sections: list[Section] = [(_PROBLEM, problem)]
        rest = ""
        for step in steps:
            text = rest + step
            # To the end of the last line with text; a step that was cut inside a line ends it.
            body, _, rest = _cut_line(text, len(text.rstrip()))
            if body.strip():
                sections.append((_LINES, body))
            else:
                rest = text
        return sections

    def _encode_section(self, section: Section) -> Parts:
        kind, text = section[0], str(section[1])
        if kind == _PROBLEM:
            bos = str(self.checkpoint.tokenizer.bos_token)
            return [self._encoder.encode([bos, Content(text), "\n"]).ids]
        ids: list[int] = []
        for line in text.split("\n"):
            ids += self._encoder.encode([Content(line)]).ids
            ids.append(self.tag_id)
        return [tuple(ids)]


def _cut_line(text: str, start: int) -> tuple[str, str, str]:
    """The text up to the first line break from `start` on, the break, and what is behind it."""
    line, line_break, rest = text[start:].partition("\n")
    return text[:start] + line, line_break, rest
