"""A PRM's checkpoint: config, tokenizer and weights, each file read when it is first asked for."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ets.checkpoint.source import Source
from ets.checkpoint.tokenizer import load_config, load_tokenizer
from ets.prm.weights import Weights

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_NO_LIMIT = 1 << 30


class Checkpoint:
    """A checkpoint: a folder, a hub name or a `Source`.

    # Errors
    `EngineError` of one line, from each attribute, for a file that is missing or cannot be read.
    """

    def __init__(self, checkpoint: str | Source) -> None:
        self.source = Source.of(checkpoint)
        self.name = self.source.name
        self.weights = Weights(self.source)

    @cached_property
    def config(self) -> Any:
        """The model's configuration."""
        return load_config(self.source)

    @cached_property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The model's own tokenizer, proven against `tokenizer.json`."""
        return load_tokenizer(self.source)

    @property
    def architectures(self) -> tuple[str, ...]:
        """The model classes that the config states."""
        return tuple(self.config.architectures or ())

    @property
    def is_lm(self) -> bool:
        """Whether it states to be a causal language model."""
        return any(name.endswith("ForCausalLM") for name in self.architectures)

    @property
    def max_length(self) -> int:
        """Tokens that the model can read."""
        text = self.config.get_text_config()
        return int(getattr(text, "max_position_embeddings", None) or _NO_LIMIT)

    @property
    def label(self) -> str:
        """What the checkpoint is called, in lower case: its folder or its name on the hub."""
        return Path(self.name).name.lower()
