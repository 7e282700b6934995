"""Any instruct model as a judge: the probability that it finds the last step right.

One user message in the checkpoint's own chat template, then the model's answer:

    user: {instructions}

    Problem: {problem}

    Step 1: {step}

    Step 2: {step}

    {question}

Of a dialogue, `System: ...`, `User: ...` and `Assistant: ...` stand before the problem, each with a
blank line behind it. The score of the last step is read where the answer's first token comes: the
probability of a yes (`Yes`, `yes`, `YES`, with or without a space) in a softmax over the logits of
all forms of yes and no. The question comes last, so what is before it is shared with the solutions
that go on from here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from ets.checkpoint.chat import Message, render_chat
from ets.checkpoint.content_encoder import ContentEncoder
from ets.checkpoint.pieces import Content, Piece, text_of
from ets.dialogue import Role, Turn
from ets.errors import InputError
from ets.prm.checkpoint import Checkpoint
from ets.prm.formats.base import PRMFormat
from ets.prm.formats.chat import word_ids
from ets.prm.formats.kept_parts import Parts, Section

if TYPE_CHECKING:
    import torch

INSTRUCTIONS = (
    "You check a solution to a problem step by step. Say of its last step whether it is right: "
    "correct in itself, and a sound way on from the steps before it."
)
QUESTION = "Is the last step right? Answer Yes or No."


class JudgeFormat(PRMFormat):
    """A chat model that is asked about the last step.

    `instructions` stand before the problem, `question` behind the last step, `yes` and `no` are the
    words that the model can answer; `system_prompt`, if any, is a message of its own.
    """

    name: ClassVar[str] = "judge"
    models: ClassVar[str] = "any instruct model"
    reads_before: ClassVar[tuple[Role, ...]] = ("system", "user", "assistant")

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        system_prompt: str | None = None,
        instructions: str = INSTRUCTIONS,
        question: str = QUESTION,
        yes: str = "Yes",
        no: str = "No",
    ) -> None:
        super().__init__(checkpoint)
        for option, text in (("question", question), ("yes", yes), ("no", no)):
            if not text.strip():
                raise InputError(f"{option} must not be empty, got {text!r}")
        self._system_prompt = system_prompt
        self._instructions = instructions
        self._question = question
        self._good = word_ids(checkpoint, _forms(yes))
        self._bad = word_ids(checkpoint, _forms(no))
        if both := set(self._good) & set(self._bad):
            raise InputError(f"yes and no must be other words, got {yes!r} and {no!r}: {both}")
        self._encoder = ContentEncoder(checkpoint.tokenizer, name=checkpoint.name)
        self._pieces("1?", ["1."])  # refuses a template that cannot be used

    @classmethod
    def recognises(cls, checkpoint: Checkpoint) -> bool:
        """Never: a policy given as a PRM by mistake must not be taken for a judge."""
        return False

    def head(self) -> torch.nn.Module:
        """All forms of yes against all forms of no."""
        from ets.prm.heads import TokenChoice

        checkpoint = self.checkpoint
        rows = checkpoint.weights.lm_rows(checkpoint.config, self._good + self._bad).float()
        return TokenChoice(rows[: len(self._good)], rows[len(self._good) :])

    @property
    def head_weights(self) -> frozenset[str]:
        """The language model's head."""
        return frozenset({"lm_head.weight"})

    def _sections(self, problem: str, steps: list[str], before: tuple[Turn, ...]) -> list[Section]:
        said = [text for turn in before for text in (turn.role, turn.content)]
        # One, as tokens may reach from one step into the next.
        return [(len(said), *said, problem, *steps)]

    def _encode_section(self, section: Section) -> Parts:
        count, *texts = section
        said = list(map(str, texts[: int(count)]))
        problem, *steps = map(str, texts[int(count) :])
        pieces = self._pieces(problem, steps, list(zip(said[::2], said[1::2], strict=True)))
        # The chat ends each content's part: problem, steps, and the question behind them.
        cuts = [
            len(text_of(pieces[: at + 1]))
            for at, piece in enumerate(pieces)
            if isinstance(piece, Content)
        ]
        return self._encoder.encode(pieces).parts([*cuts, len(text_of(pieces))])

    def _pieces(
        self, problem: str, steps: list[str], before: Sequence[tuple[str, str]] = ()
    ) -> list[Piece]:
        said: list[str | Content] = [f"{self._instructions}\n\n"]
        for role, text in before:
            said += [f"{role.capitalize()}: ", Content(text), "\n\n"]
        said += ["Problem: ", Content(problem)]
        for number, step in enumerate(steps, 1):
            said += [f"\n\nStep {number}: ", Content(step)]
        messages = [Message("user", [*said, f"\n\n{self._question}"])]
        if self._system_prompt is not None:
            messages.insert(0, Message("system", [self._system_prompt]))
        checkpoint = self.checkpoint
        return render_chat(checkpoint.tokenizer, messages, name=checkpoint.name, fold_system=True)


def _forms(word: str) -> tuple[str, ...]:
    forms = dict.fromkeys((word, word.lower(), word.upper(), word.capitalize()))
    return tuple(lead + form for form in forms for lead in ("", " "))
