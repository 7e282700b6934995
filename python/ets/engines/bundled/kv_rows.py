"""The bundled transformer with its rows of KV."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ets.engines.bundled.blas import ONE_THREAD
from ets.engines.bundled.transformer import Floats, Transformer
from ets.engines.local.kv_rows import SPAN, KVRows
from ets.engines.local.options import LocalOptions


class BundledKVRows(KVRows):
    """The transformer, its rows of KV and the states of recent prefixes.

    With `lm` its head is the embedding, and `forward` returns logits.
    """

    def __init__(self, model: Transformer, *, lm: bool, limits: LocalOptions) -> None:
        self.model = model
        self._lm = lm
        super().__init__(limits)

    def forward(self, ids: Sequence[Sequence[int]], starts: Sequence[int], *, first: int) -> Floats:
        """As `KVRows`."""
        lengths = np.array([len(row) for row in ids])
        width = int(lengths.max())
        tokens = np.zeros((len(ids), width), dtype=np.int64)
        for i, row in enumerate(ids):
            tokens[i, : len(row)] = row
        positions = np.array(starts, dtype=np.int64)[:, None] + np.arange(width)
        span = -(-(max(starts) + width) // SPAN) * SPAN
        self.reserve(first + len(ids), span)
        kv = self._data[:, :, first : first + len(ids), :, :span]
        states = self.model.states(tokens, positions, kv)
        if self._lm:
            logits: Floats = states[:, -1] @ self.model.embedding.T
            return logits
        lasts: Floats = states[np.arange(len(ids)), lengths - 1]
        return lasts

    def draw(
        self, logits: Floats, uniforms: Sequence[float], *, temperature: float, top_p: float
    ) -> list[int]:
        """As `KVRows`."""
        return draw(logits, uniforms, temperature=temperature, top_p=top_p)

    def logprobs(
        self, logits: Floats, tokens: Sequence[int], top: int
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """As `KVRows`."""
        raised = logits - logits.max(axis=-1, keepdims=True)
        logs = (raised - np.log(np.exp(raised).sum(axis=-1, keepdims=True))).astype(np.float32)
        size = logs.shape[-1]
        k = min(top, size)
        likeliest = np.partition(logs, size - k, axis=-1)[:, size - k :]
        return logs[np.arange(len(logs)), list(tokens)], likeliest

    def computing(self) -> AbstractContextManager[Any]:
        """On one thread."""
        return ONE_THREAD.running()

    def _allocate(self, rows: int, span: int) -> Floats:
        return self.model.new_kv(rows, span)

    def _copied(self, view: Floats) -> Floats:
        copied: Floats = view.copy()
        return copied


def draw(
    logits: Floats, uniforms: Sequence[float], *, temperature: float, top_p: float
) -> list[int]:
    """`ets.engines.local.sampling.draw` with numpy."""
    if np.isnan(logits).any():
        raise ValueError("logits are not numbers")
    if temperature == 0:
        return [int(token) for token in logits.argmax(axis=-1)]
    scaled = logits.astype(np.float64) / temperature
    probs = np.exp(scaled - scaled.max(axis=-1, keepdims=True))
    probs /= probs.sum(axis=-1, keepdims=True)
    if top_p < 1:
        order = np.argsort(-probs, axis=-1, kind="stable")
        ranked = np.take_along_axis(probs, order, axis=-1)
        ranked[ranked.cumsum(axis=-1) - ranked >= top_p] = 0
        np.put_along_axis(probs, order, ranked, axis=-1)
    cdf = probs.cumsum(axis=-1)
    total = cdf[:, -1:]
    if not np.isfinite(total).all():
        raise ValueError("logits are not numbers")
    at = np.array(uniforms)[:, None] * total
    # Rounding may lift `at` to the total itself, behind the last token that can be drawn.
    picks = np.minimum((cdf <= at).sum(axis=-1), (cdf < total).sum(axis=-1))
    return [int(token) for token in picks]
