"""Tiny checkpoints made from seeds: a Llama policy and a Qwen2 PRM, with one tokenizer.

Real architectures in the standard file formats (head size 32, so that vLLM takes them too);
their weights are random, wide enough that the outputs are far from uniform.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2Model,
)

TEMPLATE = (
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
SPECIALS = ["<|end|>", "<|system|>", "<|user|>", "<|assistant|>", "<extra_0>", "<|unk|>"]
WORDS = (
    "Tom",
    "Ann",
    "has",
    "had",
    "buys",
    "gives",
    "apples",
    "pears",
    "more",
    "left",
    "then",
    "so",
    "now",
    "the",
    "The",
    "answer",
    "is",
    "boxes",
    "each",
    "total",
    "and",
    "Step",
    "How",
    "many",
    "does",
    "have",
)


def make_tokenizer(folder: str | Path) -> PreTrainedTokenizerFast:
    """A word-level tokenizer: words with their leading space, characters, the blank line."""
    tokens = [*SPECIALS, "\n\n", ".\n\n", "\n", " ", *(chr(c) for c in range(33, 127))]
    tokens += [lead + word for word in WORDS for lead in ("", " ")] + [f" {n}" for n in range(10)]
    vocab = {token: i for i, token in enumerate(dict.fromkeys(tokens))}
    words = "|".join(sorted(WORDS, key=len, reverse=True))
    tokenizer = Tokenizer(models.WordLevel(vocab, unk_token="<|unk|>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(
        Regex(rf"\.\n\n|\n\n| ?(?:{words})\b| [0-9]|[\s\S]"), behavior="isolated"
    )
    tokenizer.decoder = decoders.Fuse()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|end|>",
        pad_token="<|end|>",
        unk_token="<|unk|>",
        additional_special_tokens=SPECIALS[1:5],
        clean_up_tokenization_spaces=False,
    )
    fast.chat_template = TEMPLATE
    fast.save_pretrained(str(folder))
    # Written as older releases do: the name that `AutoTokenizer` must not override.
    path = Path(folder) / "tokenizer_config.json"
    config = json.loads(path.read_text())
    config["tokenizer_class"] = "PreTrainedTokenizerFast"
    path.write_text(json.dumps(config))
    return fast


def make_llama_policy(folder: str | Path, *, seed: int = 0, context: int = 512) -> Path:
    """A `LlamaForCausalLM` of 2 layers."""
    tokenizer = make_tokenizer(folder)
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=32,
        max_position_embeddings=context,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        tie_word_embeddings=False,
        initializer_range=0.2,
    )
    model = LlamaForCausalLM(config).to(torch.float32)
    with torch.no_grad():  # make steps short enough to end within a test
        for token in ("\n\n", ".\n\n"):
            model.lm_head.weight[tokenizer.convert_tokens_to_ids(token)] *= 1.5
    model.save_pretrained(str(folder))
    return Path(folder)


def make_qwen2_prm(
    folder: str | Path, *, seed: int = 0, context: int = 512, shards: int = 1
) -> Path:
    """A `Qwen2ForProcessRewardModel` of 2 layers, under the weight names of Qwen2.5-Math-PRM."""
    folder = Path(folder)
    tokenizer = make_tokenizer(folder)
    torch.manual_seed(seed)
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=context,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        tie_word_embeddings=False,
        initializer_range=0.2,
    )
    model = Qwen2Model(config).to(torch.float32)
    weights = {f"model.{name}": w.contiguous() for name, w in model.state_dict().items()}
    for name, shape in (
        ("score.0.weight", (64, 64)),
        ("score.0.bias", (64,)),
        ("score.2.weight", (2, 64)),
        ("score.2.bias", (2,)),
    ):
        weights[name] = torch.randn(shape) * 0.2
    config.architectures = ["Qwen2ForProcessRewardModel"]
    config.num_labels = 2
    config.dtype = torch.float32
    config.save_pretrained(str(folder))
    names = sorted(weights)
    if shards == 1:
        save_file(weights, str(folder / "model.safetensors"), metadata={"format": "pt"})
        return folder
    index = {name: f"model-{i % shards:05d}.safetensors" for i, name in enumerate(names)}
    for file in set(index.values()):
        part = {name: weights[name] for name in names if index[name] == file}
        save_file(part, str(folder / file), metadata={"format": "pt"})
    (folder / "model.safetensors.index.json").write_text(
        json.dumps({"metadata": {}, "weight_map": index})
    )
    return folder
