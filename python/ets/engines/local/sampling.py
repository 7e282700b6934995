"""Drawing tokens, each row by its own random number."""

from __future__ import annotations

from collections.abc import Sequence

import torch


def draw(
    logits: torch.Tensor, uniforms: Sequence[float], *, temperature: float, top_p: float
) -> list[int]:
    """One token a row: the inverse of the cumulative distribution at the row's number in [0, 1).

    In float64, tokens in the order of their ids, so that a row's token hangs on its own logits and
    number only. Temperature 0 takes the most likely token, the first of equals.
    `top_p` keeps the likeliest tokens up to the one that reaches that share.

    # Errors
    `ValueError` if a row's logits are not numbers.
    """
    if temperature == 0:
        if torch.isnan(logits).any():
            raise ValueError("logits are not numbers")
        return list(logits.argmax(dim=-1).tolist())
    probs = torch.softmax(logits.double() / temperature, dim=-1)
    if top_p < 1:
        ranked, order = torch.sort(probs, dim=-1, descending=True, stable=True)
        ranked[ranked.cumsum(dim=-1) - ranked >= top_p] = 0
        probs = torch.zeros_like(probs).scatter_(-1, order, ranked)
    cdf = probs.cumsum(dim=-1)
    total = cdf[:, -1:].contiguous()
    if not torch.isfinite(total).all():
        raise ValueError("logits are not numbers")
    at = torch.tensor(list(uniforms), dtype=torch.float64, device=cdf.device)[:, None] * total
    picks = torch.searchsorted(cdf, at, right=True)
    # Rounding may lift `at` to the total itself, behind the last token that can be drawn.
    picks = torch.minimum(picks, torch.searchsorted(cdf, total))
    return list(picks[:, 0].tolist())
