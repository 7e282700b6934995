"""Llama and Qwen2 in numpy, as `transformers` computes them.

Touvron et al., arXiv 2302.13971; rotary positions as Su et al., arXiv 2104.09864, halves rotated;
grouped keys and values as Ainslie et al., arXiv 2305.13245. Norms and angles are computed in
float32, whatever the precision of the rest, since that is what `transformers` does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ets.engines.bundled.blas import ONE_THREAD
from ets.errors import EngineError

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.int64]

_ARCHITECTURES = ("LlamaForCausalLM", "Qwen2ForProcessRewardModel")
_PLAIN = {"hidden_act": "silu", "mlp_bias": False, "use_sliding_window": False}
"""What a config may say, if it speaks of it at all."""


@dataclass(frozen=True, slots=True)
class _Layer:
    """The weights of one layer, inputs x outputs; what reads the same input stands side by side."""

    norm: Floats
    qkv: Floats
    qkv_bias: Floats | None
    out: Floats
    mlp_norm: Floats
    gate_up: Floats
    down: Floats


class Transformer:
    """A decoder-only transformer without its head, in float32 or float64.

    # Errors
    `EngineError` for an architecture that is not one of the bundled ones, and for lacking weights.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        tensors: Mapping[str, NDArray[np.float32]],
        dtype: type[np.float32 | np.float64],
    ) -> None:
        wrong = [key for key, value in _PLAIN.items() if config.get(key, value) != value]
        if config["architectures"][0] not in _ARCHITECTURES or wrong or "rope_scaling" in config:
            raise EngineError(
                f"the bundled engine runs {' and '.join(_ARCHITECTURES)} in their plain form, got "
                f"{config['architectures'][0]} with another {(*wrong, 'class or rope_scaling')[0]}"
            )
        self.dtype = dtype
        self.layers: int = config["num_hidden_layers"]
        self.heads: int = config["num_attention_heads"]
        self.kv_heads: int = config["num_key_value_heads"]
        self.head_size: int = config["head_dim"]
        self.hidden_size: int = config["hidden_size"]
        self._eps = np.float32(config["rms_norm_eps"])
        halves = np.arange(0, self.head_size, 2, dtype=np.float32) / np.float32(self.head_size)
        self._turns = (1.0 / np.float32(config["rope_theta"]) ** halves).astype(np.float32)
        self._scale = dtype(self.head_size**-0.5)

        def weight(name: str) -> Floats:
            if name not in tensors:
                raise EngineError(f"the weights lack {name}")
            return tensors[name].astype(dtype)

        def side_by_side(*names: str) -> Floats:
            return np.ascontiguousarray(np.concatenate([weight(name) for name in names]).T)

        self.embedding = weight("model.embed_tokens.weight")
        """Ids x hidden size."""
        self._norm = weight("model.norm.weight")
        self._layers: list[_Layer] = []
        for i in range(self.layers):
            at = f"model.layers.{i}."
            qkv = [f"{at}self_attn.{part}_proj" for part in "qkv"]
            biased = f"{qkv[0]}.bias" in tensors
            self._layers.append(
                _Layer(
                    norm=weight(f"{at}input_layernorm.weight"),
                    qkv=side_by_side(*(f"{name}.weight" for name in qkv)),
                    qkv_bias=np.concatenate([weight(f"{name}.bias") for name in qkv])
                    if biased
                    else None,
                    out=side_by_side(f"{at}self_attn.o_proj.weight"),
                    mlp_norm=weight(f"{at}post_attention_layernorm.weight"),
                    gate_up=side_by_side(f"{at}mlp.gate_proj.weight", f"{at}mlp.up_proj.weight"),
                    down=side_by_side(f"{at}mlp.down_proj.weight"),
                )
            )

    def states(self, tokens: Ints, positions: Ints, kv: Floats) -> Floats:
        """The hidden states of tokens after the final norm: rows x tokens x hidden size.

        tokens and positions are rows x tokens. kv is layers x 2 x rows x KV heads x slots x head
        size; the keys and values of the tokens are written at the slots of their positions, and a
        token attends to the slots up to its own.
        """
        rows, width = tokens.shape
        span = kv.shape[-2]
        angles = positions[:, :, None].astype(np.float32) * self._turns
        angles = np.concatenate([angles, angles], axis=-1)[:, :, None, :]
        # Rounded once, so that they are those of torch but for the rare last bit.
        wide = angles.astype(np.float64)
        cos, sin = (f(wide).astype(np.float32).astype(self.dtype) for f in (np.cos, np.sin))
        hidden = np.arange(span) > positions[:, :, None]
        # Rows x 1 x (queries of a group x tokens) x slots.
        group = self.heads // self.kv_heads
        behind = np.where(hidden, self.dtype(-np.inf), self.dtype(0))
        behind = np.broadcast_to(behind[:, None], (rows, group, width, span))
        behind = behind.reshape(rows, 1, group * width, span)
        at = np.arange(rows)[:, None]
        x = self.embedding[tokens]
        for layer, (keys, values) in zip(self._layers, kv, strict=True):
            mixed = _times(_normed(x, layer.norm, self._eps), layer.qkv)
            if layer.qkv_bias is not None:
                mixed += layer.qkv_bias
            heads = mixed.reshape(rows, width, -1, self.head_size)
            turned = _turned(heads[:, :, : self.heads + self.kv_heads], cos, sin)
            keys[at, :, positions] = turned[:, :, self.heads :]
            values[at, :, positions] = heads[:, :, self.heads + self.kv_heads :]
            # Head h reads the keys and values of head h // group.
            queries = turned[:, :, : self.heads].transpose(0, 2, 1, 3)
            queries = queries.reshape(rows, self.kv_heads, group * width, self.head_size)
            scores = queries @ keys.swapaxes(-1, -2)
            scores *= self._scale
            scores += behind
            scores -= scores.max(axis=-1, keepdims=True)
            np.exp(scores, out=scores)
            scores /= scores.sum(axis=-1, keepdims=True)
            read = (scores @ values).reshape(rows, self.heads, width, self.head_size)
            x = x + _times(read.transpose(0, 2, 1, 3).reshape(rows, width, -1), layer.out)
            both = _times(_normed(x, layer.mlp_norm, self._eps), layer.gate_up)
            gate, up = np.split(both, 2, axis=-1)
            with np.errstate(over="ignore"):  # exp of a large number: the gate is shut
                gate = gate / (1 + np.exp(-gate))
            x = x + _times(gate * up, layer.down)
        return _normed(x, self._norm, self._eps)

    def means(self, rows: list[list[int]]) -> NDArray[np.float32]:
        """The mean state of each row of ids: rows x hidden size, float32; of an empty row NaN."""
        lengths = np.array([len(row) for row in rows])
        tokens = np.zeros((len(rows), max(1, int(lengths.max()))), dtype=np.int64)
        for i, row in enumerate(rows):
            tokens[i, : len(row)] = row
        positions = np.broadcast_to(np.arange(tokens.shape[1]), tokens.shape)
        with ONE_THREAD.running():
            states = self.states(tokens, positions, self.new_kv(*tokens.shape))
        states = states.astype(np.float32)
        # Padding stands on the right, where a causal model's tokens do not see it.
        total = (states * (positions < lengths[:, None])[:, :, None]).sum(axis=1)
        with np.errstate(invalid="ignore"):
            means: NDArray[np.float32] = total / lengths[:, None].astype(np.float32)
        return means

    def new_kv(self, rows: int, span: int) -> Floats:
        """Room for the keys and values of `rows` rows of `span` tokens, zeros."""
        shape = (self.layers, 2, rows, self.kv_heads, span, self.head_size)
        return np.zeros(shape, dtype=self.dtype)


