"""Where a step ends, seen token by token."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ets.certainty import Certainty
from ets.errors import EngineError
from ets.policy.answer_end import holds_answer
from ets.policy.prompt import PolicyPrompt
from ets.policy.step_ends import GrowingText, StepEnds, begun_paragraph
from ets.step import Finish, Prefix, Step


class StepReader:
    """Follows one step as its tokens come, and says when it is over and why.

    A step that reaches the end of the model's context is cut by it: `context`, not `length`. Inside
    a block of thoughts no stop text and no answer marker counts, and the delimiter only where steps
    are `paragraphs` there.

    The end of a sentence, and what a pattern looks ahead for, show behind the step's end only: the
    tokens behind it are dropped.
    """

    def __init__(self, prompt: PolicyPrompt, prefix: Prefix, max_tokens: int) -> None:
        self.ids: list[int] = []
        self.dropped = 0
        """Tokens that were read and are not the step's."""
        self._prompt = prompt
        self._prefix = prefix
        self._limit = prompt.room(prefix, max_tokens)
        self._full = prompt.full_finish(prefix, max_tokens)
        self._thoughts = prompt.thoughts(prefix)
        by_delimiter = prompt.rule.kind == "delimiter"
        self._ends = None if by_delimiter else StepEnds(prompt, prefix)
        self._text = GrowingText(prompt.decode)
        self.done = self._limit == 0
        self._finish: Finish = "context" if self.done else "end"

    def push(self, token: int) -> bool:
        """Take the next token; True when the step is over.

        # Errors
        `EngineError` where the pattern of `step` takes too long.
        """
        prompt = self._prompt
        if token in prompt.end_ids:
            return self._end("end")
        self.ids.append(token)
        if self._ends is not None:
            self._text.push(token)
            looks = prompt.rule.follows_text or prompt.may_stop(token)
            if looks and (ends := self._ends.find(self._text.text)) is not None:
                kept = self._text.tokens_to(ends[0])
                self.dropped = len(self.ids) - kept
                del self.ids[kept:]
                return self._end(ends[1])
        elif prompt.may_stop(token):
            text = prompt.decode(self.ids)
            found = prompt.find_stop(text, self._thinking(text))
            if found is not None:
                return self._end("step" if found[1] == 0 else "end")
        if len(self.ids) >= self._limit:
            return self._end(self._full)
        return False

    def step(
        self,
        *,
        prompt_tokens: int = 0,
        cached_tokens: int = 0,
        certainty: Certainty | None = None,
    ) -> Step:
        """The step as read so far; `certainty` may be of tokens behind its end too."""
        text = self._prompt.decode(self.ids)
        return finished_step(
            self._prompt,
            self._prefix,
            text,
            tuple(self.ids),
            self._finish,
            thinking=self._thinking(text),
            prompt_tokens=prompt_tokens,
            cached_tokens=cached_tokens,
            certainty=None if certainty is None else certainty.first(len(self.ids)),
            dropped_tokens=self.dropped,
        )

    def _thinking(self, text: str) -> int:
        return 0 if self._thoughts is None else self._thoughts.length(text)

    def _end(self, finish: Finish) -> bool:
        self._finish = finish
        self.done = True
        return True


class StepWatch:
    """Says when an engine has sampled enough of a step, where it does not stop by itself."""

    def __init__(self, prompt: PolicyPrompt, prefix: Prefix, max_tokens: int) -> None:
        self._reader = StepReader(prompt, prefix, max_tokens)
        self._read = 0

    def sees(self, ids: Sequence[int]) -> bool:
        """Whether these, all that has been sampled so far, hold the step's end.

        A pattern that is given up is an end too: whoever reads the step raises that.
        """
        try:
            while self._read < len(ids) and not self._reader.done:
                self._read += 1
                self._reader.push(ids[self._read - 1])
        except EngineError:
            return True
        return self._reader.done


def read_step(
    prompt: PolicyPrompt,
    ids: Sequence[int],
    prefix: Prefix,
    max_tokens: int,
    *,
    prompt_tokens: int = 0,
    cached_tokens: int = 0,
    certainty: Certainty | None = None,
) -> Step:
    """The step that an engine's output ids make, for backends whose engine stops by itself.

    `ids` may end with an end-of-sequence id; `certainty` is of as many tokens. Ids after the place
    where the step ends are dropped, and counted. An output that stops short of its limit without
    any reason seen in the ids was ended by the engine: `end`.
    """
    reader = StepReader(prompt, prefix, max_tokens)
    read = 0
    for read, token in enumerate(ids, 1):  # noqa: B007
        if reader.push(token):
            break
    step = reader.step(
        prompt_tokens=prompt_tokens, cached_tokens=cached_tokens, certainty=certainty
    )
    behind = sum(token not in prompt.end_ids for token in ids[read:])
    return replace(step, dropped_tokens=step.dropped_tokens + behind) if behind else step


def finished_step(
    prompt: PolicyPrompt,
    prefix: Prefix,
    text: str,
    ids: tuple[int, ...],
    finish: Finish,
    *,
    thinking: int,
    prompt_tokens: int,
    cached_tokens: int,
    certainty: Certainty | None = None,
    dropped_tokens: int = 0,
) -> Step:
    """A step whose end is known, and that ends its solution if it holds an answer.

    One that is no paragraph holds it with what its paragraph held before.
    """
    said = text[thinking:]
    if prompt.rule.kind != "delimiter":
        said = begun_paragraph(prefix, prompt.options.delimiter) + said
    cut = finish in ("length", "context") or (finish == "step" and prompt.rule.cuts_words)
    answered = finish == "answer" or holds_answer(said, prompt.answer_markers, cut=cut)
    return Step(
        text=text,
        token_ids=ids,
        finish="answer" if answered else finish,
        prompt_tokens=prompt_tokens,
        cached_tokens=cached_tokens,
        thinking=thinking,
        certainty=certainty,
        dropped_tokens=dropped_tokens,
    )
