"""Linear layers on oneDNN's packed weights: the same products."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import nn

import packed_linear


@pytest.fixture
def packed() -> Iterator[None]:
    packed_linear.pack_linear_layers()
    yield
    nn.Linear.forward = packed_linear.as_it_was  # type: ignore[method-assign]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(1, 48), (2, 7, 48), (0, 48)])
def test_products_are_those_of_torch(packed: None, bias: bool, shape: tuple[int, ...]) -> None:
    layer = nn.Linear(48, 33, bias=bias)
    states = torch.randn(shape)
    expected = torch.nn.functional.linear(states, layer.weight, layer.bias)
    with torch.inference_mode():
        for _ in range(2):
            torch.testing.assert_close(layer(states), expected.detach(), rtol=1e-5, atol=1e-6)


def test_training_and_other_precisions_are_left_to_torch(packed: None) -> None:
    layer, states = nn.Linear(8, 8), torch.randn(3, 8)
    layer(states).sum().backward()
    assert layer.weight.grad is not None
    with torch.no_grad():
        before = layer(states)
        layer.weight.add_(1.0)
        assert not torch.equal(layer(states), before)
    with torch.inference_mode():
        assert layer.double()(torch.randn(3, 8).double()).dtype is torch.float64
