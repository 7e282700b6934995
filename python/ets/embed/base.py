"""What an embedder must offer."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray


@runtime_checkable
class Embedder(Protocol):
    """A model that turns a step's text into a vector whose direction is its meaning."""

    async def embed(self, text: str) -> NDArray[np.float32]:
        """A float32 vector, not zero, of the same length for every text."""
        ...

    async def aclose(self) -> None:
        """Free the model. Called once."""
        ...


@runtime_checkable
class HasEmbedder(Protocol):
    """A policy whose model can embed its own steps."""

    def embedder(self, **options: Any) -> Embedder:
        """An embedder of the mean of the model's hidden states; whoever asked for it closes it.

        # Errors
        `InputError` for an unknown option.
        """
        ...


@runtime_checkable
class InstantEmbedder(Embedder, Protocol):
    """An embedder that can answer without waiting, so that a text costs no task."""

    def vector(self, text: str) -> NDArray[np.float32]:
        """The same as `embed`. Called from any thread."""
        ...
