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

from ets.errors import EngineError
from ets.prm.checkpoint import Checkpoint
from ets.prm.formats.base import PRMFormat
from ets.prm.formats.chat import chat_text, word_ids
from ets.prm.formats.cut import encode_cut

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
        self._texts: OrderedDict[tuple[str, ...], str] = OrderedDict()
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
        heads = [self._text(problem, steps[:k]) for k in range(1, len(steps) + 1)]
        text = heads[-1]
        # The problem's end, for solutions that share nothing more.
        start = heads[0].find(problem)
        cuts = [start + len(problem) if start >= 0 else 0, *map(len, heads)]
        return encode_cut(
            self.checkpoint.tokenizer,
            text,
            cuts,
            name=self.checkpoint.name,
            special_tokens=False,
        )

    def _text(self, problem: str, steps: list[str]) -> str:
        """The chat up to the answer to the last step."""
        key = (problem, *steps)
        text = self._texts.get(key)
        if text is None:
            messages: list[dict[str, str]] = []
            for number, step in enumerate(steps):
                before = "" if number else problem + self._after_problem
                messages.append({"role": "user", "content": before + step})
                messages.append({"role": "assistant", "content": _GOOD})
            text = chat_text(self.checkpoint, messages[:-1])
            self._texts[key] = text
            if len(self._texts) > _CACHED_TEXTS:
                self._texts.popitem(last=False)
        return text

    def _check_template(self) -> None:
        """Whether the answer is one token, where the template puts it and nowhere else."""
        first, second = self._text("1?", ["1."]), self._text("1?", ["1.", "2."])
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
