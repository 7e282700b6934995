"""What flows between the engines: a step, a partial solution, a score."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from ets.certainty import Certainty
from ets.dialogue import Dialogue, Posed, Turn
from ets.pickled import Pickled

Finish = Literal["step", "answer", "end", "length", "context", "refused"]


@dataclass(frozen=True, slots=True)
class Step(Pickled):
    """One step that a policy wrote.

    `token_ids` are the ids exactly as sampled (the delimiter included, the end-of-sequence id not),
    so that a prefix built from them always hits the engine's cache; `text` is their decoding.

    `finish` says why the step ended: `step` where the policy's option `step` ends one, which is at
    the delimiter unless told otherwise, `answer` when it holds an answer
    marker, `end` at the end of the sequence, `length` at the step's token limit, `context` where
    the policy can read no more: the solution is cut there; `refused` where the model would not
    answer, or a filter let no answer through: the solution does not vote.
    """

    text: str
    token_ids: tuple[int, ...]
    finish: Finish
    prompt_tokens: int = 0
    """Tokens of the request's prompt."""
    cached_tokens: int = 0
    """Of those, the tokens the engine took from its prefix cache."""
    preemptions: int = 0
    """Times that the engine took the request's KV cache for others and computed it anew."""
    banked: bool = False
    """Whether it came from a sample bank; the other figures are then of when it was computed."""
    dropped_tokens: int = 0
    """Tokens that the engine sampled behind the step's end, where that is not one of the ids or
    texts that it was told to stop at."""
    thinking: int = 0
    """The characters at the beginning of `text` that are a reasoning model's thoughts, tags
    included; no answer stands in them."""
    certainty: Certainty | None = None
    """How certain the policy was of each token that it sampled; None where it does not say. Of a
    server that gives texts, the tokens are the server's, and so may be another number of them."""
    written_tokens: int = 0
    """Tokens that the policy says it wrote, where it gives no `token_ids`: of a whole answer, which
    nothing follows."""

    _later: ClassVar[frozenset[str]] = frozenset({"certainty", "written_tokens"})

    @property
    def tokens(self) -> int:
        """Tokens of the step: its ids, or without them those that were counted."""
        return len(self.token_ids) or self.written_tokens

    @property
    def answer_text(self) -> str:
        """The text behind the thoughts: that of a policy that does not think."""
        return self.text[self.thinking :]

    def then(self, more: Step) -> Step:
        """The step that this one and the one after it make together."""
        certainty = None
        if self.certainty is not None and more.certainty is not None:
            certainty = self.certainty.then(more.certainty)
        return Step(
            text=self.text + more.text,
            token_ids=(*self.token_ids, *more.token_ids),  # `+` of arrays would add them up
            finish=more.finish,
            prompt_tokens=self.prompt_tokens + more.prompt_tokens,
            cached_tokens=self.cached_tokens + more.cached_tokens,
            preemptions=self.preemptions + more.preemptions,
            banked=self.banked and more.banked,
            dropped_tokens=self.dropped_tokens + more.dropped_tokens,
            thinking=len(self.text) + more.thinking if more.thinking else self.thinking,
            certainty=certainty,
            written_tokens=self.written_tokens + more.written_tokens,
        )

    def parted(self, delimiter: str) -> tuple[Step, ...]:
        """The steps that a whole answer holds, for who reads step by step.

        A part ends behind each `delimiter`; thoughts stay with the first part, and all else that is
        known of the step with the last. Parts of white space alone join the one before them.
        """
        texts: list[str] = []
        pieces = self.answer_text.split(delimiter)
        for piece in (*(f"{piece}{delimiter}" for piece in pieces[:-1]), pieces[-1]):
            if texts and not (piece.strip() and texts[-1].strip()):
                texts[-1] += piece
            else:
                texts.append(piece)
        texts[0] = self.text[: self.thinking] + texts[0]
        parts = [Step(text, (), "step") for text in texts[:-1]]
        parts.append(replace(self, text=texts[-1], thinking=0))
        parts[0] = replace(parts[0], thinking=self.thinking)
        return tuple(parts)

    @property
    def finished(self) -> bool:
        """Whether the solution ends with this step."""
        return self.finish in ("answer", "end")

    @property
    def goes_on(self) -> bool:
        """Whether another step can follow: nothing ended, cut or refused the solution here."""
        return self.finish in ("step", "length")


@dataclass(frozen=True, slots=True)
class Prefix(Pickled):
    """A partial solution: the problem, the policy's prompt and the steps so far."""

    problem: str
    """Its text; of a dialogue the last message."""
    prompt_tokens: int
    """Tokens of the policy's prompt, which are the first of `token_ids`."""
    token_ids: tuple[int, ...]
    """Prompt and steps as the policy's token ids: what the next request sends."""
    steps: tuple[Step, ...] = ()
    before: tuple[Turn, ...] = ()
    """What was said before the problem, where that ends a dialogue."""

    _later: ClassVar[frozenset[str]] = frozenset({"before"})

    @property
    def posed(self) -> Posed:
        """The problem with all that was said before it."""
        return Dialogue(self.before, self.problem) if self.before else self.problem

    def extend(self, step: Step) -> Prefix:
        """The prefix with one step more; its ids extend this one's exactly."""
        ids = (*self.token_ids, *step.token_ids)  # `+` of arrays would add them up
        return Prefix(self.problem, self.prompt_tokens, ids, (*self.steps, step), self.before)

    def without_thoughts(self) -> Prefix:
        """The same with the texts of the steps' answers only, for a PRM that reads no thoughts."""
        if not any(step.thinking for step in self.steps):
            return self
        steps = tuple(replace(step, text=step.answer_text, thinking=0) for step in self.steps)
        return replace(self, steps=steps)

    def parted(self, delimiter: str) -> Prefix:
        """The same with the steps that whole answers hold (`Step.parted`), for a PRM."""
        return replace(self, steps=tuple(p for step in self.steps for p in step.parted(delimiter)))


@dataclass(frozen=True, slots=True)
class Score(Pickled):
    """A PRM's verdict on the last step of a prefix."""

    reward: float
    """In [0, 1]."""
    prompt_tokens: int = 0
    """Tokens the PRM needed to read."""
    cached_tokens: int = 0
    """Of those, the tokens its engine took from its prefix cache."""
    preemptions: int = 0
    """Times that the engine took the request's KV cache for others and computed it anew."""
    banked: bool = False
    """Whether it came from a sample bank; the other figures are then of when it was computed."""
    written_tokens: int = 0
    """Tokens that the PRM wrote, where it writes critiques."""

    _later: ClassVar[frozenset[str]] = frozenset({"written_tokens"})
