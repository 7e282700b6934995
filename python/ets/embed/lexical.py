"""An embedder of words and numbers that needs no model."""

from __future__ import annotations

import re
import unicodedata
import zlib
from collections import Counter
from functools import lru_cache, partial
from itertools import chain, pairwise

import numpy as np
from numpy.typing import NDArray

from ets.checks import shown
from ets.errors import InputError

_TOKENS = re.compile(r"\d+(?:[.,/]\d+)*|[^\W\d_]+|[^\w\s]")
_WEIGHTS = {"number": 6.0, "name": 2.0, "word": 0.5, "sign": 0.25, "pair": 0.2, "gram": 0.15}
"""Which numbers a step holds says most about what it does, punctuation the least."""

_MOST_DIM = 1 << 20
_CACHED_TEXTS = 4096
_CACHED_FEATURES = 1 << 16


class LexicalEmbedder:
    """Hashes a text's words, numbers, their neighbours and parts of words into a unit vector.

    Two texts are close if they hold the same numbers, names and words; it knows no synonyms. A
    feature that is repeated counts by the square root, a number or a name once: how often a step
    repeats those is wording. The same on every platform and in every process. A text without words
    gets one fixed vector.
    """

    def __init__(self, *, dim: int = 256) -> None:
        if not isinstance(dim, int) or isinstance(dim, bool) or dim < 2:
            raise InputError(f"dim must be an integer of at least 2, got {shown(dim)}")
        if dim > _MOST_DIM:
            raise InputError(f"dim must be at most {_MOST_DIM}, got {shown(dim)}")
        self.dim = dim
        # Samples of one step often read alike, and use few words.
        self._vector = lru_cache(_CACHED_TEXTS)(self._embed)
        self._axis = lru_cache(_CACHED_FEATURES)(partial(_axis, dim))
        self._features = lru_cache(_CACHED_FEATURES)(_features)

    async def embed(self, text: str) -> NDArray[np.float32]:
        """The text's vector: float32, of length 1, read-only."""
        return self.vector(text)

    def vector(self, text: str) -> NDArray[np.float32]:
        """The same, without awaiting.

        # Errors
        `InputError` for what is no text.
        """
        if not isinstance(text, str):
            raise InputError(f"text must be a text, got {shown(text)}")
        return self._vector(text)

    async def aclose(self) -> None:
        """Nothing to free."""

    def _embed(self, text: str) -> NDArray[np.float32]:
        tokens = _TOKENS.findall(unicodedata.normalize("NFKC", text))
        words = [token.lower() for token in tokens if token[0].isalnum()]
        features = list(chain.from_iterable(map(self._features, tokens)))
        features += [f"pair:{left} {right}" for left, right in pairwise(words)]
        # One axis is the text's being a text: it keeps every vector away from zero.
        vector = [0.1] + [0.0] * (self.dim - 1)
        for feature, count in Counter(features).items():
            axis, weight, once = self._axis(feature)
            if count > 1 and not once:
                weight *= count**0.5
            vector[axis] += weight
        exact = np.array(vector)
        unit: NDArray[np.float32] = (exact / np.sqrt(np.dot(exact, exact))).astype(np.float32)
        unit.flags.writeable = False
        return unit


def _features(cased: str) -> list[str]:
    """What one word, number or sign says: kind and text of each feature."""
    token = cased.lower()
    if token[0].isdigit():
        return [f"number:{token.replace(',', '')}"]
    if not token[0].isalnum():
        return [f"sign:{token}"]
    padded = f"<{token}>"
    name = [f"name:{token}"] if cased[0].isupper() and len(cased) > 1 else []
    grams = [f"gram:{padded[i : i + 4]}" for i in range(len(padded) - 3)]
    return [f"word:{token}", *name, *grams]


def _axis(dim: int, feature: str) -> tuple[int, float, bool]:
    """A feature's place in the vector, its signed weight, and whether it counts only once."""
    kind = feature[: feature.index(":")]
    code = zlib.crc32(feature.encode("utf-8", "surrogatepass"))
    weight = _WEIGHTS[kind] if code & 1 else -_WEIGHTS[kind]
    return 1 + (code >> 1) % (dim - 1), weight, kind in ("number", "name")
