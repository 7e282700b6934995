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

from ets.checkpoint.chat import Message, render_chat
from ets.checkpoint.content_encoder import ContentEncoder
from ets.checkpoint.pieces import Content, Piece, text_of
from ets.dialogue import Turn
from ets.errors import EngineError
from ets.fork_lock import ForkLock
from ets.prm.checkpoint import Checkpoint
from ets.prm.formats.base import PRMFormat
from ets.prm.formats.chat import word_ids
from ets.prm.formats.kept_parts import Parts, Section

if TYPE_CHECKING:
    import torch

_GOOD, _BAD = "+", "-"
_KEPT = 1 << 12
_WHOLE, _FIRST, _TURN = 0, 1, 2


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
        self._spaces: OrderedDict[tuple[str, ...], list[str] | None] = OrderedDict()
        self._tail = ""
        self._lock = ForkLock()
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

    def _sections(self, problem: str, steps: list[str], before: tuple[Turn, ...]) -> list[Section]:
        turns = self._turns(problem, len(steps))
        if turns is None:
            return [(_WHOLE, problem, *steps)]
        front, behind, *fronts = turns
        later = zip(fronts, steps[1:], strict=True)
        return [(_FIRST, front, problem.strip(), behind, steps[0]), *((_TURN, *t) for t in later)]

    def _encode_section(self, section: Section) -> Parts | None:
        kind, *texts = section
        said = list(map(str, texts))
        if kind == _WHOLE:
            return self._encode_whole(said[0], said[1:])
        pieces: list[Piece] = [Content(t) if i % 2 else t for i, t in enumerate(said)]
        pieces.append(self._tail)
        encoded = self._encoder.encode_apart(pieces)
        if encoded is None:
            return None
        if kind == _TURN:
            return [encoded.ids]
        # The problem's end, for solutions that share nothing more.
        return encoded.parts([len(text_of(pieces[:2])), len(text_of(pieces))])

    def _encode_whole(self, problem: str, steps: list[str]) -> Parts:
        chats = [self._chat(problem, steps[:k]) for k in range(1, len(steps) + 1)]
        pieces = chats[-1]
        cuts = [len(text_of(pieces[:2])), *(len(text_of(chat)) for chat in chats)]
        return self._encoder.encode(pieces).parts(cuts)

    def _turns(self, problem: str, count: int) -> list[str] | None:
        """What the template writes before and behind the problem, and from an answer to each step.

        None if a chat of so many steps must be tokenised as a whole: if the template does not write
        the same around them however many follow, with control tokens between steps and answers.
        """
        core = problem.strip()
        if not core:
            return None
        space = tuple(problem.split(core, 1))
        with self._lock:
            known = self._spaces.setdefault(space, [])
            if len(self._spaces) > _KEPT:
                self._spaces.popitem(last=False)
        while known is not None and len(known) <= count:
            known = self._extended(known, space)
            with self._lock:
                self._spaces[space] = known
        return None if known is None else known[: count + 1]

    def _extended(self, known: list[str], space: tuple[str, ...]) -> list[str] | None:
        """The same for one step more."""
        count = max(1, len(known))
        said = ["problem", *(f"step {k}" for k in range(count))]
        pieces = self._render(said[0].join(space), said[1:])
        texts = [piece for piece in pieces if isinstance(piece, str)]
        contents = [piece.text for piece in pieces if isinstance(piece, Content)]
        if contents != said or len(texts) != count + 2:
            return None
        turns, tail = texts[2:-1], texts[-1]
        self._tail = self._tail or tail
        fronts = [turn[len(tail) :] for turn in turns]
        if tail != self._tail or turns != [tail + front for front in fronts]:
            return None
        found = [*texts[:2], *fronts]
        if known and found[:-1] != known:
            return None
        return found if all(map(self._is_apart, fronts[-1:])) else None

    def _is_apart(self, front: str) -> bool:
        """Whether text may be cut in front of an answer and what the template writes behind it."""
        encoder, tail = self._encoder, self._tail
        both, left, right = (encoder.encode([text]).ids for text in (tail + front, tail, front))
        cuts = encoder.cuts_at(tail) and encoder.cuts_at(front)
        return cuts and front.startswith(_GOOD) and both == left + right

    def _chat(self, problem: str, steps: list[str]) -> list[Piece]:
        """The chat up to the answer to the last step; the problem is its second piece."""
        key = (problem, *steps)
        with self._lock:
            chat = self._chats.get(key)
        if chat is None:
            chat = self._render(problem, steps)
            with self._lock:
                self._chats[key] = chat
                if len(self._chats) > _KEPT:
                    self._chats.popitem(last=False)
        return chat

    def _render(self, problem: str, steps: list[str]) -> list[Piece]:
        messages: list[Message] = []
        for number, step in enumerate(steps):
            said: list[str | Content] = [Content(step)]
            if not number:
                said = [Content(problem), self._after_problem, *said]
            messages.append(Message("user", said))
            messages.append(Message("assistant", [_GOOD]))
        checkpoint = self.checkpoint
        return render_chat(checkpoint.tokenizer, messages[:-1], name=checkpoint.name)

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
