"""Sampling from the policy and judging with the PRM, in batches, in plain torch.

Prompts of unequal length stand side by side padded on the left; the mask hides the padding and
positions count from each prompt's first token, so that no answer depends on its neighbours'
lengths.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ets.demo.tokenizer import END, PAD, TAG, decode, encode, encode_prompt, token_id
from ets.demo.training.model import PRM, Policy
from ets.demo.wording import STEP_END

BATCH = 256
LONGEST = 260
"""Tokens of the longest solution that is sampled, unless told otherwise."""


@torch.no_grad()
def continue_ids(
    policy: Policy, prompts: Sequence[list[int]], stops: frozenset[int], limit: int,
    generator: torch.Generator, temperature: float = 1.0,
) -> list[list[int]]:  # fmt: skip
    """Sample one continuation of each prompt, up to and with a stop token or `limit` tokens."""
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    results: list[list[int]] = [[] for _ in prompts]
    for start in range(0, len(order), BATCH):
        chosen = order[start : start + BATCH]
        rows = [prompts[i] for i in chosen]
        for i, ids in zip(
            chosen, _continue(policy, rows, stops, limit, generator, temperature), strict=True
        ):
            results[i] = ids
    return results


def sample_solutions(
    policy: Policy, problems: Sequence[str], count: int, seed: int, temperature: float = 1.0,
    limit: int = LONGEST,
) -> list[list[list[str]]]:  # fmt: skip
    """Sample `count` whole solutions of each problem, as lists of steps."""
    generator = torch.Generator().manual_seed(seed)
    prompts = [encode_prompt(problem) for problem in problems for _ in range(count)]
    ids = continue_ids(policy, prompts, frozenset({token_id(END)}), limit, generator, temperature)
    texts = [decode(row).split(STEP_END) for row in ids]
    return [texts[i * count : (i + 1) * count] for i in range(len(problems))]


@torch.no_grad()
def judge(
    prm: PRM, problems: Sequence[str], solutions: Sequence[Sequence[str]]
) -> list[list[float]]:
    """Return the reward of every step of each solution (one problem for each solution)."""
    rows, tag = [], token_id(TAG)
    for problem, steps in zip(problems, solutions, strict=True):
        row = encode_prompt(problem)
        for step in steps:
            row += [*encode(step.strip()), tag]
        rows.append(row)
    rewards: list[list[float]] = [[] for _ in rows]
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
    for start in range(0, len(order), 64):
        chosen = order[start : start + 64]
        longest = len(rows[chosen[-1]])
        ids = torch.tensor([rows[i] + [token_id(PAD)] * (longest - len(rows[i])) for i in chosen])
        probabilities = prm.margin(prm.model(ids)).sigmoid()
        for i, row, values in zip(chosen, ids, probabilities, strict=True):
            rewards[i] = values[row == tag].tolist()
    return rewards


def _continue(
    policy: Policy, rows: list[list[int]], stops: frozenset[int], limit: int,
    generator: torch.Generator, temperature: float,
) -> list[list[int]]:  # fmt: skip
    longest = max(len(row) for row in rows)
    pads = torch.tensor([longest - len(row) for row in rows])
    ids = torch.tensor([[token_id(PAD)] * (longest - len(row)) + row for row in rows])
    cache = policy.model.new_cache(len(rows), longest + limit)
    places = torch.arange(longest + limit)
    seen = places >= pads.unsqueeze(1)
    causal = places[:longest, None] >= places[None, :longest]
    # A padding row sees itself, or its softmax would be empty.
    mask = (seen[:, None, :longest] & causal) | torch.eye(longest, dtype=torch.bool)
    positions = (places[:longest] - pads.unsqueeze(1)).clamp_min(0)
    hidden = policy.model(ids, positions, mask.unsqueeze(1), cache)[:, -1]
    alive = torch.arange(len(rows))
    going = torch.ones(len(rows), dtype=torch.bool)
    results: list[list[int]] = [[] for _ in rows]
    for step in range(limit):
        tokens = _draw(policy.logits(hidden) / temperature, generator)
        for place, (row, token) in enumerate(zip(alive.tolist(), tokens.tolist(), strict=True)):
            if going[place]:
                results[row].append(token)
                going[place] = token not in stops
        if not going.any() or step + 1 == limit:
            break
        if going.float().mean() < 0.75:
            # Ended rows are carried along for a while, since dropping them copies the cache.
            alive, tokens, pads, seen = alive[going], tokens[going], pads[going], seen[going]
            cache = [(keys[going], values[going]) for keys, values in cache]
            going = going[going]
        at = longest + step
        hidden = policy.model(
            tokens.unsqueeze(1), (at - pads).unsqueeze(1), seen[:, None, None, : at + 1], cache, at
        )[:, -1]
    return results


def _draw(logits: Tensor, generator: torch.Generator) -> Tensor:
    """Draw from the softmax of logits by inverting the distribution function, in float64."""
    cumulative = logits.double().softmax(-1).cumsum(-1)
    points = torch.rand(len(logits), 1, generator=generator, dtype=torch.float64)
    drawn = torch.searchsorted(cumulative, points * cumulative[:, -1:], right=True)
    return drawn.squeeze(1).clamp_max(logits.shape[-1] - 1)
