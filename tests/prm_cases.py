"""One small checkpoint per PRM format, and what it says by a plain computation.

The computation shares no code with `ets.prm`: the prompt is built by hand, encoded by `tokenizers`
from `tokenizer.json`, and read in one full pass of the whole model.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from transformers import (
    AutoModelForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Qwen2Config,
    Qwen2Model,
)

from checkpoints import make_qwen2_prm
from prm_tokenizers import LLAMA_TEMPLATE, byte_level_kind, sentencepiece_kind

Steps = list[str]
PROBLEM = "Tom has 3 apples and buys 4 more. How many apples does Tom have?"
SOLUTIONS: list[Steps] = [
    ["Tom has 3 apples and then buys 4 more - so he has more than 3 apples now."],
    ["Tom has 3 apples and then buys 4 more - so he has more than 3 apples now.", "3 + 4 = 7."],
    ["Tom has 3 apples and then buys 4 more - so he has more than 3 apples now.", "3 + 4 = 8."],
    ["Ann has 5 pears.\nZoë 🙂 has none.", "So", "Yes! No... ки?", "The answer is 9."],
]
"""The first step is longer than a block of the cache."""
PARTS: list[Steps] = [steps[:end] for steps in SOLUTIONS for end in range(1, len(steps) + 1)]
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@dataclass(frozen=True)
class Case:
    """A format, a checkpoint of it and its scores."""

    format: str
    folder: str
    """The checkpoint's name, by which some formats are recognised."""
    make: Callable[[Path], object]
    plain: Callable[[Path, str, Steps], float]
    """The score of the last step."""
    options: dict[str, Any] = field(default_factory=dict)


def _shape(size: int) -> dict[str, Any]:
    return {
        "vocab_size": size,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "max_position_embeddings": 512,
        "tie_word_embeddings": False,
        "initializer_range": 0.2,
    }


def encode(folder: Path, text: str, *, special: bool = False) -> list[int]:
    """The ids that `tokenizer.json` says."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    ids: list[int] = tokenizer.encode(text, add_special_tokens=special).ids
    return ids


def last_logits(folder: Path, ids: list[int]) -> torch.Tensor:
    """A language model's logits behind the last id, float32."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.no_grad():
        logits: torch.Tensor = model(torch.tensor([ids])).logits[0, -1]
    return logits


def share(logits: torch.Tensor, good: list[int], bad: list[int]) -> float:
    """The probability of the good ids among all of these."""
    return float(torch.softmax(logits[good + bad], dim=0)[: len(good)].sum())


# --- Qwen2.5-Math-PRM ----------------------------------------------------------------------------


def plain_qwen(folder: Path, problem: str, steps: Steps) -> float:
    text = (
        "<|system|>Please reason step by step, and put your final answer within \\boxed{}.<|end|>"
        f"<|user|>{problem}<|end|><|assistant|>" + "".join(f"{step}<extra_0>" for step in steps)
    )
    weights = load_file(folder / "model.safetensors")
    model = Qwen2Model(Qwen2Config.from_pretrained(folder)).eval()
    model.load_state_dict({k[6:]: w for k, w in weights.items() if k.startswith("model.")})
    with torch.no_grad():
        hidden = model(torch.tensor([encode(folder, text)])).last_hidden_state[0, -1]
        hidden = torch.relu(weights["score.0.weight"] @ hidden + weights["score.0.bias"])
        logits = weights["score.2.weight"] @ hidden + weights["score.2.bias"]
    return float(torch.softmax(logits, dim=0)[1])


# --- Math-Shepherd -------------------------------------------------------------------------------


def make_math_shepherd(folder: Path) -> None:
    tokenizer = sentencepiece_kind(folder)
    torch.manual_seed(1)
    config = MistralConfig(**_shape(len(tokenizer)), sliding_window=None, bos_token_id=1)
    MistralForCausalLM(config).save_pretrained(folder)


def step_tag_text(problem: str, steps: Steps) -> str:
    return problem + "\n".join(f"Step {k}: {step} ки" for k, step in enumerate(steps, 1))


def step_tag_ids(folder: Path, text: str) -> list[int]:
    """Tags behind a step are tags; one that a step itself writes is its letters."""
    vocab = Tokenizer.from_file(str(folder / "tokenizer.json")).get_vocab()
    ids = encode(folder, text, special=True)
    found: list[int] = []
    for token, after in zip(ids, [*ids[1:], None], strict=True):
        is_letters = token == vocab["▁ки"] and after not in (None, vocab["<0x0A>"])
        found += [vocab[letter] for letter in "▁ки"] if is_letters else [token]
    return found


def plain_math_shepherd(folder: Path, problem: str, steps: Steps) -> float:
    ids = step_tag_ids(folder, step_tag_text(f"{problem} ", steps))
    vocab = Tokenizer.from_file(str(folder / "tokenizer.json")).get_vocab()
    assert ids[0] == vocab["<s>"]
    assert ids[-1] == vocab["▁ки"]
    return share(last_logits(folder, ids), [vocab["▁+"]], [vocab["▁-"]])


# --- Llemma --------------------------------------------------------------------------------------


def make_llemma(folder: Path, *, rows: int | None = 2) -> None:
    tokenizer = sentencepiece_kind(folder)
    torch.manual_seed(2)
    config = LlamaConfig(**_shape(len(tokenizer)), bos_token_id=1, eos_token_id=2)
    LlamaForCausalLM(config).save_pretrained(folder)
    if rows is not None:  # as training leaves the head
        file = folder / "model.safetensors"
        weights = load_file(file)
        weights["lm_head.weight"] = weights["lm_head.weight"][:rows].clone()
        save_file(weights, file, metadata={"format": "pt"})


