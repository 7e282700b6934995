"""What ends a step: the option `step` of policies."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from ets.checks import shown
from ets.errors import InputError
from ets.policy.sentence_ends import SentenceEnds
from ets.policy.step_pattern import PatternEnds, StepPattern

RuleKind: TypeAlias = Literal["delimiter", "tokens", "sentences", "regex"]
_COUNT = re.compile(r"[0-9]{1,9}", re.ASCII)


class StepFinder(Protocol):
    """Looks for the end of one step while its text grows."""

    def end(self, text: str) -> int | None:
        """The characters of the step, once `text`, all of it that has been written, tells them."""
        ...


@dataclass(frozen=True, slots=True)
class StepRule:
    """What ends a step beside the solution's end and the limits."""

    kind: RuleKind = "delimiter"
    tokens: int | None = None
    """How many a step has, where they are counted."""
    pattern: StepPattern | None = None
    """What a step ends with, where that is a regular expression."""

    @classmethod
    def read(cls, said: object) -> StepRule:
        """The rule that the option says.

        # Errors
        `InputError` for what is no rule, `MissingExtraError` for a pattern where the module
        `regex`, which comes with transformers, is not there.
        """
        if isinstance(said, str):
            kind, _, text = said.partition(":")
            if said in ("delimiter", "sentences"):
                return cls("delimiter" if said == "delimiter" else "sentences")
            if kind == "tokens" and _COUNT.fullmatch(text) and int(text) > 0:
                return cls("tokens", tokens=int(text))
            if kind == "regex":
                return cls("regex", pattern=StepPattern(text))
        raise InputError(
            "step must be 'delimiter', 'tokens:N' with N of at least 1, 'sentences' or "
            f"'regex:PATTERN', got {shown(said)}"
        )

    @property
    def follows_text(self) -> bool:
        """Whether the text has to be looked at after every token."""
        return self.kind in ("sentences", "regex")

    @property
    def cuts_words(self) -> bool:
        """Whether a step may end inside a word or a number."""
        return self.kind in ("tokens", "regex")

    def finder(self, before: str) -> StepFinder | None:
        """What looks at the text of the step behind `before`; None where none need be."""
        if self.pattern is not None:
            return PatternEnds(self.pattern)
        return SentenceEnds(before) if self.kind == "sentences" else None

    def in_words(self, delimiter: str) -> str:
        """With what a step ends, for people."""
        if self.tokens is not None:
            return f"after {self.tokens} tokens"
        if self.pattern is not None:
            return f"with the first match of {self.pattern.text!r}"
        return "with a sentence" if self.kind == "sentences" else f"after {delimiter!r}"
