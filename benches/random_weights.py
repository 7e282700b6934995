"""Checkpoints without weights, of the size of models in use, for measuring cost alone.

    python benches/random_weights.py POLICY PRM TARGET

Writes TARGET/policy, of the shape of Llama-3.1-8B, and TARGET/prm, of the shape of
Qwen2.5-Math-PRM-7B, with the tokenizers of POLICY and PRM, which split text as Llama 3 and Qwen 2
do: a blank line is one token. vLLM makes up the weights with `load_format="dummy"`: the policy
writes random tokens and hardly ever ends a step, so that each step has as many tokens as it may
have.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

LLAMA_8B = {
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "tie_word_embeddings": False,
}
QWEN_7B = {
    "hidden_size": 3584,
    "intermediate_size": 18944,
    "num_hidden_layers": 28,
    "num_attention_heads": 28,
    "num_key_value_heads": 4,
    "layer_types": ["full_attention"] * 28,
}

SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""How Llama 3 splits text into words."""


def reshape(source: Path, target: Path, shape: dict[str, Any]) -> None:
    """Write `source` without its weights to `target`, its configuration changed to `shape`."""
    target.mkdir(parents=True, exist_ok=True)
    for path in source.iterdir():
        if path.suffix in (".json", ".jinja") and not path.name.endswith(".index.json"):
            shutil.copy(path, target)
    tokenizer = json.loads((source / "tokenizer.json").read_text())
    tokenizer["pre_tokenizer"] = {
        "type": "Sequence",
        "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": SPLIT}, "behavior": "Isolated", "invert": False},
            {
                "type": "ByteLevel",
                "add_prefix_space": False,
                "trim_offsets": True,
                "use_regex": False,
            },
        ],
    }
    (target / "tokenizer.json").write_text(json.dumps(tokenizer))
    config = json.loads((source / "config.json").read_text())
    (target / "config.json").write_text(json.dumps({**config, **shape}, indent=1))


def main() -> None:
    """Write both."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("policy", type=Path, help="a Llama checkpoint")
    parser.add_argument("prm", type=Path, help="a Qwen2ForProcessRewardModel checkpoint")
    parser.add_argument("target", type=Path)
    options = parser.parse_args()
    reshape(options.policy, options.target / "policy", LLAMA_8B)
    reshape(options.prm, options.target / "prm", QWEN_7B)


if __name__ == "__main__":
    main()
