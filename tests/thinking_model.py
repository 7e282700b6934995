"""Trains a tiny policy that thinks in a block before it answers, in half a minute.

    python tests/thinking_model.py FOLDER     # makes one to look at

Its problems are sums of two digits. It thinks in two to four paragraphs, closes the block, and
answers in two: `Tom has 3 apples and buys 4 more. How many?` becomes

    <think>
    Tom has 3 and 4 more.

    so the total is 7.
    </think>

    Tom has 7 apples.

    The answer is \\boxed{7}.
"""

from __future__ import annotations

import json
import random
import shutil
import sys
from pathlib import Path
from typing import Literal

import torch
from tokenizers import AddedToken
from transformers import LlamaConfig, LlamaForCausalLM

from checkpoints import make_tokenizer

OPEN, CLOSE = "<think>", "</think>"
Style = Literal["writes", "opened"]
TEMPLATES: dict[Style, str] = {
    # As Qwen3's: the policy opens the block itself, and a switch closes it in the prompt.
    "writes": (
        "{% for m in messages %}<|{{ m.role }}|>"
        "{% set parts = m.content.split('</think>') %}"
        "{{ parts[-1].lstrip('\\n') if m.role == 'assistant' else m.content }}"
        "<|end|>{% endfor %}{% if add_generation_prompt %}<|assistant|>"
        "{% if enable_thinking is defined and enable_thinking is false %}"
        "<think>\n\n</think>\n\n{% endif %}{% endif %}"
    ),
    # As those of DeepSeek-R1's distillates: the prompt opens it.
    "opened": (
        "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|><think>\n{% endif %}"
    ),
}
_STEPS, _BATCH, _RATE = 400, 32, 3e-3


def problem(a: int, b: int) -> str:
    """A sum in words; `a + b` is at most 9."""
    return f"Tom has {a} apples and buys {b} more. How many?"


def solution(a: int, b: int, rng: random.Random) -> str:
    """One way to think and to answer."""
    thoughts = [f"Tom has {a} and {b} more.", f"so the total is {a + b}."]
    if rng.random() < 0.5:
        thoughts.insert(1, rng.choice(["Ann has more boxes.", "now the answer is \\boxed{0} so."]))
    if rng.random() < 0.3:
        thoughts.append(f"so {a + b} apples.")
    block = "\n\n".join(thoughts)
    return (
        f"{OPEN}\n{block}\n{CLOSE}\n\nTom has {a + b} apples.\n\nThe answer is \\boxed{{{a + b}}}."
    )


def make_thinking_policy(folder: str | Path, *, seed: int = 0) -> Path:
    """Train the policy and save it as an ordinary checkpoint whose policy opens the block."""
    tokenizer = make_tokenizer(folder)
    # As in the real vocabularies: tokens of their own, but not special ones.
    tokenizer.add_tokens(
        [AddedToken(tag, special=False, normalized=False) for tag in (OPEN, CLOSE)]
    )
    tokenizer.chat_template = TEMPLATES["writes"]
    tokenizer.save_pretrained(str(folder))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = LlamaForCausalLM(
            LlamaConfig(
                vocab_size=len(tokenizer),
                hidden_size=64,
                intermediate_size=128,
                num_hidden_layers=2,
                num_attention_heads=2,
                num_key_value_heads=1,
                head_dim=32,
                max_position_embeddings=512,
                bos_token_id=None,
                eos_token_id=tokenizer.eos_token_id,
                pad_token_id=tokenizer.pad_token_id,
                tie_word_embeddings=False,
            )
        )
        _train(model, tokenizer, random.Random(seed))
    model.save_pretrained(str(folder))
    return Path(folder)


def with_template(source: Path, folder: Path, style: Style) -> Path:
    """A copy of the checkpoint with another chat template."""
    shutil.copytree(source, folder)
    for file in ("chat_template.jinja", "tokenizer_config.json"):
        path = folder / file
        if file.endswith(".jinja"):
            path.write_text(TEMPLATES[style], "utf-8")
        else:
            config = json.loads(path.read_text("utf-8"))
            config.pop("chat_template", None)
            path.write_text(json.dumps(config), "utf-8")
    return folder


def _train(model: LlamaForCausalLM, tokenizer: object, rng: random.Random) -> None:
    optimizer = torch.optim.AdamW(model.parameters(), lr=_RATE)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.05, _STEPS)
    for _ in range(_STEPS):
        rows = [_example(tokenizer, rng) for _ in range(_BATCH)]
        width = max(len(ids) for ids, _ in rows)
        ids = torch.zeros(_BATCH, width, dtype=torch.long)
        labels = torch.full((_BATCH, width), -100)
        for i, (row, prompt) in enumerate(rows):
            ids[i, : len(row)] = torch.tensor(row)
            labels[i, prompt : len(row)] = torch.tensor(row[prompt:])
        model(input_ids=ids, labels=labels).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()


def _example(tokenizer: object, rng: random.Random) -> tuple[list[int], int]:
    """Ids of a problem with a solution, and how many are the prompt's."""
    encode = tokenizer.encode  # type: ignore[attr-defined]
    a = rng.randrange(10)
    b = rng.randrange(10 - a)
    prompt = encode(f"<|user|>{problem(a, b)}<|end|><|assistant|>", add_special_tokens=False)
    answer = encode(solution(a, b, rng) + "<|end|>", add_special_tokens=False)
    return [*prompt, *answer], len(prompt)


if __name__ == "__main__":
    print(make_thinking_policy(sys.argv[1]))
