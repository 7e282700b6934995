"""How a PRM's verdict is got out of a vLLM engine: what is asked, and what a reward is made of."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Protocol

from ets.errors import EngineError

if TYPE_CHECKING:
    import torch

    from ets.prm.formats import PRMFormat

ROUNDING = 0.02
"""How far the two probabilities of a row may be from summing to 1, in half precision."""


class Reading(Protocol):
    """One way of reading."""

    engine_options: dict[str, Any]
    """What the engine is started with."""
    request_options: dict[str, Any]
    """Arguments of vLLM's `PoolingParams`."""

    def reward(self, data: torch.Tensor) -> float:
        """The reward that an output stands for."""
        ...

    def cached_tokens(self, output: Any, prompt_tokens: int) -> int:
        """How many of the prompt's tokens the engine took from its cache."""
        ...


def reading_of(form: PRMFormat) -> Reading:
    """The way that goes with a format."""
    return ClassRows(form) if form.classes_of_two else LastState(form)


class ClassRows:
    """Of a model that vLLM knows as a PRM: (bad, good) for each new token, softmax applied.

    The model's own pooling looks for step tags in all of a prompt's ids, but the cache leaves rows
    for the last of them only; so all rows are asked for, and the last one is the last step's.
    """

    def __init__(self, form: PRMFormat) -> None:
        task = "token_classify"
        self.engine_options: dict[str, Any] = {
            "pooler_config": {"task": task, "tok_pooling_type": "ALL"}
        }
        self.request_options: dict[str, Any] = {"task": task}
        self._name = form.checkpoint.name

    def reward(self, data: torch.Tensor) -> float:
        """The second probability of the last row (`data`: new tokens x 2)."""
        if data.ndim != 2 or len(data) == 0 or data.shape[1] != 2:
            raise EngineError(
                f"the PRM {self._name!r} gave an output of shape {tuple(data.shape)}, "
                "not one pair of probabilities per new token"
            )
        bad, good = (float(value) for value in data[-1])
        if not math.isclose(bad + good, 1.0, abs_tol=ROUNDING) or min(bad, good) < 0:
            raise EngineError(
                f"the PRM {self._name!r} gave ({bad:g}, {good:g}), which are no probabilities"
            )
        return min(good, 1.0)

    def cached_tokens(self, output: Any, prompt_tokens: int) -> int:
        """Those that have no row."""
        return prompt_tokens - len(output.outputs.data)


class LastState:
    """Of any other model: the hidden state at the last token, and the format's head applied here.

    A language model's token could be sampled instead, with its log-probability; the hidden state
    needs no second pass either, and serves value heads too.
    """

    def __init__(self, form: PRMFormat) -> None:
        self._head = form.head()
        self._name = form.checkpoint.name
        # Without `use_activation` vLLM would scale the state to length 1.
        self.engine_options: dict[str, Any] = {
            "convert": "embed",
            "pooler_config": {"task": "embed", "seq_pooling_type": "LAST", "use_activation": False},
        }
        self.request_options: dict[str, Any] = {"task": "embed", "use_activation": False}

    def reward(self, data: torch.Tensor) -> float:
        """The head's verdict on the state (`data`: hidden size)."""
        import torch

        if data.ndim != 1:
            raise EngineError(
                f"the PRM {self._name!r} gave an output of shape {tuple(data.shape)}, "
                "not one hidden state"
            )
        with torch.inference_mode():
            reward = float(self._head(data[None].float())[0])
        if not 0 <= reward <= 1:  # NaN too
            raise EngineError(f"the PRM {self._name!r} gave the reward {reward}, not in [0, 1]")
        return reward

    def cached_tokens(self, output: Any, prompt_tokens: int) -> int:
        """As the engine counts them."""
        return int(output.num_cached_tokens or 0)
