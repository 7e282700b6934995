"""Rows of keys and values, one a sequence, each at its own length, for models in this process.

Row r keeps token t's keys and values at slot t, so rows of any lengths sit side by side without
left padding, rows come and go while others decode, and a row's state can be stored and loaded.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ets.engines.local.options import LocalOptions
from ets.engines.local.prefix_cache import PrefixCache, Segment

SPAN = 64
"""Attention reads a multiple of this many slots: few shapes, and sums in the same order."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """Token ids and the places at which their state is worth keeping."""

    ids: tuple[int, ...]
    cuts: tuple[int, ...]


class KVRows(ABC):
    """The rows of a decoder-only transformer, and the states of recent prefixes.

    A subclass has the model, and makes arrays of its library's: layers x 2 x rows x heads x slots x
    head size. Not safe for use from several threads at once.
    """

    def __init__(self, limits: LocalOptions) -> None:
        self.max_rows = limits.max_batch
        self.prefixes: PrefixCache[Any] = PrefixCache(limits.cache_tokens)
        self._forget = threading.Event()
        self._data = self._allocate(1, 1)

    @abstractmethod
    def forward(self, ids: Sequence[Sequence[int]], starts: Sequence[int], *, first: int) -> Any:
        """Run rows `first`, `first + 1`, ...: `ids[i]` after the `starts[i]` tokens in its row.

        Returns a backbone's hidden state at each row's last token; of a causal LM the logits at the
        last column, since they are wanted of one-token rows only.
        Rows are padded on the right; what padding writes lies behind the row's end, where nobody
        looks before it is overwritten.
        """

    @abstractmethod
    def draw(
        self, logits: Any, uniforms: Sequence[float], *, temperature: float, top_p: float
    ) -> list[int]:
        """One token a row: the inverse of the cumulative distribution at its number in [0, 1).

        In float64, tokens in the order of their ids, so that a row's token hangs on its own logits
        and number only. Temperature 0 takes the most likely token, the first of equals.
        `top_p` keeps the likeliest tokens up to the one that reaches that share.

        # Errors
        `ValueError` if a row's logits are not numbers.
        """

    @abstractmethod
    def logprobs(
        self, logits: Any, tokens: Sequence[int], top: int
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The log-probabilities of each row's token, [rows], and of its `top` likeliest, [rows, k],
        k being `top` or the vocabulary's size; at temperature 1.
        """

    def computing(self) -> AbstractContextManager[Any]:
        """What the worker thread computes in, for libraries with modes of a thread."""
        return nullcontext()

    @abstractmethod
    def _allocate(self, rows: int, span: int) -> Any:
        """Zeros, since attention multiplies masked slots by 0, which a stray NaN would survive."""

    @abstractmethod
    def _copied(self, view: Any) -> Any:
        """A copy of a part of the data."""

    def forget_prefixes(self) -> None:
        """Have what is asked from now on begin with no prefix known, once what was asked before is
        done; safe in any thread."""
        self._forget.set()

    def begin(self) -> None:
        """To be called where nobody holds a segment, behind the taking of requests: what was asked
        after `forget_prefixes` then finds nothing."""
        if self._forget.is_set():
            self._forget.clear()
            self.prefixes = PrefixCache(self.prefixes.max_tokens)

    def reserve(self, rows: int, span: int) -> None:
        """Make room for `rows` rows of `span` tokens, keeping what is there."""
        have_rows, have_span = self._data.shape[2], self._data.shape[4]
        if rows <= have_rows and span <= have_span:
            return
        if span > have_span:  # twice as much, so that a growing row is copied seldom
            span = -(-max(span, min(2 * have_span, span + 512)) // SPAN) * SPAN
        grown = self._allocate(max(rows, have_rows), max(span, have_span))
        grown[:, :, :have_rows, :, :have_span] = self._data
        self._data = grown

    def extend(self, sequences: Sequence[Tokens], *, first: int) -> tuple[Any, list[int]]:
        """Compute the sequences in rows from `first` on, taking known prefixes from the cache.

        Their new segments are added to `prefixes` (the caller trims). Returns the outputs as
        `forward` does, and how many tokens were known; the last token never is.
        """
        paths = [
            self.prefixes.find(seq.ids, [c for c in seq.cuts if c < len(seq.ids)])
            for seq in sequences
        ]
        known = [sum(len(s.ids) for s in path) for path in paths]
        new = [seq.ids[k:] for seq, k in zip(sequences, known, strict=True)]
        width = max(k + len(ids) for k, ids in zip(known, new, strict=True))
        self.reserve(first + len(sequences), width)
        for row, path in enumerate(paths, first):
            self.load(row, path)
        outputs = self.forward(new, known, first=first)
        for row, (seq, path, start) in enumerate(zip(sequences, paths, known, strict=True), first):
            parent = path[-1] if path else None
            for cut in seq.cuts:
                if cut > start:
                    parent = self.store(row, parent, seq.ids, start, cut)
                    start = cut
        return outputs, known

    def load(self, row: int, path: Sequence[Segment[Any]]) -> int:
        """Copy a known path into a row; returns its tokens."""
        start = 0
        for segment in path:
            stop = start + len(segment.ids)
            self._data[:, :, row, :, start:stop] = segment.data
            start = stop
        return start

    def store(
        self,
        row: int,
        parent: Segment[Any] | None,
        ids: Sequence[int],
        start: int,
        stop: int,
    ) -> Segment[Any]:
        """Keep a row's state of tokens `start` to `stop` as a segment below `parent`."""
        data = self._copied(self._data[:, :, row, :, start:stop])
        return self.prefixes.add(parent, ids[start:stop], data)

    def move(self, source: int, target: int, length: int) -> None:
        """Copy the first `length` tokens of one row to another."""
        self._data[:, :, target, :, :length] = self._data[:, :, source, :, :length]


def chunks(widths: Sequence[int], *, max_rows: int, max_tokens: int) -> list[list[int]]:
    """Split rows of these widths into passes of at most `max_tokens` padded tokens.

    Like widths go together, so that little is padding; a single wider row goes alone.
    """
    passes: list[list[int]] = []
    for i in sorted(range(len(widths)), key=lambda i: -widths[i]):
        # The first row of a pass is its widest.
        if passes and len(passes[-1]) < min(max_rows, max_tokens // widths[passes[-1][0]]):
            passes[-1].append(i)
        else:
            passes.append([i])
    return passes
