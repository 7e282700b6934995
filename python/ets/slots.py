"""A decoder-only transformer with a KV cache of slots: one row a sequence, each at its own length.

Row r keeps token t's keys and values at slot t, so rows of any lengths sit side by side without
left padding, rows come and go while others decode, and a row's state can be stored and loaded.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import Cache

from ets.errors import EngineError
from ets.prefix_cache import PrefixCache, Segment

_SPAN = 64
"""Attention reads a multiple of this many slots: few shapes, and sums in the same order."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """Token ids and the places at which their state is worth keeping."""

    ids: tuple[int, ...]
    cuts: tuple[int, ...]


class _Window(Cache):
    """What the model sees: the rows of one forward pass."""

    def __init__(self, data: torch.Tensor, positions: torch.Tensor, first: int, span: int) -> None:
        super().__init__(layers=[])
        rows = torch.arange(first, first + len(positions), device=positions.device)
        self._data, self._positions, self._rows = data, positions, rows[:, None]
        self._first, self._last, self._span = first, first + len(positions), span
        self.written: set[int] = set()
        """The layers whose keys and values went through here."""

    def update(
        self,
        key_states: torch.Tensor,
        value_states: torch.Tensor,
        layer_idx: int,
        *_: Any,
        **__: Any,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        self.written.add(layer_idx)
        views = []
        for kv, new in enumerate((key_states, value_states)):
            slots = self._data[layer_idx, kv]  # rows, heads, slots, head size
            slots[self._rows, :, self._positions] = new.transpose(1, 2)
            views.append(slots[self._first : self._last, :, : self._span])
        return views[0], views[1]

    def get_seq_length(self, layer_idx: int = 0) -> int:
        return self._span - self._positions.shape[1]


class SlotModel:
    """A model, its rows of KV and the states of recent prefixes.

    `model` is a causal LM or a bare backbone; `forward` returns its logits or hidden states.
    Not safe for use from several threads at once.
    """

    def __init__(
        self, model: Any, *, max_length: int, max_rows: int, cache_tokens: int, name: str
    ) -> None:
        config = model.config.get_text_config()
        heads = config.num_attention_heads
        head_size = getattr(config, "head_dim", None) or config.hidden_size // heads
        kv_heads = getattr(config, "num_key_value_heads", None) or heads
        _refuse_windows(config, max_length, name)
        self.model = model
        self.device: torch.device = model.device
        self.max_rows = max_rows
        self.prefixes: PrefixCache[torch.Tensor] = PrefixCache(cache_tokens)
        self._forget = threading.Event()
        self._shape = (config.num_hidden_layers, 2, kv_heads, head_size)
        self._data = self._allocate(1, 1)
        self._is_lm = model.get_output_embeddings() is not None
        self._name = name
        # What `forward` does not name falls into its **kwargs, and is ignored in silence.
        named = inspect.signature(model.forward).parameters
        # Renamed after transformers 5.19; the old name goes in 5.40.
        found = [known for known in ("cache", "past_key_values") if known in named]
        lacking = [known for known in ("attention_mask", "position_ids") if known not in named]
        if lacking or not found:
            raise EngineError(
                f"{name!r} cannot run on the transformers backend: its forward takes no "
                f"{(lacking or ['cache'])[0]} (it takes {', '.join(named)}); use vllm"
            )
        self._cache_name = found[0]
        self._keeps_last = self._is_lm and "logits_to_keep" in named

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
            span = -(-max(span, min(2 * have_span, span + 512)) // _SPAN) * _SPAN
        grown = self._allocate(max(rows, have_rows), max(span, have_span))
        grown[:, :, :have_rows, :, :have_span] = self._data
        self._data = grown

    def forward(
        self, ids: Sequence[Sequence[int]], starts: Sequence[int], *, first: int
    ) -> torch.Tensor:
        """Run rows `first`, `first + 1`, ...: `ids[i]` after the `starts[i]` tokens in its row.

        Returns a backbone's hidden state at each row's last token; of a causal LM the logits at the
        last column, since they are wanted of one-token rows only.
        Rows are padded on the right; what padding writes lies behind the row's end, where nobody
        looks before it is overwritten.
        """
        widths = [len(row) for row in ids]
        width = max(widths)
        tokens = torch.zeros(len(ids), width, dtype=torch.long)
        for i, row in enumerate(ids):
            tokens[i, : len(row)] = torch.tensor(row, dtype=torch.long)
        positions = torch.tensor(list(starts))[:, None] + torch.arange(width)
        span = -(-(max(starts) + width) // _SPAN) * _SPAN
        self.reserve(first + len(ids), span)
        mask = torch.arange(span)[None, None, None, :] <= positions[:, None, :, None]
        positions = positions.to(self.device)
        window = _Window(self._data, positions, first, span)
        extra: dict[str, Any] = {"logits_to_keep": 1} if self._keeps_last else {}
        output = self.model(
            input_ids=tokens.to(self.device),
            attention_mask=mask.to(self.device),
            position_ids=positions,
            use_cache=True,
            **{self._cache_name: window},
            **extra,
        )
        if len(window.written) != len(self._data):
            raise EngineError(
                f"{self._name!r} cannot run on the transformers backend: {len(window.written)} of "
                f"its {len(self._data)} layers use the cache that they are given; use vllm"
            )
        states: torch.Tensor = output[0]
        if self._is_lm:
            return states[:, -1]
        lasts = torch.tensor(widths, device=self.device) - 1
        return states[torch.arange(len(ids), device=self.device), lasts]

    def extend(self, sequences: Sequence[Tokens], *, first: int) -> tuple[torch.Tensor, list[int]]:
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

    def load(self, row: int, path: Sequence[Segment[torch.Tensor]]) -> int:
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
        parent: Segment[torch.Tensor] | None,
        ids: Sequence[int],
        start: int,
        stop: int,
    ) -> Segment[torch.Tensor]:
        """Keep a row's state of tokens `start` to `stop` as a segment below `parent`."""
        data = self._data[:, :, row, :, start:stop].clone()
        return self.prefixes.add(parent, ids[start:stop], data)

    def move(self, source: int, target: int, length: int) -> None:
        """Copy the first `length` tokens of one row to another."""
        self._data[:, :, target, :, :length] = self._data[:, :, source, :, :length]

    def _allocate(self, rows: int, span: int) -> torch.Tensor:
        layers, two, heads, size = self._shape
        # Zeros, since attention multiplies masked slots by 0, which a stray NaN would survive.
        shape = (layers, two, rows, heads, span, size)
        return torch.zeros(shape, dtype=self.model.dtype, device=self.device)


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


def _refuse_windows(config: Any, max_length: int, name: str) -> None:
    """Slots know full attention only."""
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    window = getattr(config, "sliding_window", None)
    if kinds == {"sliding_attention", "full_attention"} or kinds == {"sliding_attention"}:
        kinds = {"full_attention"} if window and window >= max_length else kinds
    if kinds != {"full_attention"}:
        raise EngineError(
            f"{name!r} has layers of {sorted(kinds)}; the transformers backend runs full attention "
            "only (or a max_length within the attention window): use vllm"
        )
