"""Embedders: what a step means, as a vector."""

from __future__ import annotations

from typing import Any

from ets.embed.base import Embedder, InstantEmbedder
from ets.engine_name import EngineName


def load_embedder(embedder: str | Embedder, **options: Any) -> Embedder:
    """The embedder that a name stands for, or the object itself.

    Names: `lexical` (words and numbers; needs no model), `demo` (what suits the bundled pair),
    `sentence-transformers:NAME`. `options` go to the backend's constructor; they may also stand in
    the name: `lexical?dim=512`.

    Raises `ValueError` for an unknown name or an option given twice, `MissingExtraError` where the
    backend's package is not installed, `EngineError` where the model cannot be loaded.
    """
    if not isinstance(embedder, str):
        if not isinstance(embedder, Embedder):
            raise ValueError(
                f"embedder must be a name or an object with embed and aclose, got {embedder!r}"
            )
        if options:
            raise ValueError(
                f"embedder_options go with an embedder given by name, got {sorted(options)}"
            )
        return embedder
    name = EngineName.parse("embedder", embedder, options)
    match name.backend:
        case "lexical" | "demo" if not name.path:
            from ets.embed.lexical import LexicalEmbedder

            return LexicalEmbedder(**name.options)
        case "sentence-transformers" if name.path:
            from ets.embed.sentence_transformers import SentenceTransformersEmbedder

            return SentenceTransformersEmbedder(name.path, **name.options)
    raise ValueError(
        f"embedder must be lexical, demo or sentence-transformers:NAME, got {embedder!r}"
    )


__all__ = ["Embedder", "InstantEmbedder", "load_embedder"]
