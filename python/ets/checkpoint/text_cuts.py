"""Where any text may be cut, and encoded in two, without another id."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tokenizers import AddedToken, Tokenizer

_LOCAL = ("Prepend", "Replace", "Metaspace")
"""Normalizers and pre-tokenizers that SentencePiece models have; none looks past a line break."""


def line_breaks_stand_alone(known: Tokenizer, unknown: int | None) -> bool:
    """Whether no token but the line break's own holds one, so that no merge crosses it.

    A pre-tokenizer that looks at its neighbours must not be there.
    """
    if type(known.model).__name__ != "BPE" or getattr(known.model, "dropout", None):
        return False
    kinds = (*_kinds(known.normalizer, "normalizers"), *_kinds(known.pre_tokenizer, ""))
    if not all(kind in _LOCAL for kind in kinds):
        return False
    breaks = ("\n", "<0x0A>")
    if any(mark in word and mark != word for word in known.get_vocab() for mark in breaks):
        return False
    ids = known.encode("a\n\nb", add_special_tokens=False).ids
    return len(ids) >= 4 and ids[-3] == ids[-2] and ids[-2] != unknown


def tokens_stand_alone(tokens: Iterable[AddedToken], added: Iterable[AddedToken]) -> bool:
    """Whether the tokenizer cuts around `tokens` itself, wherever they stand in a text.

    It does not where another of the `added` tokens could reach over the place, or one takes the
    white space beside it.
    """
    others = [token.content for token in added]
    return not any(
        (token.lstrip or token.rstrip or token.single_word or token.normalized)
        or any(
            token.content[0] in other[1:]
            or (other != token.content and other.startswith(token.content))
            for other in others
        )
        for token in tokens
    )


def _kinds(part: Any, parts: str) -> list[str]:
    """What a normalizer or a pre-tokenizer consists of, by the names of the kinds."""
    if part is None:
        return []
    told = json.loads(part.__getstate__())
    return [one["type"] for one in told.get(parts, [told])]
