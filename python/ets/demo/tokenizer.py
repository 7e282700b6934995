"""One small lossless vocabulary for both models: whole words, whole numbers, and bytes.

A piece is a word, number or mark with the space before it, or the blank line. What is not in the
vocabulary falls back to its UTF-8 bytes, so that any text can be encoded and decoded again.
`encode` is the quick form for training; `save_tokenizer` writes the same as `tokenizer.json`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from ets.demo.chain import GAINS, ITEMS, LARGEST_NUMBER, LOSSES, NAMES
from ets.demo.wording import STEP_END, all_templates

PAD, END, USER, ASSISTANT, TAG = "<pad>", "<|end|>", "<|user|>", "<|assistant|>", "<extra_0>"
SPECIAL = (PAD, END, USER, ASSISTANT, TAG)
CONTEXT = 1024
# The system message that PRM clients send is left out: the models have never seen one.
CHAT_TEMPLATE = (
    "{%- for m in messages %}"
    "{%- if m['role'] == 'user' %}{{ '<|user|>' + m['content'].strip() }}"
    "{%- elif m['role'] == 'assistant' %}{{ '<|assistant|>' + m['content'] }}{%- endif %}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}{{ '<|assistant|>' }}{%- endif %}"
)
_PIECE = r"\n\n| ?[A-Za-z]+| ?[0-9]+| ?[^\sA-Za-z0-9]|\s"
_PIECES = re.compile(_PIECE)


@cache
def vocabulary() -> dict[str, int]:
    """Return the vocabulary: special tokens, bytes, then pieces, in a fixed order."""
    words: dict[str, None] = {STEP_END: None}
    for text in all_templates():
        words.update(dict.fromkeys(_PIECES.findall(re.sub(r"\{\w+\}", "", text))))
    for word in (*NAMES, *ITEMS, *GAINS, *LOSSES, "doubles", "triples"):
        words[f" {word}"] = None
    for name in NAMES:
        words[name] = None
    for number in range(LARGEST_NUMBER + 1):
        words[f" {number}"] = None
    words.pop(" ", None)
    tokens = [*SPECIAL, *(f"<0x{byte:02X}>" for byte in range(256)), *words]
    return {token: index for index, token in enumerate(tokens)}


def token_id(token: str) -> int:
    """Return the id of a token that is in the vocabulary."""
    return vocabulary()[token]


def encode(text: str) -> list[int]:
    """Encode plain text (no special tokens) as the saved tokenizer does."""
    known = vocabulary()
    ids: list[int] = []
    for piece in _PIECES.findall(text):
        if piece in known:
            ids.append(known[piece])
        else:
            ids.extend(known[f"<0x{byte:02X}>"] for byte in piece.encode())
    return ids


def encode_prompt(problem: str) -> list[int]:
    """Encode a problem as both chat templates put it."""
    return [token_id(USER), *encode(problem.strip()), token_id(ASSISTANT)]


def decode(ids: Iterable[int]) -> str:
    """Decode ids to text, special tokens left out."""
    parts: list[bytes] = []
    tokens = _tokens()
    for index in ids:
        token = tokens[index]
        if index < len(SPECIAL):
            continue
        byte = index - len(SPECIAL)
        parts.append(bytes([byte]) if byte < 256 else token.encode())
    return b"".join(parts).decode(errors="replace")


def save_tokenizer(folder: Path) -> None:
    """Write tokenizer.json and tokenizer_config.json, for `PreTrainedTokenizerFast`."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers

    model = models.BPE(vocabulary(), [], byte_fallback=True, ignore_merges=True)
    fast: Any = Tokenizer(model)
    fast.pre_tokenizer = pre_tokenizers.Split(Regex(_PIECE), "isolated")
    fast.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])
    fast.add_special_tokens([AddedToken(token, special=True) for token in SPECIAL])
    folder.mkdir(parents=True, exist_ok=True)
    fast.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": CONTEXT,
        "pad_token": PAD, "eos_token": END, "chat_template": CHAT_TEMPLATE,
        "clean_up_tokenization_spaces": False,
        "additional_special_tokens": [USER, ASSISTANT, TAG],
    }  # fmt: skip
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")


@cache
def _tokens() -> list[str]:
    return list(vocabulary())
