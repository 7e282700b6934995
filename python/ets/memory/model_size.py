"""What a model weighs and what a token of its KV cache takes, from its config; nothing is loaded.

The model's architecture is made on torch's meta device, where parameters have shapes and no
memory, so the count is that of the class itself: mixtures of experts and tied embeddings too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ets.checkpoint.source import Source
from ets.checkpoint.tokenizer import load_config
from ets.engines.local.torch_loading import need_torch
from ets.errors import EngineError

_DTYPE_BYTES = {"float64": 8, "float32": 4, "float": 4}
_HALF = 2
_LINEAR, _CHUNKED, _SLIDING = "linear_attention", "chunked_attention", "sliding_attention"
_NO_KEYS = (_LINEAR, "mamba", "conv", "recurrent")
"""Kinds of layers whose state does not grow with the tokens."""


@dataclass(frozen=True, slots=True)
class ModelSize:
    """One model as an engine holds it, on one GPU or over several."""

    parameters: int
    weight_bytes: int
    kv_bytes: int
    """Keys and values of one token, all layers."""
    kv_heads: int
    """Key heads of a layer; more GPUs than these hold copies of them."""
    hidden: int
    """Width of a hidden state."""
    widest: int
    """Width of what a token takes up inside of one feed-forward layer; over experts in use."""
    vocabulary: int
    context: int | None
    """Tokens that the checkpoint states it can read."""
    notes: tuple[str, ...] = ()
    """Where a figure is an upper bound, and why."""


def model_size(
    checkpoint: str | Source,
    *,
    writes: bool,
    dtype: str | None = None,
    kv_cache_dtype: str | None = None,
    quantization: str | None = None,
) -> ModelSize:
    """The size of a checkpoint, of which only `config.json` has to be there.

    Parameters
    ----------
    checkpoint
        A checkpoint folder, a hub name or a `Source`.
    writes
        Whether the model's language head is kept: a policy's is, a PRM's and an embedder's not.
    dtype, kv_cache_dtype, quantization
        As vLLM's options; without them half precision, as the checkpoint says it is quantised.

    # Errors
    `EngineError` for a config that cannot be read, and for an architecture that transformers does
    not know and whose weights are not there to be measured.
    """
    need_torch()
    source = Source.of(checkpoint)
    config = load_config(source)
    text = config.get_text_config()
    width = _width(dtype)
    cache_width = 1 if (kv_cache_dtype or "").startswith("fp8") else width
    notes: list[str] = []
    shapes = _shapes(config, writes=writes)
    stated = getattr(config, "quantization_config", None)
    stored = source.weights_bytes() if stated is not None or shapes is None else None
    if shapes is None and stored is None:
        raise EngineError(
            f"the size of {source.name!r} cannot be told: transformers has no class for "
            f"{', '.join(config.architectures or ()) or config.model_type!r}, and its weights are "
            "not there"
        )
    if shapes is None:
        shapes = _Shapes((stored or 0) // width, 0)
    bits = _bits(stated, quantization)
    if stored is not None:
        weights = stored
    elif bits is not None:
        weights = int(shapes.matrices * bits / 8) + shapes.others * width
        notes.append(f"quantised weights counted as {bits:g} bits each")
    else:
        weights = shapes.parameters * width
        if stated is not None or quantization is not None:
            notes.append("its quantisation is not known here: counted in full, an upper bound")
    return ModelSize(
        parameters=shapes.parameters,
        weight_bytes=weights,
        kv_bytes=_kv_bytes(text, cache_width, notes),
        kv_heads=_kv_heads(text),
        hidden=int(text.hidden_size),
        widest=_widest(text),
        vocabulary=int(text.vocab_size),
        context=getattr(text, "max_position_embeddings", None),
        notes=tuple(notes),
    )


@dataclass(frozen=True, slots=True)
class _Shapes:
    """Parameters counted by what quantisation does to them."""

    others: int
    """Embeddings, the language head, norms and biases: they stay as they are."""
    matrices: int

    @property
    def parameters(self) -> int:
        return self.others + self.matrices


def _shapes(config: Any, *, writes: bool) -> _Shapes | None:
    """Count the parameters of the config's class; None if transformers has no such class."""
    import torch
    from transformers import AutoModel, AutoModelForCausalLM

    kind: Any = AutoModelForCausalLM if writes else AutoModel
    plain = type(config).from_dict(
        {k: v for k, v in config.to_dict().items() if k not in ("quantization_config", "auto_map")}
    )
    try:
        with torch.device("meta"):
            model = kind.from_config(plain)
    except (ValueError, ImportError, AttributeError, TypeError):
        return None
    kept = {id(module.weight) for module in _embeddings(model)}
    matrices = others = 0
    for parameter in model.parameters():  # tied ones once
        if parameter.dim() >= 2 and id(parameter) not in kept:
            matrices += parameter.numel()
        else:
            others += parameter.numel()
    if "Qwen2ForProcessRewardModel" in (config.architectures or ()):
        hidden = int(config.hidden_size)
        others += hidden * hidden + hidden + 2 * hidden + 2  # its two linear layers
    return _Shapes(others, matrices)


