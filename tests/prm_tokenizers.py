"""Tokenizers of the kinds that the public PRMs have, small, made here: no file is fetched.

The SentencePiece kind (Mistral, Llemma): spaces are `▁`, one in front of the text, bytes as a last
resort, no splitting before the merges, `<s>` in front. The byte-level kind (Llama 3, Qwen 2.5): the
text is split by a regular expression, and a full stop takes the line break behind it.
"""

from __future__ import annotations

from pathlib import Path

from tokenizers import (
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import PreTrainedTokenizerFast

from checkpoints import WORDS

LLAMA_TEMPLATE = (
    "{{ bos_token }}"
    "{% for m in messages %}<|start_header_id|>{{ m.role }}<|end_header_id|>\n\n"
    "{{ m.content | trim }}<|eot_id|>{% endfor %}"
    "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)
_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_CORPUS = [
    " ".join(WORDS),
    "Tom has 3 apples.\nAnn buys 14 pears.\n\nStep 1: 3 + 4 = 7 - 0.\nThe answer is 7.\n\n",
    "Yes No yes no + - Yes No Problem Question Step Answer right last",
]


def sentencepiece_kind(folder: str | Path) -> PreTrainedTokenizerFast:
    """Saves one with the pieces `▁ки`, `ки`, `▁+` and `▁-`; returns it."""
    vocab = {piece: i for i, piece in enumerate(("<unk>", "<s>", "</s>"))}
    for byte in range(256):
        vocab[f"<0x{byte:02X}>"] = len(vocab)
    for char in ["▁", *(chr(c) for c in range(33, 127)), "к", "и"]:
        vocab.setdefault(char, len(vocab))
    merges: list[tuple[str, str]] = []

    def merge(left: str, right: str) -> None:
        if (left, right) not in merges:
            merges.append((left, right))
            vocab.setdefault(left + right, len(vocab))

    for word in (*WORDS, "ки", "+", "-"):
        for end in range(1, len(word)):
            merge(word[:end], word[end])
        merge("▁", word)
    tokenizer = Tokenizer(
        models.BPE(vocab, merges, unk_token="<unk>", byte_fallback=True, fuse_unk=True)
    )
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", vocab["<s>"])]
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )
    fast.save_pretrained(str(folder))
    return fast


def byte_level_kind(
    folder: str | Path, *, specials: tuple[str, ...], bos: str | None, eos: str, template: str
) -> PreTrainedTokenizerFast:
    """Saves one that was trained on a few lines; returns it."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=list(specials),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_CORPUS * 8, trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=bos, eos_token=eos)
    fast.chat_template = template
    fast.save_pretrained(str(folder))
    return fast
