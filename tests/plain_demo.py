"""What the bundled pair says by a plain computation, which shares no code with `ets`' backends.

Prompts are built by hand, encoded by `tokenizers` from `tokenizer.json`, and read in full passes of
whole transformers models in float32.
"""

from __future__ import annotations

import random
from functools import cache
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from tokenizers import Tokenizer
from transformers import LlamaForCausalLM, Qwen2Config, Qwen2Model

from ets import demo
from ets.demo.task import problem_stream
from ets.demo.training import slips
from ets.demo.wording import word_step
from ets.step import Prefix, Step


@cache
def _tokenizer(folder: str) -> Tokenizer:
    return Tokenizer.from_file(f"{folder}/tokenizer.json")


@cache
def _policy() -> LlamaForCausalLM:
    return LlamaForCausalLM.from_pretrained(demo.policy_path(), dtype=torch.float32).eval()


@cache
def _prm() -> tuple[Qwen2Model, dict[str, torch.Tensor]]:
    folder = demo.prm_path()
    weights = {name: w.float() for name, w in load_file(folder / "model.safetensors").items()}
    model = Qwen2Model(Qwen2Config.from_pretrained(folder)).float().eval()
    model.load_state_dict({k[6:]: w for k, w in weights.items() if k.startswith("model.")})
    return model, weights


def plain_greedy(problem: str, *, steps: int, tokens: int) -> list[tuple[int, ...]]:
    """The policy's greedy steps, each up to a blank line, the end or `tokens` tokens."""
    tokenizer = _tokenizer(str(demo.policy_path()))
    end = tokenizer.token_to_id("<|end|>")
    ids: list[int] = tokenizer.encode(
        f"<|user|>{problem}<|assistant|>", add_special_tokens=False
    ).ids
    found: list[tuple[int, ...]] = []
    while len(found) < steps:
        step: list[int] = []
        while len(step) < tokens and "\n\n" not in tokenizer.decode(step):
            with torch.no_grad():
                token = int(_policy()(torch.tensor([ids + step])).logits[0, -1].argmax())
            if token == end:
                return [*found, tuple(step)]
            step.append(token)
        ids += step
        found.append(tuple(step))
    return found


def plain_logprobs(prompt: list[int], step: list[int]) -> NDArray[np.float64]:
    """The policy's log-probabilities, [tokens of the step, vocabulary], of one whole pass."""
    with torch.no_grad():
        logits = _policy()(torch.tensor([prompt + step])).logits[0, len(prompt) - 1 : -1]
    rows = logits.double().numpy()
    logs: NDArray[np.float64] = rows - np.log(np.exp(rows).sum(axis=1, keepdims=True))
    return logs


def trained_on() -> list[Prefix]:
    """Right steps and slips in the words that the PRM was trained on, so that rewards differ."""
    rng = random.Random(8)
    solutions = []
    for problem in islice(problem_stream(9, "dev"), 6):
        steps = [word_step(rng, step) for step in problem.steps]
        for index, step in enumerate(problem.steps):
            slip = word_step(rng, slips.scattered_slip(rng, problem, index, step))
            for last in (steps[index], slip):
                texts = [f"{text}\n\n" for text in (*steps[:index], last)]
                solution = tuple(Step(text, (1,), "step") for text in texts)
                solutions.append(Prefix(problem.text, 0, (), solution))
    return solutions


def plain_score(prefix: Prefix) -> float:
    """The PRM's reward of the last step."""
    steps = "".join(f"{step.text.strip()}<extra_0>" for step in prefix.steps)
    ids = (
        _tokenizer(str(demo.prm_path()))
        .encode(f"<|user|>{prefix.problem}<|assistant|>{steps}", add_special_tokens=False)
        .ids
    )
    model, weights = _prm()
    with torch.no_grad():
        hidden = model(torch.tensor([ids])).last_hidden_state[0, -1]
        hidden = torch.relu(weights["score.0.weight"] @ hidden + weights["score.0.bias"])
        logits = weights["score.2.weight"] @ hidden + weights["score.2.bias"]
    return float(torch.softmax(logits, dim=0)[1])
