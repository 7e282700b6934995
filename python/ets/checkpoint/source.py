"""Where a checkpoint's files are read: its name, and what vLLM's options say beside it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ets.checks import path_text, shown
from ets.errors import EngineError, InputError

_WEIGHTS = ("model.safetensors", "pytorch_model.bin")
_TEXTS = ("revision", "tokenizer", "tokenizer_revision", "download_dir")
SOURCE_OPTIONS = (*_TEXTS, "trust_remote_code")
"""The options of an engine that say where its checkpoint is read, by vLLM's names."""


@dataclass(frozen=True, slots=True)
class Source:
    """A checkpoint: a folder or a hub name, and which of its versions."""

    name: str
    revision: str | None = None
    """A branch, a tag or a commit of the hub; None for its main branch."""
    trust_remote_code: bool = False
    """Whether code that comes with the checkpoint may run."""
    tokenizer: str | None = None
    """Another folder or hub name that has the tokenizer."""
    tokenizer_revision: str | None = None
    """As in vLLM, `revision` unless given."""
    download_dir: str | None = None
    """A cache folder in the hub's layout beside the usual one."""

    @classmethod
    def of(cls, name: str | Source, options: Mapping[str, Any] | None = None) -> Source:
        """A name with those of an engine's options that say where its checkpoint is read.

        # Errors
        `InputError` for an option of the wrong type.
        """
        if isinstance(name, Source):
            return name
        name = path_text("path", name)
        found: dict[str, Any] = {}
        for key in _TEXTS:
            if (value := (options or {}).get(key)) is None:
                continue
            if key in ("tokenizer", "download_dir") and isinstance(value, os.PathLike):
                value = os.fspath(value)
            if not isinstance(value, str) or not value:
                raise InputError(f"{key} must be a text, got {shown(value)}")
            found[key] = value
        trusts = (options or {}).get("trust_remote_code", False)
        if not isinstance(trusts, bool):
            raise InputError(f"trust_remote_code must be true or false, got {shown(trusts)}")
        return cls(name, trust_remote_code=trusts, **found)

    @property
    def path(self) -> str:
        """The name, with `~` as the home folder."""
        return os.path.expanduser(self.name)

    @property
    def of_tokenizer(self) -> Source:
        """Where the tokenizer is read."""
        return replace(
            self,
            name=self.tokenizer or self.name,
            revision=self.tokenizer_revision or self.revision,
            tokenizer=None,
            tokenizer_revision=None,
        )

    def where(self, *files: str) -> dict[str, Any]:
        """The arguments by which transformers finds some files, of which one must be there.

        `download_dir` counts where it has one, and where the usual cache has none either: vLLM puts
        weights there, and what else it reads into the usual cache.
        """
        found: dict[str, Any] = {"revision": self.revision or "main"}
        if self.download_dir is not None:
            own = os.path.expanduser(self.download_dir)
            here, usual = (any(self._cached(f, at) for f in files) for at in (own, None))
            if here or not usual:
                found["cache_dir"] = own
        return found

    def file(self, file: str, *, local: bool = False) -> str | None:
        """The path of one file, downloaded unless `local`; None where the checkpoint lacks it.

        # Errors
        `EngineError` of one line if it cannot be told or read.
        """
        from transformers.utils.hub import cached_file

        try:
            path = cached_file(
                self.path,
                file,
                local_files_only=local,
                _raise_exceptions_for_missing_entries=False,
                _raise_exceptions_for_connection_errors=not local,
                **self.where(file),
            )
        except (OSError, ValueError) as error:
            reason = " ".join(str(error).split())[:300]
            raise EngineError(f"cannot read {file} of {self.name!r}: {reason}") from error
        return None if path is None else str(path)

    def weights_bytes(self) -> int | None:
        """What the weights on disk come to; None where they are not on disk."""
        for file in _WEIGHTS:
            if index := self._on_disk(f"{file}.index.json"):
                with open(index, encoding="utf-8") as text:
                    total = json.load(text).get("metadata", {}).get("total_size")
                if total:
                    return int(total)
            if path := self._on_disk(file):
                return os.path.getsize(path)
        return None

    @property
    def to_download(self) -> bool:
        """Whether the weights are still to come from the hub."""
        return not os.path.isdir(self.path) and self.weights_bytes() is None

    def folder(self) -> str | None:
        """The snapshot in `download_dir` that holds the config; None without one."""
        if self.download_dir is None or os.path.isdir(self.path):
            return None
        found = self._cached("config.json", os.path.expanduser(self.download_dir))
        return None if found is None else str(Path(found).parent)

    def _on_disk(self, file: str) -> str | None:
        try:
            return self.file(file, local=True)
        except EngineError:
            return None

    def _cached(self, file: str, cache: str | None) -> str | None:
        from huggingface_hub import try_to_load_from_cache
        from huggingface_hub.errors import HFValidationError

        try:
            found = try_to_load_from_cache(self.path, file, cache, self.revision)
        except HFValidationError:  # a folder
            return None
        return found if isinstance(found, str) else None
