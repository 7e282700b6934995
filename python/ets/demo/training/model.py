"""The two networks in plain torch, with the weight names and shapes of the standard formats.

One decoder serves both: as a Llama (no biases, tied head) it is the policy, as a Qwen2 (biases on
q, k, v) with a two-class head on every token it is the PRM. Positions and the attention mask may
be given, which is what packing a tree into one sequence needs (see `packing.py`).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from ets.demo.tokenizer import CONTEXT, END, PAD, save_tokenizer, token_id, vocabulary


@dataclass(frozen=True, slots=True)
class Shape:
    """The size of a network; heads are 32 wide, which every engine supports."""

    hidden: int
    layers: int
    mlp: int
    kv_heads: int = 2
    head: int = 32

    @property
    def heads(self) -> int:
        """The number of query heads."""
        return self.hidden // self.head


POLICY_SHAPE = Shape(hidden=128, layers=4, mlp=352)
PRM_SHAPE = Shape(hidden=128, layers=6, mlp=352)
THETA = 10000.0
EPSILON = 1e-6

Cache = list[tuple[Tensor, Tensor]]


class RMSNorm(nn.Module):
    """Root-mean-square normalisation."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, (x.shape[-1],), self.weight, EPSILON)


class Attention(nn.Module):
    """Grouped-query attention with rotary positions."""

    def __init__(self, shape: Shape, bias: bool) -> None:
        super().__init__()
        self.shape = shape
        narrow = shape.kv_heads * shape.head
        self.q_proj = nn.Linear(shape.hidden, shape.hidden, bias=bias)
        self.k_proj = nn.Linear(shape.hidden, narrow, bias=bias)
        self.v_proj = nn.Linear(shape.hidden, narrow, bias=bias)
        self.o_proj = nn.Linear(shape.hidden, shape.hidden, bias=False)

    def forward(
        self, x: Tensor, rotary: tuple[Tensor, Tensor], mask: Tensor | None,
        cache: tuple[Tensor, Tensor] | None, start: int,
    ) -> Tensor:  # fmt: skip
        batch, length, _ = x.shape
        q = self._split(self.q_proj(x))
        k = self._split(self.k_proj(x))
        v = self._split(self.v_proj(x))
        q, k = _rotate(q, rotary), _rotate(k, rotary)
        if cache is not None:
            keys, values = cache
            keys[:, :, start : start + length] = k
            values[:, :, start : start + length] = v
            k, v = keys[:, :, : start + length], values[:, :, : start + length]
        groups = self.shape.heads // self.shape.kv_heads
        k, v = k.repeat_interleave(groups, 1), v.repeat_interleave(groups, 1)
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=mask is None)
        return cast(Tensor, self.o_proj(out.transpose(1, 2).reshape(batch, length, -1)))

    def _split(self, x: Tensor) -> Tensor:
        return x.view(x.shape[0], x.shape[1], -1, self.shape.head).transpose(1, 2)


