"""The configs of public models as facts: what decides what they weigh and cache.

`parameters` is what the model itself states (the total of its safetensors), None where it is not
known to us: then the figures are those of the model that it was trained from.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Facts:
    """One model."""

    name: str
    kind: str
    layers: int
    hidden: int
    feed_forward: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    tied: bool
    context: int
    parameters: int | None
    architecture: str = ""

    @property
    def writes(self) -> bool:
        return not self.architecture

    def config(self) -> dict[str, Any]:
        lm = {"qwen2": "Qwen2", "qwen3": "Qwen3", "llama": "Llama", "mistral": "Mistral"}
        config = {
            "architectures": [self.architecture or f"{lm[self.kind]}ForCausalLM"],
            "model_type": self.kind,
            "num_hidden_layers": self.layers,
            "hidden_size": self.hidden,
            "intermediate_size": self.feed_forward,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.kv_heads,
            "vocab_size": self.vocabulary,
            "tie_word_embeddings": self.tied,
            "max_position_embeddings": self.context,
            "dtype": "bfloat16",
        }
        if self.hidden // self.heads != self.head_dim or self.kind == "qwen3":
            config["head_dim"] = self.head_dim
        if self.kind == "mistral":
            config["sliding_window"] = None
        return config

    def write(self, folder: Path) -> Path:
        path = folder / self.name
        path.mkdir(parents=True, exist_ok=True)
        (path / "config.json").write_text(json.dumps(self.config()))
        return path

    def plain_count(self) -> int:
        """The parameters by the book, without any library."""
        bias = self.kind == "qwen2"
        width, cached = self.heads * self.head_dim, self.kv_heads * self.head_dim
        attention = 2 * self.hidden * width + 2 * self.hidden * cached
        attention += (width + 2 * cached) if bias else 0
        attention += 2 * self.head_dim if self.kind == "qwen3" else 0
        layer = attention + 3 * self.hidden * self.feed_forward + 2 * self.hidden
        embedding = self.vocabulary * self.hidden
        whole = self.layers * layer + embedding + self.hidden
        if self.writes:
            return whole + (0 if self.tied else embedding)
        if self.architecture == "Qwen2ForProcessRewardModel":
            return whole + self.hidden**2 + self.hidden + 2 * self.hidden + 2
        return whole


_QWEN_SMALL = (28, 1536, 8960, 12, 2, 128, 151936)
_QWEN_LARGE = (28, 3584, 18944, 28, 4, 128, 152064)
_LLAMA_8B = (32, 4096, 14336, 32, 8, 128, 128256)

MODELS = (
    Facts("Qwen2.5-Math-1.5B-Instruct", "qwen2", *_QWEN_SMALL, True, 4096, 1_543_714_304),
    Facts("Qwen2.5-Math-7B-Instruct", "qwen2", *_QWEN_LARGE, False, 4096, 7_615_616_512),
    Facts("Llama-3.2-1B-Instruct", "llama", 16, 2048, 8192, 32, 8, 64, 128256, True, 131072,
          1_235_814_400),
    Facts("Llama-3.2-3B-Instruct", "llama", 28, 3072, 8192, 24, 8, 128, 128256, True, 131072,
          3_212_749_824),
    Facts("Llama-3.1-8B-Instruct", "llama", *_LLAMA_8B, False, 131072, 8_030_261_248),
    Facts("Qwen3-1.7B", "qwen3", 28, 2048, 6144, 16, 8, 128, 151936, True, 40960, 1_720_574_976),
    Facts("Qwen3-8B", "qwen3", 36, 4096, 12288, 32, 8, 128, 151936, False, 40960, 8_190_735_360),
    Facts("DeepSeek-R1-Distill-Qwen-1.5B", "qwen2", *_QWEN_SMALL, False, 131072, 1_777_088_000),
    Facts("DeepSeek-R1-Distill-Qwen-7B", "qwen2", *_QWEN_LARGE, False, 131072, 7_615_616_512),
    Facts("Qwen2.5-Math-PRM-7B", "qwen2", *_QWEN_LARGE, False, 4096, None,
          "Qwen2ForProcessRewardModel"),
    Facts("Skywork-o1-Open-PRM-Qwen-2.5-1.5B", "qwen2", *_QWEN_SMALL, True, 4096, None,
          "Qwen2ForPrmModel"),
    Facts("Skywork-o1-Open-PRM-Qwen-2.5-7B", "qwen2", *_QWEN_LARGE, False, 4096, None,
          "Qwen2ForPrmModel"),
    Facts("math-shepherd-mistral-7b-prm", "mistral", 32, 4096, 14336, 32, 8, 128, 32000, False,
          32768, 7_241_732_096),
    Facts("Llama3.1-8B-PRM-Deepseek-Data", "llama", *_LLAMA_8B, False, 131072, None),
)  # fmt: skip
BY_NAME = {facts.name: facts for facts in MODELS}
