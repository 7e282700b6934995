"""Policies that think before they answer: a block of thoughts between two tags, then the answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from ets.answer.thoughts import PAIRS, Tags, behind_thoughts
from ets.errors import InputError
from ets.step import Prefix

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

ThinkingStep: TypeAlias = Literal["tokens", "paragraphs"]
MAX_STEP_TOKENS, MAX_TOKENS, MAX_DEPTH = 512, 32768, 128
"""What a search allows such a policy unless told otherwise: the cards of DeepSeek-R1 and of Qwen3
evaluate at 32,768 tokens; in steps of 512 that is half of the depth, the rest is for the answer."""


@dataclass(frozen=True, slots=True)
class Thinking:
    """How a policy thinks, and where in its text it does."""

    open: str
    close: str
    opened: bool
    """Whether the prompt ends inside the block; else the policy writes `open` first."""
    special_ids: frozenset[int]
    """Those of the tags that are special tokens, which decoding would leave out."""

    @classmethod
    def find(
        cls,
        tokenizer: PreTrainedTokenizerBase,
        wanted: bool | Tags | None,
        *,
        template: str | None,
        behind: str,
    ) -> Thinking | None:
        """How a policy with this tokenizer thinks; None where it does not.

        `wanted` is the option `thinking`, `template` the chat template, `behind` what the prompt
        holds behind the problem. Unless told, it is seen by tags that the prompt leaves open, that
        the template speaks of or, without a template, that the vocabulary holds. A prompt in which
        the block is closed already leaves nothing to think.
        """
        if wanted is False:
            return None
        if isinstance(wanted, tuple):
            tags: Tags | None = wanted
        else:
            known = _vocabulary(tokenizer) if template is None else template
            tags = next((p for p in PAIRS if _last(behind, p) is not None or p[1] in known), None)
            if tags is None and wanted:
                tags = PAIRS[0]
        if tags is None or _last(behind, tags) == tags[1]:
            return None
        added = tokenizer.added_tokens_decoder
        special = frozenset(i for i, t in added.items() if t.special and t.content in tags)
        return cls(*tags, opened=_last(behind, tags) == tags[0], special_ids=special)

    def answer_of(self, solution: str) -> str | None:
        """What of a whole solution stands behind the thoughts; None where they do not end."""
        return behind_thoughts(solution, (self.open, self.close), opened=self.opened)

    def behind(self, prefix: Prefix) -> Thoughts | None:
        """What of the step behind a partial solution is thought; None where nothing can be."""
        before = "".join(step.text for step in prefix.steps)
        begun = before.lstrip()
        could_open = begun.startswith(self.open) or self.open.startswith(begun)
        if self.close in before or not (self.opened or could_open):
            return None
        return Thoughts(self, before)


@dataclass(frozen=True, slots=True)
class Thoughts:
    """A place where a policy thinks, or may begin to."""

    how: Thinking
    before: str
    """What it has written; a tag may stand across its end."""

    def length(self, text: str) -> int:
        """The characters at the beginning of a step's text that are thought, tags included."""
        whole = self.before + text
        if not self.how.opened and not whole.lstrip().startswith(self.how.open):
            return 0
        at = whole.find(self.how.close)
        return len(text) if at < 0 else at + len(self.how.close) - len(self.before)

    def may_begin(self, text: str) -> bool:
        """Whether a step's text, as far as it goes, can still become the tag that opens them."""
        begun = (self.before + text).lstrip()
        return (
            not self.how.opened
            and len(begun) < len(self.how.open)
            and (self.how.open.startswith(begun))
        )


def check_thinking(wanted: object) -> bool | Tags | None:
    """The option `thinking`: None, a bool, or the two tags.

    # Errors
    `InputError` for anything else.
    """
    if wanted is None or isinstance(wanted, bool):
        return wanted
    if isinstance(wanted, Sequence) and not isinstance(wanted, str) and len(wanted) == 2:
        first, second = wanted
        if isinstance(first, str) and isinstance(second, str) and first and second:
            return first, second
    raise InputError(
        f"thinking must be true, false, or the two tags around the thoughts, got {wanted!r}"
    )


def _last(text: str, tags: Tags) -> str | None:
    """The tag that comes last in a text."""
    places = {tag: text.rfind(tag) for tag in tags}
    tag = max(tags, key=lambda t: places[t])
    return tag if places[tag] >= 0 else None


def _vocabulary(tokenizer: PreTrainedTokenizerBase) -> str:
    return " ".join(token.content for token in tokenizer.added_tokens_decoder.values())
