"""Linear layers in float32 by oneDNN, on weights that it has packed, as vLLM's are on a CPU.

torch multiplies float32 with MKL, the slower of the two on a CPU that is not Intel's: a PRM beside
a policy on vLLM then holds up both.
"""

from __future__ import annotations

from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

NO_ACTIVATION: tuple[str, list[float], str] = ("none", [], "")
as_it_was = nn.Linear.forward


def pack_linear_layers() -> None:
    """From now on every linear layer of this process, in inference mode.

    There weights do not change: what is packed once stays true. Training evaluates without
    gradients too, on weights that do.
    """
    packed: WeakKeyDictionary[nn.Linear, Tensor] = WeakKeyDictionary()

    def forward(layer: nn.Linear, states: Tensor) -> Tensor:
        weight = layer.weight
        on_cpu = weight.device.type == "cpu" and weight.dtype is states.dtype is torch.float32
        if not (on_cpu and torch.is_inference_mode_enabled()):
            return as_it_was(layer, states)
        if layer not in packed:
            packed[layer] = torch.ops.mkldnn._reorder_linear_weight(weight.detach(), None)
        product: Tensor = torch.ops.mkldnn._linear_pointwise(
            states, packed[layer], layer.bias, *NO_ACTIVATION
        )
        return product

    nn.Linear.forward = forward  # type: ignore[assignment, method-assign]
