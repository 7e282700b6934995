"""Embedders: what a step means, as a vector."""

from __future__ import annotations

from typing import Any

from ets.embed.base import Embedder, HasEmbedder, InstantEmbedder
from ets.engine_name import EngineName
from ets.errors import InputError
from ets.redaction import redacted


def load_embedder(embedder: str | Embedder, *, policy: object = None, **options: Any) -> Embedder:
    """The embedder that a name stands for, or the object itself.

    Names: `lexical` (words and numbers; needs no model), `demo` (what suits the bundled pair),
    `sentence-transformers:NAME`, `vllm:NAME`, and `policy`, the mean hidden state of the policy's
    own model, which needs `policy`: the loaded one. `options` go to the backend's constructor; they
    may also stand in the name: `lexical?dim=512`.

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
        case "vllm" if name.path:
            from ets.embed.vllm import VLLMEmbedder

            return VLLMEmbedder(name.path, **name.options)
        case "policy" if not name.path:
            if not isinstance(policy, HasEmbedder):
                raise InputError(
                    "the embedder 'policy' needs a policy whose model runs in this process "
                    f"(demo, transformers:PATH or vllm:PATH), got {type(policy).__name__}; "
                    "use lexical, sentence-transformers:NAME or vllm:NAME"
                )
            return policy.embedder(**name.options)
    raise ValueError(
        "embedder must be lexical, demo, policy, sentence-transformers:NAME or vllm:NAME, "
        f"got {redacted(embedder)!r}"
    )


__all__ = ["Embedder", "HasEmbedder", "InstantEmbedder", "load_embedder"]
