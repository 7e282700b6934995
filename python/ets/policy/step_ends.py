"""Where steps end that are not paragraphs, in the text of one that is being written."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ets.policy.answer_end import holds_answer
from ets.step import Finish, Prefix

if TYPE_CHECKING:
    from ets.policy.prompt import PolicyPrompt

_WINDOW, _KEPT = 16, 4
"""Tokens that are decoded at once, and those of them that the next ones are decoded behind: what a
decoder makes of a token depends on the one or two before it at most."""
_BROKEN = "\ufffd"
"""What the beginning of a character of several bytes reads as."""


class StepEnds:
    """Looks for the end of the step behind a partial solution, while its text grows.

    The first to end it wins: the rule, a stop text, or the end of the paragraph in which an answer
    stands. Thoughts end as `thinking_step` says.
    """

    def __init__(self, prompt: PolicyPrompt, prefix: Prefix) -> None:
        self._prompt = prompt
        self._thoughts = prompt.thoughts(prefix)
        self._finder = prompt.rule.finder("".join(step.answer_text for step in prefix.steps))
        self._paragraph = begun_paragraph(prefix, prompt.options.delimiter)
        self._looked = 0

    def find(self, text: str) -> tuple[int, Finish] | None:
        """The characters of the step and why it ends, once the text tells.

        # Errors
        `EngineError` where a pattern takes too long.
        """
        if self._thoughts is not None and self._thoughts.may_begin(text):
            return None
        thinking = 0 if self._thoughts is None else self._thoughts.length(text)
        found: list[tuple[int, Finish]] = []
        if (stop := self._prompt.find_stop(text, thinking)) is not None:
            found.append((stop[0], "step" if stop[1] == 0 else "end"))
        if thinking == len(text):
            return min(found, default=None)
        if self._finder is not None and (end := self._finder.end(text[thinking:])) is not None:
            found.append((thinking + end, "step"))
        if (end := self._answered(text[thinking:])) is not None:
            found.append((thinking + end, "answer"))
        # Of those at one place the alphabet puts the answer first and the step last.
        return min(found, default=None)

    def _answered(self, text: str) -> int | None:
        """The end of the first paragraph that holds an answer."""
        delimiter, markers = self._prompt.options.delimiter, self._prompt.answer_markers
        whole = self._paragraph + text
        while (at := whole.find(delimiter, self._looked)) >= 0:
            self._looked = at + len(delimiter)
            if self._looked > len(self._paragraph) and holds_answer(whole[: self._looked], markers):
                return self._looked - len(self._paragraph)
        return None


class GrowingText:
    """The text of ids as they come, decoded a few at a time.

    A character whose last bytes are still to come is not in it yet.
    """

    def __init__(self, decode: Callable[[Sequence[int]], str]) -> None:
        self.text = ""
        self._decode = decode
        self._lengths: list[int] = []
        self._recent: list[int] = []
        self._known = ""

    def push(self, token: int) -> None:
        """Take the next token."""
        self._recent.append(token)
        read = self._decode(self._recent)
        if not read.endswith(_BROKEN):
            self.text += read[len(self._known) :]
            self._known = read
            if len(self._recent) > _WINDOW:
                self._recent = self._recent[-_KEPT:]
                self._known = self._decode(self._recent)
        self._lengths.append(len(self.text))

    def tokens_to(self, end: int) -> int:
        """How many tokens it takes for the first `end` characters."""
        return min(len(self._lengths), bisect_left(self._lengths, end) + 1)


def begun_paragraph(prefix: Prefix, delimiter: str) -> str:
    """What of a partial solution's answer stands behind its last delimiter."""
    return "".join(step.answer_text for step in prefix.steps).rpartition(delimiter)[2]
