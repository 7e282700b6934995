"""What a PRM format must say: what the model reads, and where and how its verdict is read."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

from ets.errors import ContextError
from ets.prm.checkpoint import Checkpoint
from ets.step import Prefix

if TYPE_CHECKING:
    import torch


class PRMFormat(ABC):
    """How one family of PRMs is prompted and read.

    The ids of a solution end where the verdict on its last step stands, so that what a longer
    solution begins with is computed already. Steps are read with the white space around them
    stripped, unless the format says otherwise; those without text are left out: such a step scores
    as the solution before it.

    Problem and steps are text: whatever they say, no control token and no tag comes of it.

    A subclass takes its options as keyword arguments after the checkpoint.

    Safe to use from several threads.
    """

    name: ClassVar[str]
    """What `format=` calls it."""
    models: ClassVar[str]
    """The PRMs that are read so, for error messages and docs."""
    classes_of_two: ClassVar[bool] = False
    """Whether the model itself ends in a softmax over (bad, good)."""
    keeps_space: ClassVar[bool] = False
    """Whether steps are read with the white space around them, blank ones included."""
    not_on_vllm: ClassVar[str | None] = None
    """Why vLLM cannot run these models, and what can; None where it does."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.checkpoint = checkpoint
        self.max_length = checkpoint.max_length
        """Tokens that the model can read."""
        self._lock = threading.Lock()  # for what a format remembers

    @classmethod
    @abstractmethod
    def recognises(cls, checkpoint: Checkpoint) -> bool:
        """Whether config and name say that a checkpoint is read so."""

    @abstractmethod
    def head(self) -> torch.nn.Module:
        """What makes a reward of the last hidden state, one of `ets.prm.heads`, in float32.

        # Errors
        `EngineError` if the checkpoint lacks the weights that it takes.
        """

    @property
    @abstractmethod
    def head_weights(self) -> frozenset[str]:
        """The names of the tensors beside the backbone's."""

    def ids(self, prefix: Prefix) -> tuple[int, ...] | None:
        """What the PRM reads; its verdict on the last step stands at the last id.

        None if no step holds any text: there is nothing to judge, the reward is 0.

        # Errors
        `ContextError` if the solution is longer than the model's context.
        """
        parts = self.parts(prefix)
        return None if parts is None else tuple(token for part in parts for token in part)

    @property
    def own_tokens(self) -> int:
        """Tokens of what is read beside problem and steps: system message, examples, turns."""
        with self._lock:
            return sum(map(len, self._encode("1", ["1"])))

    def parts(self, prefix: Prefix) -> list[tuple[int, ...]] | None:
        """The same, cut at the places up to which other solutions may begin alike."""
        steps = [text for step in prefix.steps if (text := step.text.strip())]
        if not steps:
            return None
        if self.keeps_space:
            steps = [step.text for step in prefix.steps]
        with self._lock:
            parts = self._encode(prefix.problem, steps)
        length = sum(map(len, parts))
        if length > self.max_length:
            raise ContextError(
                f"a solution of {length} tokens is too long for {self.checkpoint.name!r}, "
                f"which reads at most {self.max_length} tokens"
            )
        return parts

    @abstractmethod
    def _encode(self, problem: str, steps: list[str]) -> list[tuple[int, ...]]:
        """The parts for steps of which one at least holds text."""