class MLP(nn.Module):
    """The gated feed-forward part."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(shape.hidden, shape.mlp, bias=False)
        self.up_proj = nn.Linear(shape.hidden, shape.mlp, bias=False)
        self.down_proj = nn.Linear(shape.mlp, shape.hidden, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x)))


class Layer(nn.Module):
    """One decoder layer."""

    def __init__(self, shape: Shape, bias: bool) -> None:
        super().__init__()
        self.input_layernorm = RMSNorm(shape.hidden)
        self.self_attn = Attention(shape, bias)
        self.post_attention_layernorm = RMSNorm(shape.hidden)
        self.mlp = MLP(shape)


class Backbone(nn.Module):
    """The decoder without heads: ids to normalised hidden states."""

    def __init__(self, shape: Shape, bias: bool) -> None:
        super().__init__()
        self.shape = shape
        self.embed_tokens = nn.Embedding(len(vocabulary()), shape.hidden)
        self.layers = nn.ModuleList(Layer(shape, bias) for _ in range(shape.layers))
        self.norm = RMSNorm(shape.hidden)
        angles = torch.outer(
            torch.arange(CONTEXT), THETA ** (-torch.arange(0, shape.head, 2) / shape.head)
        ).repeat(1, 2)
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)

    def forward(
        self, ids: Tensor, positions: Tensor | None = None, mask: Tensor | None = None,
        cache: Cache | None = None, start: int = 0,
    ) -> Tensor:  # fmt: skip
        if positions is None:
            positions = torch.arange(start, start + ids.shape[1]).expand_as(ids)
        cos, sin = cast(Tensor, self.cos), cast(Tensor, self.sin)
        rotary = (cos[positions].unsqueeze(1), sin[positions].unsqueeze(1))
        x = self.embed_tokens(ids)
        for index, module in enumerate(self.layers):
            layer = cast(Layer, module)
            kept = cache[index] if cache is not None else None
            x = x + layer.self_attn(layer.input_layernorm(x), rotary, mask, kept, start)
            x = x + layer.mlp(layer.post_attention_layernorm(x))
        return cast(Tensor, self.norm(x))

    def new_cache(self, batch: int, length: int) -> Cache:
        """Make an empty key-value cache."""
        size = (batch, self.shape.kv_heads, length, self.shape.head)
        return [(torch.zeros(size), torch.zeros(size)) for _ in self.layers]


class Policy(nn.Module):
    """A `LlamaForCausalLM` with tied embeddings."""

    def __init__(self, shape: Shape = POLICY_SHAPE) -> None:
        super().__init__()
        self.model = Backbone(shape, bias=False)
        _initialise(self)

    def logits(self, hidden: Tensor) -> Tensor:
        """Next-token logits of hidden states."""
        return F.linear(hidden, self.model.embed_tokens.weight)


class PRM(nn.Module):
    """A `Qwen2ForProcessRewardModel`; `logits` and `fault` serve training only."""

    def __init__(self, shape: Shape = PRM_SHAPE) -> None:
        super().__init__()
        self.model = Backbone(shape, bias=True)
        size = shape.hidden
        self.score = nn.Sequential(nn.Linear(size, size), nn.ReLU(), nn.Linear(size, 2))
        self.fault = nn.Linear(size, 1)
        """Says whether a token is the first wrong one."""
        _initialise(self)

    def logits(self, hidden: Tensor) -> Tensor:
        """Next-token logits of hidden states."""
        return F.linear(hidden, self.model.embed_tokens.weight)

    def margin(self, hidden: Tensor) -> Tensor:
        """The log-odds that all is right so far; `sigmoid` of it is the reward."""
        scores = self.score(hidden)
        return cast(Tensor, scores[..., 1] - scores[..., 0])


def grow(prm: PRM, policy: Policy) -> None:
    """Start the PRM as the policy with more layers on top, which begin as the identity.

    What both must know (where the next event stands, the tables of arithmetic) is learnt once.
    Half of the heads of the first new layer begin by looking at the token before: there stands
    what the policy expected, which is what the token itself has to be compared with.
    """
    prm.load_state_dict({**prm.state_dict(), **policy.state_dict()})
    shape = prm.model.shape
    attention = cast(Layer, prm.model.layers[policy.model.shape.layers]).self_attn
    half = shape.head // 2
    rates = THETA ** (-torch.arange(half) / half)
    # Rotating the query's bias by one place makes it match the key's bias one place back. Only
    # the fast frequencies tell neighbours apart.
    size = 6.0 * (torch.arange(half) < 4)
    key = torch.cat((size, torch.zeros(half)))
    query = torch.cat((size * rates.cos(), -size * rates.sin()))
    with torch.no_grad():
        cast(Tensor, attention.k_proj.bias)[: shape.head] = key
        for head in range(shape.heads // shape.kv_heads):
            cast(Tensor, attention.q_proj.bias)[head * shape.head : (head + 1) * shape.head] = query
        attention.k_proj.weight[: shape.head] *= 0.1
        attention.q_proj.weight[: shape.head * shape.heads // shape.kv_heads] *= 0.1


def export(model: Policy | PRM, folder: Path) -> None:
    """Write the checkpoint as bf16 safetensors with configuration and tokenizer."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    state = {k: v for k, v in model.state_dict().items() if not k.startswith("fault")}
    weights = {k: v.to(torch.bfloat16).contiguous() for k, v in state.items()}
    save_file(weights, str(folder / "model.safetensors"), metadata={"format": "pt"})
    (folder / "model.safetensors").chmod(0o644)
    shape = model.model.shape
    config: dict[str, Any] = {
        "hidden_size": shape.hidden, "intermediate_size": shape.mlp,
        "num_hidden_layers": shape.layers, "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads, "head_dim": shape.head, "hidden_act": "silu",
        "vocab_size": len(vocabulary()), "max_position_embeddings": CONTEXT,
        "rms_norm_eps": EPSILON, "rope_theta": THETA, "torch_dtype": "bfloat16",
        "bos_token_id": None, "eos_token_id": token_id(END), "pad_token_id": token_id(PAD),
        "attention_dropout": 0.0, "initializer_range": 0.02, "use_cache": True,
        "tie_word_embeddings": True,
    }  # fmt: skip
    if isinstance(model, PRM):
        config |= {"architectures": ["Qwen2ForProcessRewardModel"], "model_type": "qwen2"}
        config |= {"num_labels": 2, "use_sliding_window": False}
    else:
        config |= {"architectures": ["LlamaForCausalLM"], "model_type": "llama"}
        config |= {"attention_bias": False, "mlp_bias": False}
        generation = {"do_sample": True, "temperature": 1.0, "eos_token_id": token_id(END),
                      "pad_token_id": token_id(PAD)}  # fmt: skip
        (folder / "generation_config.json").write_text(json.dumps(generation, indent=2) + "\n")
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    save_tokenizer(folder)


def load(folder: Path) -> Policy | PRM:
    """Read a checkpoint that `export` wrote, as float32."""
    from safetensors.torch import load_file

    config = json.loads((folder / "config.json").read_text())
    shape = Shape(
        config["hidden_size"], config["num_hidden_layers"], config["intermediate_size"],
        config["num_key_value_heads"], config["head_dim"],
    )  # fmt: skip
    model = Policy(shape) if config["model_type"] == "llama" else PRM(shape)
    weights = load_file(str(folder / "model.safetensors"))
    state = {name: weight.float() for name, weight in weights.items()}
    model.load_state_dict({**model.state_dict(), **state})
    return model.eval()


def _rotate(x: Tensor, rotary: tuple[Tensor, Tensor]) -> Tensor:
    cos, sin = rotary
    left, right = x.chunk(2, -1)
    return x * cos + torch.cat((-right, left), -1) * sin


def _initialise(model: nn.Module) -> None:
    for name, weight in model.named_parameters():
        if name.endswith("bias"):
            nn.init.zeros_(weight)
        elif name.endswith(("o_proj.weight", "down_proj.weight")):
            # Layers that start as the identity learn sooner than layers that start as noise.
            nn.init.zeros_(weight)
        elif weight.dim() == 2:
            nn.init.normal_(weight, std=0.02 if "embed" in name else weight.shape[1] ** -0.5)
