"""Embedders: what a step means, as a vector."""

from __future__ import annotations

from typing import Any

from ets.checks import shown
from ets.engines.name import EngineName
from ets.engines.protocols import Embedder, HasEmbedder
from ets.errors import EngineError, InputError
from ets.shown.redaction import redacted


def load_embedder(embedder: str | Embedder, *, policy: object = None, **options: Any) -> Embedder:
    """The embedder that a name stands for, or the object itself.

    Names: `lexical` (words and numbers; needs no model), `demo` (what suits the bundled pair),
    `sentence-transformers:NAME`, `vllm:NAME`, and `policy`, the mean hidden state of the policy's
    own model, which needs `policy`: the loaded one. `options` go to the backend's constructor; they
    may also stand in the name: `lexical?dim=512`.

    Raises `InputError` for an unknown name or an option given twice, `MissingExtraError` where the
    backend's package is not installed, `EngineError` where the model cannot be loaded.
    """
    if not isinstance(embedder, str):
        if not isinstance(embedder, Embedder) or isinstance(embedder, type):
            raise InputError(
                f"embedder must be a name or an object with embed and aclose, got {shown(embedder)}"
            )
        if options:
            raise InputError(
                f"embedder_options go with an embedder given by name, got {sorted(options)}"
            )
        return embedder
    name = EngineName.parse("embedder", embedder, options)
    match name.backend:
        case "lexical" | "demo" if not name.path:
            from ets.embed.lexical import LexicalEmbedder

            return LexicalEmbedder(**name.only("embedder", LexicalEmbedder))
        case "sentence-transformers" if name.path:
            from ets.embed.sentence_transformers import SentenceTransformersEmbedder

            options = name.only("embedder", SentenceTransformersEmbedder)
            return SentenceTransformersEmbedder(name.path, **options)
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
            own = policy.embedder(**name.options)
            if not isinstance(own, Embedder):
                raise EngineError(
                    f"{type(policy).__name__} gave embedder() {shown(own)}; it must have embed and "
                    "aclose"
                )
            return own
    raise InputError(
        "embedder must be lexical, demo, policy, sentence-transformers:NAME or vllm:NAME, "
        f"got {shown(redacted(embedder))}"
    )


__all__ = ["load_embedder"]
