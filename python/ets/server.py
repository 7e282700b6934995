"""What a server says of itself and of a model."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

from ets.errors import EngineError

Kind = Literal["vllm", "sglang", "llama.cpp", "other"]

_OWNERS: dict[str, Kind] = {"vllm": "vllm", "sglang": "sglang", "llamacpp": "llama.cpp"}
"""How servers sign the models in their list."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A model on a server, as `/v1/models` describes it."""

    url: str
    model: str
    kind: Kind
    root: str | None
    """The checkpoint that is served: a hub name, or a folder on the server's machine."""
    max_length: int | None
    """Tokens of prompt and solution together; None where the server does not say."""

    @classmethod
    def read(cls, answer: str, *, model: str, url: str) -> Server:
        """Find a model in a server's list.

        # Errors
        `EngineError` if this is no list of models, or the model is not in it.
        """
        cards = _cards(answer, url)
        if model not in cards:
            there = ", ".join(map(repr, cards)) or "none"
            raise EngineError(f"the server at {url} has no model {model!r}; it has {there}")
        card = cards[model]
        # An adapter has the tokenizer and the context of the model that it sits on.
        base = cards.get(str(card.get("parent")), card)
        root, length = base.get("root"), base.get("max_model_len")
        return cls(
            url=url,
            model=model,
            kind=_OWNERS.get(str(card.get("owned_by")), "other"),
            root=root if isinstance(root, str) and root else None,
            max_length=length if isinstance(length, int) and length > 0 else None,
        )


def _cards(answer: str, url: str) -> dict[str, dict[str, Any]]:
    try:
        listed = json.loads(answer)["data"]
        return {str(card["id"]): dict(card) for card in listed}
    except (ValueError, TypeError, KeyError) as error:
        raise EngineError(
            f"the server at {url} answers /models with {answer[:60]!r}, not with a list of models"
        ) from error