def _embeddings(model: Any) -> list[Any]:
    """The input embedding, and the language head where there is one."""
    both = (model.get_input_embeddings(), model.get_output_embeddings())
    return [module for module in both if module is not None]


def _width(dtype: str | None) -> int:
    """Bytes of a number; `auto` and every half precision are 2, as vLLM has it on a GPU."""
    return _DTYPE_BYTES.get(str(dtype or "auto").removeprefix("torch."), _HALF)


def _bits(stated: Any, wanted: str | None) -> float | None:
    """Bits of a quantised weight, with its scales; None for one that is not, or not known."""
    if stated is None:
        return 8 if wanted == "fp8" else 4.5 if wanted == "bitsandbytes" else None
    known = stated if isinstance(stated, dict) else stated.to_dict()
    method = known.get("quant_method")
    if method in ("awq", "gptq", "awq_marlin", "gptq_marlin"):
        bits = known.get("bits") or known.get("w_bit") or 4
        group = known.get("group_size") or known.get("q_group_size") or 128
        return float(bits + (20 / group if group > 0 else 0))  # a scale of 16 bits, a zero of 4
    if method == "fp8":
        return 8
    if method == "bitsandbytes":
        return 4.5 if known.get("load_in_4bit") else 8
    if method == "mxfp4":
        return 4.25
    return None


def _kv_heads(text: Any) -> int:
    return int(getattr(text, "num_key_value_heads", None) or text.num_attention_heads)


def _kv_bytes(text: Any, width: int, notes: list[str]) -> int:
    """Bytes of one token in the KV cache, all layers that keep keys."""
    layers = int(text.num_hidden_layers)
    kinds = getattr(text, "layer_types", None) or ["full_attention"] * layers
    keeping = [kind for kind in kinds if kind not in _NO_KEYS]
    if len(keeping) < len(kinds):
        notes.append(
            f"{len(kinds) - len(keeping)} of {len(kinds)} layers keep a state for each sequence, "
            "which is not counted"
        )
    if any(kind in (_SLIDING, _CHUNKED) for kind in keeping):
        notes.append("layers with a window are counted as if they kept every token: an upper bound")
    latent = getattr(text, "kv_lora_rank", None)
    if latent:  # multi-head latent attention keeps one vector for all heads
        return len(keeping) * (int(latent) + int(text.qk_rope_head_dim)) * width
    head_dim = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    return len(keeping) * _kv_heads(text) * int(head_dim) * 2 * width


def _widest(text: Any) -> int:
    """Gate, up and their product, of a dense layer or of the experts that a token is sent to."""
    dense = int(getattr(text, "intermediate_size", None) or 4 * text.hidden_size)
    expert = getattr(text, "moe_intermediate_size", None)
    sent_to = getattr(text, "num_experts_per_tok", None) or 1
    return 3 * (int(expert) * int(sent_to) if expert else dense * int(sent_to))
