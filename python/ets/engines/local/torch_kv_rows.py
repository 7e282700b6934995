"""A model of transformers with its rows of KV."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import Cache

from ets.engines.local.kv_rows import SPAN, KVRows
from ets.engines.local.options import LocalOptions
from ets.engines.local.sampling import draw
from ets.errors import EngineError


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


class TorchKVRows(KVRows):
    """A model, its rows of KV and the states of recent prefixes.

    `model` is a causal LM or a bare backbone; `forward` returns its logits or hidden states.
    """

    def __init__(self, model: Any, *, max_length: int, limits: LocalOptions, name: str) -> None:
        config = model.config.get_text_config()
        heads = config.num_attention_heads
        head_size = getattr(config, "head_dim", None) or config.hidden_size // heads
        kv_heads = getattr(config, "num_key_value_heads", None) or heads
        _refuse_windows(config, max_length, name)
        self.model = model
        self.device: torch.device = model.device
        self._shape = (config.num_hidden_layers, 2, kv_heads, head_size)
        super().__init__(limits)
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

    def forward(
        self, ids: Sequence[Sequence[int]], starts: Sequence[int], *, first: int
    ) -> torch.Tensor:
        """As `KVRows`."""
        widths = [len(row) for row in ids]
        width = max(widths)
        tokens = torch.zeros(len(ids), width, dtype=torch.long)
        for i, row in enumerate(ids):
            tokens[i, : len(row)] = torch.tensor(row, dtype=torch.long)
        positions = torch.tensor(list(starts))[:, None] + torch.arange(width)
        span = -(-(max(starts) + width) // SPAN) * SPAN
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

    def draw(
        self, logits: torch.Tensor, uniforms: Sequence[float], *, temperature: float, top_p: float
    ) -> list[int]:
        """As `KVRows`."""
        return draw(logits, uniforms, temperature=temperature, top_p=top_p)

    def logprobs(
        self, logits: torch.Tensor, tokens: Sequence[int], top: int
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """As `KVRows`."""
        logs = torch.log_softmax(logits.float(), dim=-1)
        picked = torch.tensor(tokens, device=logs.device)[:, None]
        mine = logs.gather(-1, picked)[:, 0].cpu().numpy()
        likeliest = logs.topk(min(top, logs.shape[-1]), dim=-1).values
        return mine, likeliest.cpu().numpy()

    def computing(self) -> AbstractContextManager[Any]:
        """Without gradients."""
        return torch.inference_mode()

    def _allocate(self, rows: int, span: int) -> torch.Tensor:
        layers, two, heads, size = self._shape
        shape = (layers, two, rows, heads, span, size)
        return torch.zeros(shape, dtype=self.model.dtype, device=self.device)

    def _copied(self, view: torch.Tensor) -> torch.Tensor:
        return view.clone()


def _refuse_windows(config: Any, max_length: int, name: str) -> None:
    """The rows of KV know full attention only."""
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    window = getattr(config, "sliding_window", None)
    if kinds == {"sliding_attention", "full_attention"} or kinds == {"sliding_attention"}:
        kinds = {"full_attention"} if window and window >= max_length else kinds
    if kinds != {"full_attention"}:
        raise EngineError(
            f"{name!r} has layers of {sorted(kinds)}; the transformers backend runs full attention "
            "only (or a max_length within the attention window): use vllm"
        )
