"""Qwen2.5-Math-PRM-7B and 72B, Qwen2.5-Math-7B-PRM800K (Zhang et al., arXiv 2501.07301).

    <|im_start|>system
    {system prompt}<|im_end|>
    <|im_start|>user
    {problem}<|im_end|>
    <|im_start|>assistant
    {step}<extra_0>{step}<extra_0>

As in its model card. The score of a step is read at the tag `<extra_0>` behind it: the second class
of a softmax over the two outputs of Linear, ReLU, Linear.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from ets.checkpoint.chat import Message, render_chat
from ets.checkpoint.content_encoder import content_encoder
from ets.checkpoint.pieces import Content
from ets.dialogue import Role, Turn
from ets.errors import EngineError
from ets.prm.checkpoint import Checkpoint
from ets.prm.formats.base import PRMFormat
from ets.prm.formats.kept_parts import Parts, Section

if TYPE_CHECKING:
    import torch

STEP_TAG = "<extra_0>"
SYSTEM_PROMPT = "Please reason step by step, and put your final answer within \\boxed{}."
_LAYERS = ("score.0.weight", "score.0.bias", "score.2.weight", "score.2.bias")
_PROBLEM, _STEP = 0, 1


class QwenFormat(PRMFormat):
    """Chat prompt, then each step's text and the tag at which the model speaks of it.

    Prompt and steps are encoded apart, each once; the tag is a token of its own, so this gives the
    ids of the whole text. `system_prompt=None` for no system message. Of a dialogue the turns
    before the problem are read too, its system message is not: `system_prompt` is what the model
    was trained with.
    """

    name: ClassVar[str] = "qwen"
    models: ClassVar[str] = (
        "Qwen2.5-Math-PRM-7B and 72B, Qwen2.5-Math-7B-PRM800K, any Qwen2ForProcessRewardModel"
    )
    classes_of_two: ClassVar[bool] = True
    reads_before: ClassVar[tuple[Role, ...]] = ("user", "assistant")

    def __init__(
        self, checkpoint: Checkpoint, *, system_prompt: str | None = SYSTEM_PROMPT
    ) -> None:
        super().__init__(checkpoint)
        self._system_prompt = system_prompt
        tag = checkpoint.tokenizer.encode(STEP_TAG, add_special_tokens=False)
        if len(tag) != 1:
            raise EngineError(
                f"{checkpoint.name!r} is no {self.name} PRM: its tokenizer has no token {STEP_TAG}"
            )
        if not checkpoint.tokenizer.chat_template:
            raise EngineError(f"the tokenizer of {checkpoint.name!r} has no chat template")
        self._encoder = content_encoder(
            checkpoint.tokenizer, name=checkpoint.name, forbidden=(tag[0],)
        )
        self.tag_id: int = tag[0]
        """Id of the step tag, from the PRM's own tokenizer."""

    @classmethod
    def recognises(cls, checkpoint: Checkpoint) -> bool:
        """By the class that the config states."""
        return "Qwen2ForProcessRewardModel" in checkpoint.architectures

    def head(self) -> torch.nn.Module:
        """The two linear layers."""
        from ets.prm.heads import TwoClasses

        tensors = [self.checkpoint.weights.tensor(name).float() for name in _LAYERS]
        if tensors[2].shape[0] != 2 or tensors[3].shape != (2,):
            raise EngineError(
                f"the head of {self.checkpoint.name!r} must have 2 outputs: {_LAYERS[2]} is of "
                f"shape {tuple(tensors[2].shape)}, {_LAYERS[3]} of {tuple(tensors[3].shape)}"
            )
        return TwoClasses((tensors[0], tensors[1]), (tensors[2], tensors[3]))

    @property
    def head_weights(self) -> frozenset[str]:
        """The two layers, and the language model's head, which some keep and none uses."""
        return frozenset({*_LAYERS, "lm_head.weight"})

    def _sections(self, problem: str, steps: list[str], before: tuple[Turn, ...]) -> list[Section]:
        said = [text for turn in before for text in (turn.role, turn.content)]
        return [(_PROBLEM, problem, *said), *((_STEP, step) for step in steps)]

    def _encode_section(self, section: Section) -> Parts:
        kind, text, *said = section
        if kind == _STEP:
            return [self._encode_step(str(text))]
        before = [
            Message("assistant" if role == "assistant" else "user", [Content(str(content))])
            for role, content in zip(said[::2], said[1::2], strict=True)
        ]
        return [self._encode_prompt([*before, Message("user", [Content(str(text))])])]

    def _encode_prompt(self, messages: list[Message]) -> tuple[int, ...]:
        if self._system_prompt is not None:
            # The template of a PRM that was trained without the usual one leaves it out.
            usual = self._system_prompt == SYSTEM_PROMPT
            messages.insert(0, Message("system", [self._system_prompt], required=not usual))
        checkpoint = self.checkpoint
        pieces = render_chat(checkpoint.tokenizer, messages, name=checkpoint.name)
        return self._encoder.encode(pieces).ids

    def _encode_step(self, text: str) -> tuple[int, ...]:
        return (*self._encoder.encode([Content(text)]).ids, self.tag_id)
