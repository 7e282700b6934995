"""An embedder of words and numbers that needs no model."""

from __future__ import annotations

import re
import unicodedata
import zlib
from collections import Counter
from functools import lru_cache, partial
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ets.errors import InputError

_TOKENS = re.compile(r"\d+(?:[.,/]\d+)*|[^\W\d_]+|[^\w\s]")
_NUMBER, _NAME, _WORD, _SIGN, _PAIR, _GRAM = 6.0, 2.0, 0.5, 0.25, 0.2, 0.15
"""Weights: which numbers a step holds says most about what it does, punctuation the least."""


_CACHED_TEXTS = 4096


class LexicalEmbedder:
    """Hashes a text's words, numbers, their neighbours and parts of words into a unit vector.

    Two texts are close if they hold the same numbers, names and words; it knows no synonyms. The
    same on every platform and in every process. A text without words gets one fixed vector.
    """

    def __init__(self, *, dim: int = 256) -> None:
        if not isinstance(dim, int) or isinstance(dim, bool) or dim < 2:
            raise InputError(f"dim must be an integer of at least 2, got {dim!r}")
        self.dim = dim
        # Samples of one step often read alike.
        self._vector = lru_cache(maxsize=_CACHED_TEXTS)(partial(_vector, dim))

    async def embed(self, text: str) -> NDArray[np.float32]:
        """The text's vector: float32, of length 1, read-only."""
        return self._vector(text)

    def vector(self, text: str) -> NDArray[np.float32]:
        """The same, without awaiting."""
        return self._vector(text)

    async def aclose(self) -> None:
        """Nothing to free."""


def _vector(dim: int, text: str) -> NDArray[np.float32]:
    # One axis is the text's being a text: it keeps every vector away from zero.
    vector = np.zeros(dim, dtype=np.float64)
    vector[0] = 0.1
    for feature, weight in _features(text).items():
        code = zlib.crc32(feature.encode("utf-8", "surrogatepass"))
        sign = 1.0 if code & 1 else -1.0
        vector[1 + (code >> 1) % (dim - 1)] += sign * weight
    unit: NDArray[np.float32] = (vector / np.sqrt(np.dot(vector, vector))).astype(np.float32)
    unit.flags.writeable = False
    return unit


def _features(text: str) -> dict[str, float]:
    """Features and their weights; a repeated feature counts once if it is a number or a name (how
    often a step repeats them is wording), else by the square root."""
    tokens = _TOKENS.findall(unicodedata.normalize("NFKC", text))
    counts: Counter[str] = Counter()
    weights: dict[str, float] = {}

    def note(kind: str, feature: str, weight: float) -> None:
        key = f"{kind}:{feature}"
        counts[key] += 1
        weights[key] = weight

    words = [token.lower() for token in tokens if token[0].isalnum()]
    for cased in tokens:
        token = cased.lower()
        if token[0].isdigit():
            note("number", token.replace(",", ""), _NUMBER)
        elif token[0].isalnum():
            note("word", token, _WORD)
            if cased[0].isupper() and len(cased) > 1:
                note("name", token, _NAME)
            padded = f"<{token}>"
            for i in range(len(padded) - 3):
                note("gram", padded[i : i + 4], _GRAM)
        else:
            note("sign", token, _SIGN)
    for left, right in pairwise(words):
        note("pair", f"{left} {right}", _PAIR)
    return {
        key: weights[key] * (1.0 if key.startswith(("number:", "name:")) else count**0.5)
        for key, count in counts.items()
    }
