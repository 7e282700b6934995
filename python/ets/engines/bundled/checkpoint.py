"""A checkpoint of the bundled form: config, tokenizer and weights, read with numpy."""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ets.engines.bundled.tokenizer import WordTokenizer
from ets.errors import EngineError

_HEADER = 8
"""Bytes of a safetensors file that give the length of its header."""


class BundledCheckpoint:
    """What `ets.prm.checkpoint.Checkpoint` is for the formats, for a folder of the bundled form.

    # Errors
    `EngineError` of one line, from each attribute, for a file that cannot be read or is of another
    form.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.name = str(folder)

    @cached_property
    def config(self) -> dict[str, Any]:
        """The model's configuration."""
        config: dict[str, Any] = self._json("config.json")
        return config

    @cached_property
    def tokenizer(self) -> WordTokenizer:
        """The tokenizer."""
        return WordTokenizer(self._json("tokenizer.json"), self._json("tokenizer_config.json"))

    @cached_property
    def tensors(self) -> dict[str, NDArray[np.float32]]:
        """The weights by name, widened to float32."""
        return read_safetensors(self.folder / "model.safetensors")

    @property
    def architectures(self) -> tuple[str, ...]:
        """The model classes that the config states."""
        return tuple(self.config["architectures"])

    @property
    def end_ids(self) -> frozenset[int]:
        """The ids that end a sequence."""
        return frozenset({self.config["eos_token_id"]})

    @property
    def max_length(self) -> int:
        """Tokens that the model can read."""
        return int(self.config["max_position_embeddings"])

    def _json(self, name: str) -> Any:
        try:
            return json.loads((self.folder / name).read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise EngineError(f"cannot read {name} of {self.name!r}: {error}") from error


def read_safetensors(path: Path) -> dict[str, NDArray[np.float32]]:
    """The tensors of a file, bfloat16 widened to float32.

    # Errors
    `EngineError` for a file that cannot be read, and for tensors of other types.
    """
    try:
        data = path.read_bytes()
        start = _HEADER + int.from_bytes(data[:_HEADER], "little")
        header = json.loads(data[_HEADER:start])
    except (OSError, ValueError) as error:
        raise EngineError(f"cannot read the weights {str(path)!r}: {error}") from error
    header.pop("__metadata__", None)
    tensors: dict[str, NDArray[np.float32]] = {}
    for name, entry in header.items():
        first, last = entry["data_offsets"]
        raw = data[start + first : start + last]
        if entry["dtype"] == "BF16":  # the upper half of a float32
            flat = (np.frombuffer(raw, "<u2").astype(np.uint32) << 16).view(np.float32)
        elif entry["dtype"] == "F32":
            flat = np.frombuffer(raw, "<f4").astype(np.float32)
        else:
            raise EngineError(
                f"{name} in {str(path)!r} is {entry['dtype']}; the bundled engine reads BF16 and "
                "F32"
            )
        tensors[name] = flat.reshape(entry["shape"])
    return tensors
