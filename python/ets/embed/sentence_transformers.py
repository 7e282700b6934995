"""An embedder that runs a `sentence-transformers` model in this process."""

from __future__ import annotations

import os
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ets.checkpoint.source import Source
from ets.checks import check_positive, path_text
from ets.engines.device_start import one_start
from ets.engines.local.batcher import Batch, Batcher, Ticket
from ets.engines.local.torch_loading import need_torch, one_line, one_load, pick_device
from ets.errors import EngineError
from ets.extras import needs
from ets.pickled import Unpicklable

if TYPE_CHECKING:
    import torch

Vector = NDArray[np.float32]


class SentenceTransformersEmbedder(Unpicklable):
    """Embeds texts with a `sentence-transformers` model, batched over all that is waiting.

    Parameters
    ----------
    name_or_path
        A model folder or a hub name.
    device
        By default a GPU where there is one.
    max_batch
        Texts in one pass.

    # Errors
    `MissingExtraError` without sentence-transformers, `EngineError` if the model cannot be loaded.
    """

    def __init__(
        self,
        name_or_path: str | PathLike[str],
        *,
        device: str | torch.device | None = None,
        max_batch: int = 64,
    ) -> None:
        need_torch()
        check_positive(max_batch=max_batch)
        self._name = path_text("name_or_path", name_or_path)
        self._max_batch = max_batch
        picked = pick_device(device)
        with one_start(cpu=picked.type == "cpu"):
            self._model = _load(self._name, str(picked))
        self._batcher: Batcher[str, Vector] = Batcher(self._run, name=f"embedder {self._name!r}")

    async def embed(self, text: str) -> Vector:
        """The text's vector: float32, not zero."""
        return await self._batcher.submit(text)

    async def aclose(self) -> None:
        """Stop the worker; calls that still wait get an `EngineError`."""
        await self._batcher.aclose()

    def _run(self, batch: Batch[str, Vector]) -> None:
        """Embed everything that waits, equal texts once."""
        waiting: dict[str, list[Ticket[str, Vector]]] = {}
        for ticket in batch.take():
            waiting.setdefault(ticket.item, []).append(ticket)
        texts = list(waiting)
        if not texts:
            return
        vectors = np.asarray(
            self._model.encode(
                texts,
                batch_size=self._max_batch,
                convert_to_numpy=True,
                show_progress_bar=False,
            ),
            dtype=np.float32,
        )
        for text, vector in zip(texts, vectors, strict=True):
            usable = bool(np.isfinite(vector).all() and np.any(vector))
            for ticket in waiting[text]:
                if usable:
                    ticket.resolve(vector.copy())
                else:
                    ticket.fail(EngineError(f"embedder {self._name!r} gave no vector for {text!r}"))


def _load(name: str, device: str) -> Any:
    with needs("sentence_transformers", "torch"):
        from sentence_transformers import SentenceTransformer

    # A bare name is one of the library's own models.
    ours = "/" in name or os.path.isdir(name)
    source = Source.of(name if ours else f"sentence-transformers/{name}")
    try:
        with one_load(source):
            return SentenceTransformer(name, device=device)
    except Exception as error:
        raise EngineError(f"cannot load the embedder {name!r}: {one_line(error)}") from error
