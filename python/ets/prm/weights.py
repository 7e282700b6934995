"""Single tensors of a checkpoint, for the heads that read a PRM's verdict."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ets.checkpoint.source import Source
from ets.errors import EngineError

if TYPE_CHECKING:
    import torch

_FILES = ("model.safetensors", "pytorch_model.bin")
_LM_HEAD, _EMBEDDING = "lm_head.weight", "embed_tokens.weight"
_SCALES = ("final_logit_softcapping", "logit_scale", "logits_scaling")
"""What a config calls a change of the logits after the head."""


class Weights:
    """The weights of a checkpoint; nothing is read before it is asked for.

    # Errors
    `EngineError` of one line for files and tensors that are missing.
    """

    def __init__(self, checkpoint: str | Source) -> None:
        self._source = Source.of(checkpoint)
        self._name = self._source.name

    @cached_property
    def files(self) -> dict[str, str]:
        """Each tensor's name, and the file that holds it."""
        for file in _FILES:
            if index := self._source.file(f"{file}.index.json"):
                with open(index, encoding="utf-8") as text:
                    return dict(json.load(text)["weight_map"])
            if path := self._source.file(file):
                with _Tensors(path) as tensors:
                    return dict.fromkeys(tensors.names(), file)
        raise EngineError(f"{self._name!r} lacks its weights: no {', no '.join(_FILES)}")

    def tensor(self, name: str) -> torch.Tensor:
        """One tensor."""
        return self._read(name, None)

    def lm_rows(self, config: Any, ids: Sequence[int] | None = None) -> torch.Tensor:
        """The rows of the language model's head for some ids, or all that are stored.

        They are the embedding's where the two are tied. Returns rows x hidden size.

        # Errors
        `EngineError` if the checkpoint has no such head, or if its logits are not the rows' dot
        products alone.
        """
        text = config.get_text_config()
        for key in _SCALES:
            if getattr(text, key, None) not in (None, 1, 1.0):
                raise EngineError(f"{self._name!r} changes its logits ({key}): it cannot be read")
        if "lm_head.bias" in self.files:
            raise EngineError(f"{self._name!r} has a head with a bias: it cannot be read")
        if _LM_HEAD in self.files:
            return self._read(_LM_HEAD, ids)
        tied = [key for key in self.files if key.endswith(_EMBEDDING)]
        if not (tied and text.tie_word_embeddings):
            raise EngineError(f"the weights of {self._name!r} lack {_LM_HEAD}: no language model")
        return self._read(tied[0], ids)

    def _read(self, name: str, ids: Sequence[int] | None) -> torch.Tensor:
        file = self.files.get(name)
        if file is None:
            raise EngineError(f"the weights of {self._name!r} lack {name}")
        path = self._source.file(file)
        if path is None:
            raise EngineError(f"{self._name!r} lacks its weights: no {file}")
        with _Tensors(path) as tensors:
            return tensors.rows(name, ids)


class _Tensors:
    """One file of weights, of either format, open for reading."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._is_pickle = path.endswith(".bin")
        self._file: Any = None

    def __enter__(self) -> _Tensors:
        import torch
        from safetensors import SafetensorError, safe_open

        try:
            if self._is_pickle:
                self._file = torch.load(self._path, "cpu", weights_only=True, mmap=True)
            else:
                self._file = safe_open(self._path, framework="pt")
        except (OSError, RuntimeError, ValueError, SafetensorError) as error:
            reason = " ".join(str(error).split())[:300]
            raise EngineError(f"cannot read the weights {self._path!r}: {reason}") from error
        return self

    def __exit__(self, *exc: object) -> None:
        self._file = None

    def names(self) -> list[str]:
        return list(self._file.keys())

    def rows(self, name: str, ids: Sequence[int] | None) -> torch.Tensor:
        import torch

        if self._is_pickle:
            whole: torch.Tensor = self._file[name]
            return whole.clone() if ids is None else whole[list(ids)]
        if ids is None:
            tensor: torch.Tensor = self._file.get_tensor(name)
            return tensor
        rows = self._file.get_slice(name)
        return torch.stack([rows[i] for i in ids])
