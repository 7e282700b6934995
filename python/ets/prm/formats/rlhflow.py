"""RLHFlow's Llama3.1-8B-PRM-Deepseek-Data and -Mistral-Data (Dong et al., arXiv 2405.07863).

One chat turn per step in the checkpoint's own template, without a system message, as in its
authors' prm_evaluate.py:

    user: {problem} {step}   assistant: +   user: {step}   assistant: +

The score of a step is read where the assistant's token comes, at the id in front of it: the
probability of `+` in a softmax over the logits of `+` and `-`. Earlier steps are all answered `+`.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, ClassVar

from ets.chat import Message, render_chat
from ets.content import Content, ContentEncoder, Piece, text_of
from ets.errors import EngineError
from ets.prm.checkpoint import Checkpoint
from ets.prm.formats.base import PRMFormat
from ets.prm.formats.chat import word_ids

if TYPE_CHECKING:
    import torch

_GOOD, _BAD = "+", "-"
_CACHED_TEXTS = 1 << 12


class RLHFlowFormat(PRMFormat):
    """A chat in which the model answers every step with `+` or `-`.

    `after_problem` stands between the problem and the first step: the authors' space, or the blank
    line that ProcessBench puts there.
    """

    name: ClassVar[str] = "rlhflow"
    models: ClassVar[str] = "RLHFlow Llama3.1-8B-PRM-Deepseek-Data and -Mistral-Data"

    def __init__(self, checkpoint: Checkpoint, *, after_problem: str = " ") -> None:
        super().__init__(checkpoint)
        self._after_problem = after_problem
        self._good, self._bad = word_ids(checkpoint, (_GOOD,)), word_ids(checkpoint, (_BAD,))
        self._encoder = ContentEncoder(checkpoint.tokenizer, name=checkpoint.name)
        self._chats: OrderedDict[tuple[str, ...], list[Piece]] = OrderedDict()
        self._check_template()

    @classmethod
    def recognises(cls, checkpoint: Checkpoint) -> bool:
        """By the name: the config is that of any language model."""
        label = checkpoint.label
        return checkpoint.is_lm and ("8b-prm-deepseek" in label or "8b-prm-mistral" in label)

    def head(self) -> torch.nn.Module:
        """`+` against `-`."""
        from ets.prm.heads import TokenChoice

        checkpoint = self.checkpoint
        rows = checkpoint.weights.lm_rows(checkpoint.config, self._good + self._bad).float()
        return TokenChoice(rows[:1], rows[1:])

    @property
    def head_weights(self) -> frozenset[str]:
        """The language model's head."""
        return frozenset({"lm_head.weight"})

    def _encode(self, problem: str, steps: list[str]) -> list[tuple[int, ...]]:
        chats = [self._chat(problem, steps[:k]) for k in range(1, len(steps) + 1)]
        pieces = chats[-1]
        # The problem's end, for solutions that share nothing more.
        cuts = [len(text_of(pieces[:2])), *(len(text_of(chat)) for chat in chats)]
        return self._encoder.encode(pieces).parts(cuts)

    def _chat(self, problem: str, steps: list[str]) -> list[Piece]:
        """The chat up to the answer to the last step; the problem is its second piece."""
        key = (problem, *steps)
        chat = self._chats.get(key)
        if chat is None:
            messages: list[Message] = []
            for number, step in enumerate(steps):
                said: list[str | Content] = [Content(step)]
                if not number:
                    said = [Content(problem), self._after_problem, *said]
                messages.append(Message("user", said))
                messages.append(Message("assistant", [_GOOD]))
            checkpoint = self.checkpoint
            chat = render_chat(checkpoint.tokenizer, messages[:-1], name=checkpoint.name)
            self._chats[key] = chat
            if len(self._chats) > _CACHED_TEXTS:
                self._chats.popitem(last=False)
        return chat

    def _check_template(self) -> None:
        """Whether the answer is one token, where the template puts it and nowhere else."""
        first, second = (text_of(self._chat("1?", steps)) for steps in (["1."], ["1.", "2."]))
        name = self.checkpoint.name
        if not second.startswith(first + _GOOD):
            raise EngineError(
                f"{name!r} is no {self.name} PRM: in its chat template {_GOOD} does not stand "
                "where the assistant's turn begins"
            )
        tokenizer = self.checkpoint.tokenizer
        ids = tokenizer.encode(first, add_special_tokens=False)
        with_answer = tokenizer.encode(first + _GOOD, add_special_tokens=False)
        if with_answer != [*ids, *self._good]:
            raise EngineError(
                f"{name!r} is no {self.name} PRM: its tokenizer makes no token of its own of "
                f"{_GOOD} where the assistant's turn begins"
            )