def plain_llemma(folder: Path, problem: str, steps: Steps) -> float:
    ids = step_tag_ids(folder, step_tag_text(f"{problem}\n", steps))
    weights = load_file(folder / "model.safetensors")
    head = weights.pop("lm_head.weight")
    model = LlamaForCausalLM(LlamaConfig.from_pretrained(folder)).eval().model
    model.load_state_dict({k[6:]: w for k, w in weights.items()})
    with torch.no_grad():
        hidden = model(torch.tensor([ids])).last_hidden_state[0, -1]
    return float(torch.sigmoid((head @ hidden).mean()))


# --- RLHFlow -------------------------------------------------------------------------------------


def make_rlhflow(folder: Path) -> None:
    tokenizer = byte_level_kind(
        folder,
        specials=("<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
        bos="<|begin_of_text|>",
        eos="<|eot_id|>",
        template=LLAMA_TEMPLATE,
    )
    torch.manual_seed(3)
    config = LlamaConfig(**_shape(len(tokenizer)), bos_token_id=0, eos_token_id=3)
    LlamaForCausalLM(config).save_pretrained(folder)


def plain_rlhflow(folder: Path, problem: str, steps: Steps) -> float:
    text = "<|begin_of_text|>"
    for number, step in enumerate(steps):
        said = step if number else f"{problem} {step}"
        text += f"<|start_header_id|>user<|end_header_id|>\n\n{said}<|eot_id|>"
        text += "<|start_header_id|>assistant<|end_header_id|>\n\n+<|eot_id|>"
    ids = encode(folder, text)
    (good,), (bad,) = encode(folder, "+"), encode(folder, "-")
    assert ids[-2] == good
    # The authors read the third row from the end: what the model expects in place of `+`.
    return share(last_logits(folder, ids[:-2]), [good], [bad])


# --- Skywork -------------------------------------------------------------------------------------


def make_skywork(folder: Path) -> None:
    tokenizer = byte_level_kind(
        folder,
        specials=("<|endoftext|>", "<|im_start|>", "<|im_end|>"),
        bos="<|endoftext|>",
        eos="<|endoftext|>",
        template=CHATML,
    )
    torch.manual_seed(4)
    config = Qwen2Config(**_shape(len(tokenizer)), bos_token_id=0, eos_token_id=0)
    weights = {f"model.{k}": w.contiguous() for k, w in Qwen2Model(config).state_dict().items()}
    weights["v_head.summary.weight"] = torch.randn(1, 64) * 0.2
    weights["v_head.summary.bias"] = torch.randn(1) * 0.2
    weights["lm_head.weight"] = torch.randn(len(tokenizer), 64)
    config.architectures = ["Qwen2ForPrmModel"]
    config.dtype = torch.float32
    config.save_pretrained(folder)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def plain_skywork(folder: Path, problem: str, steps: Steps) -> float:
    (line_break,) = encode(folder, "\n")
    ids = encode(folder, f"<|endoftext|>{problem}\n")
    for line in "\n\n".join(steps).split("\n"):
        ids += [*encode(folder, line), line_break]
    weights = load_file(folder / "model.safetensors")
    model = Qwen2Model(Qwen2Config.from_pretrained(folder)).eval()
    model.load_state_dict({k[6:]: w for k, w in weights.items() if k.startswith("model.")})
    with torch.no_grad():
        hidden = model(torch.tensor([ids])).last_hidden_state[0, -1]
    value = weights["v_head.summary.weight"][0] @ hidden + weights["v_head.summary.bias"][0]
    return float(torch.sigmoid(value))


# --- a judge -------------------------------------------------------------------------------------


def make_judge(folder: Path) -> None:
    tokenizer = byte_level_kind(
        folder,
        specials=("<|endoftext|>", "<|im_start|>", "<|im_end|>"),
        bos=None,
        eos="<|im_end|>",
        template=CHATML,
    )
    torch.manual_seed(5)
    config = LlamaConfig(**_shape(len(tokenizer)) | {"tie_word_embeddings": True}, bos_token_id=0)
    LlamaForCausalLM(config).save_pretrained(folder)


def plain_judge(folder: Path, problem: str, steps: Steps) -> float:
    said = (
        "You check a solution to a problem step by step. Say of its last step whether it is right: "
        "correct in itself, and a sound way on from the steps before it.\n\n"
        f"Problem: {problem}\n\n"
        + "".join(f"Step {k}: {step}\n\n" for k, step in enumerate(steps, 1))
        + "Is the last step right? Answer Yes or No."
    )
    ids = encode(folder, f"<|im_start|>user\n{said}<|im_end|>\n<|im_start|>assistant\n")
    words = {}
    for word in ("Yes", "No"):
        forms = {lead + form for form in (word, word.lower(), word.upper()) for lead in ("", " ")}
        words[word] = sorted({i[0] for form in forms if len(i := encode(folder, form)) == 1})
        assert words[word]
    return share(last_logits(folder, ids), words["Yes"], words["No"])


CASES = (
    Case("qwen", "any-name", make_qwen2_prm, plain_qwen),
    Case("math-shepherd", "math-shepherd-mistral-7b-prm", make_math_shepherd, plain_math_shepherd),
    Case("llemma", "Llemma-reward-model", make_llemma, plain_llemma),
    Case("rlhflow", "Llama3.1-8B-PRM-Deepseek-Data", make_rlhflow, plain_rlhflow),
    Case("skywork", "Skywork-o1-Open-PRM-Qwen-2.5-1.5B", make_skywork, plain_skywork),
    Case("judge", "some-instruct", make_judge, plain_judge, {"format": "judge"}),
)
