"""An embedder out of a language model that is loaded already: the mean of its hidden states."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ets.checks import check_positive
from ets.engines.local.batcher import Batch, Batcher, Ticket
from ets.engines.local.kv_rows import chunks
from ets.errors import EngineError
from ets.fork_lock import ForkLock
from ets.pickled import Unpicklable

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Vector = NDArray[np.float32]
_TOKENS = 8192
"""Tokens of one pass, padding included."""


class HiddenStateEmbedder(Unpicklable):
    """The mean over a text's tokens of a model's last hidden states, after the final norm.

    The text stands alone, without the prompt and the steps before it: what is embedded is what the
    step says, not where it stands. Batched over all that is waiting; the model's weights are used
    where they are, and not closed.

    Parameters
    ----------
    means
        Gives the mean state of each row of ids: rows x hidden size, float32; of an empty row NaN.
    tokenizer
        Its tokenizer; special tokens are left out.
    max_length
        Tokens of a text that are read; the rest is cut off.
    max_batch
        Texts in one pass.

    # Errors
    `InputError` for a bad option.
    """

    def __init__(
        self,
        means: Callable[[list[list[int]]], NDArray[np.float32]],
        tokenizer: PreTrainedTokenizerBase,
        *,
        max_length: int,
        max_batch: int = 64,
        name: str = "policy",
    ) -> None:
        check_positive(max_batch=max_batch)
        self._means = means
        self._tokenizer = tokenizer
        self._max_length = max_length
        self._max_batch = max_batch
        self._name = name
        self._lock = ForkLock()  # fast tokenizers are not safe against each other's settings
        self._batcher: Batcher[str, Vector] = Batcher(self._run, name=f"embedder {name!r}")

    async def embed(self, text: str) -> Vector:
        """The text's vector: float32, of the model's hidden size.

        # Errors
        `EngineError` for a text without a token, and where the model gives no numbers.
        """
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
        ids = [self._encode(text) for text in texts]
        for group in chunks(
            [max(1, len(row)) for row in ids], max_rows=self._max_batch, max_tokens=_TOKENS
        ):
            means = self._means([ids[i] for i in group])
            for i, mean in zip(group, means, strict=True):
                self._answer(texts[i], waiting[texts[i]], mean)

    def _encode(self, text: str) -> list[int]:
        with self._lock:
            ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False)
        return ids[: self._max_length]

    def _answer(self, text: str, tickets: list[Ticket[str, Vector]], vector: Vector) -> None:
        usable = bool(np.isfinite(vector).all() and np.any(vector))
        for ticket in tickets:
            if usable:
                ticket.resolve(vector.copy())
            else:
                ticket.fail(EngineError(f"embedder {self._name!r} gave no vector for {text!r}"))


def torch_means(model: Any, rows: list[list[int]]) -> NDArray[np.float32]:
    """The means of a causal LM of `transformers`."""
    import torch

    width = max(1, *map(len, rows))
    tokens = torch.zeros(len(rows), width, dtype=torch.long)
    mask = torch.zeros(len(rows), width, dtype=torch.long)
    for i, row in enumerate(rows):
        tokens[i, : len(row)] = torch.tensor(row, dtype=torch.long)
        mask[i, : len(row)] = 1
    device = model.device
    with torch.inference_mode():
        # Padding stands on the right, where a causal model's tokens do not see it.
        states = model.base_model(input_ids=tokens.to(device), use_cache=False)[0]
        weights = mask.to(device)[:, :, None]
        total = (states.float() * weights).sum(dim=1)
        means: NDArray[np.float32] = (total / weights.sum(dim=1)).cpu().numpy()
    return means
