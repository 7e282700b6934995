"""Where an engine that sees ids, or the text of ids, has to stop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ets.policy.base import PolicyOptions

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_MOST_DELIMITER_IDS = 64
"""An engine goes through the ids of a request, a list, at every token that it samples. Vocabularies
are numbered by how common their tokens are, so the lowest ids end nearly every step."""
_AROUND = (("a", "b"), ("end.", "Then"), ("12", "3"), ("x)", "- y"), ("=", "$"), ("done", " so"))
"""What may stand before and after a delimiter."""


@dataclass(frozen=True, slots=True)
class EngineStops:
    """What to tell an engine; an id stops it at once, a text a token or two late."""

    ids: tuple[int, ...]
    """Ascending: those that end the sequence and, where `texts` is empty, the commonest of those
    that end a step. At a rare one the engine runs on; whoever reads the ids ends the step there."""
    texts: tuple[str, ...]
    """The delimiter and further stop texts, where ids do not tell the end of a step."""

    @classmethod
    def of(
        cls, tokenizer: PreTrainedTokenizerBase, options: PolicyOptions, end_ids: frozenset[int]
    ) -> EngineStops:
        """By ids where that is possible: without further stop texts, and if `delimiter_ids` can."""
        ending = None if options.stop else delimiter_ids(tokenizer, options.delimiter)
        if ending is None:
            return cls(tuple(sorted(end_ids)), (options.delimiter, *options.stop))
        commonest = sorted(ending)[:_MOST_DELIMITER_IDS]
        return cls(tuple(sorted(end_ids.union(commonest))), ())


def delimiter_ids(tokenizer: PreTrainedTokenizerBase, delimiter: str) -> frozenset[int] | None:
    """The tokens that hold the delimiter, if those alone show where a step ends.

    None where they do not, for a tokenizer that writes the delimiter as several tokens: one of
    GPT-2's form has one for each line break before a word. Where they do, a model can still put a
    delimiter together from parts; whoever reads the ids ends the step there. Reads the whole
    vocabulary: a second for one of 150 thousand tokens.
    """
    texts = tokenizer.batch_decode(
        [[i] for i in range(len(tokenizer))],
        skip_special_tokens=True,
        clean_up_tokenization_spaces=False,
    )
    holding = frozenset(i for i, text in enumerate(texts) if delimiter in text)
    for before, after in _AROUND:
        text = f"{before}{delimiter}{after}"
        if holding.isdisjoint(tokenizer.encode(text, add_special_tokens=False)):
            return None
    return holding
