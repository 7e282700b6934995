"""Heads: from the last hidden state of a PRM's backbone to a reward.

Each is called with hidden states after the final norm (n x hidden size, of the head's precision and
device) and returns n rewards in [0, 1], float64.
"""

from __future__ import annotations

import torch


class TwoClasses(torch.nn.Module):
    """Linear, ReLU, Linear to two logits; the reward is the second one's probability."""

    def __init__(
        self,
        hidden: tuple[torch.Tensor, torch.Tensor],
        output: tuple[torch.Tensor, torch.Tensor],
    ) -> None:
        super().__init__()
        self.hidden = _linear(*hidden)
        self.output = _linear(*output)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        logits = self.output(torch.relu(self.hidden(states)))
        return torch.softmax(logits.double(), dim=-1)[:, 1]


class TokenChoice(torch.nn.Module):
    """The probability of the good tokens against the bad ones (rows x hidden size each)."""

    def __init__(self, good: torch.Tensor, bad: torch.Tensor) -> None:
        super().__init__()
        self.rows = _linear(torch.cat([good, bad]), None)
        self._good = len(good)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        probabilities = torch.softmax(self.rows(states).double(), dim=-1)
        return probabilities[:, : self._good].sum(dim=-1).clamp(max=1.0)


class Sigmoid(torch.nn.Module):
    """The sigmoid of one linear output (`weight`: hidden size; `bias`: one number)."""

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None = None) -> None:
        super().__init__()
        self.row = _linear(weight[None], None if bias is None else bias.reshape(1))

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(self.row(states).double())[:, 0]


def _linear(weight: torch.Tensor, bias: torch.Tensor | None) -> torch.nn.Linear:
    with torch.device("meta"):
        layer = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    layer.weight = torch.nn.Parameter(weight, requires_grad=False)
    if bias is not None:
        layer.bias = torch.nn.Parameter(bias, requires_grad=False)
    return layer