def _times(x: Floats, weight: Floats) -> Floats:
    """Rows x tokens x inputs, by a weight, inputs x outputs.

    In float64 one product of all tokens, which is faster. In float32 one for each row: in one of
    all, a row's last bits depend on the other rows, and a draw can depend on those.
    """
    if x.dtype == np.float32:
        by_rows: Floats = x @ weight
        return by_rows
    return (x.reshape(-1, x.shape[-1]) @ weight).reshape(*x.shape[:-1], weight.shape[-1])


def _normed(x: Floats, weight: Floats, eps: np.float32) -> Floats:
    """RMSNorm, in float32."""
    wide = x.astype(np.float32)
    mean = _sum_of_squares(wide) / np.float32(x.shape[-1])
    wide *= 1 / np.sqrt(mean + eps)
    normed: Floats = weight * wide.astype(x.dtype)
    return normed


def _sum_of_squares(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Added in torch's order (8 lanes, 4 sums each), so that the last bits are torch's too."""
    squares = (x * x).reshape(*x.shape[:-1], -1, 4, 8)
    lanes = np.add.reduce(np.add.reduce(squares, axis=-3), axis=-2)
    total: NDArray[np.float32] = lanes[..., :1].copy()
    for lane in range(1, 8):
        total += lanes[..., lane : lane + 1]
    return total


def _turned(x: Floats, cos: Floats, sin: Floats) -> Floats:
    """Each head's vector, its halves rotated by the angles of its position."""
    first, second = np.split(x, 2, axis=-1)
    turned: Floats = x * cos + np.concatenate([-second, first], axis=-1) * sin
    return turned
