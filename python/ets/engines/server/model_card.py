"""What a server says of itself and of a model."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from typing import Any, Literal

from ets.checks import shown
from ets.engines.server.connection import Connection
from ets.errors import EngineError, EngineLostError, InputError
from ets.shown.log import Log

Kind = Literal["vllm", "sglang", "llama.cpp", "other"]

_LOG = Log("ets")
_RANK = re.compile(r'^vllm:num_requests_running\{.*?\bengine="(\d+)"', re.MULTILINE)
_OWNERS: dict[str, Kind] = {"vllm": "vllm", "sglang": "sglang", "llamacpp": "llama.cpp"}
"""How servers sign the models in their list."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCard:
    """A model on a server, as `/v1/models` describes it."""

    url: str
    """Its address, without user and password."""
    model: str
    kind: Kind
    root: str | None
    """The checkpoint that is served: a hub name, or a folder on the server's machine."""
    max_length: int | None
    """Tokens of prompt and solution together; None where the server does not say."""
    ranks: int = 1
    """Engines of a vLLM server's data parallelism, of which a request may name one."""

    @classmethod
    def ask(cls, connection: Connection, model: str) -> ModelCard:
        """What a server says of a model; blocks, and waits for one that loads it.

        # Errors
        `InputError` if `model` is no name, `EngineError` if the server cannot be reached, gives no
        list of models, or does not have the model.
        """
        if not isinstance(model, str) or not model:
            raise InputError(
                f"model must be the name of a model that the server has, got {shown(model)}"
            )
        answer = connection.get("/models")
        cards = _cards(answer, connection.shown_url).values()
        # Older llama.cpp lists a model that is not loaded yet, without its facts.
        if any(card.get("owned_by") == "llamacpp" and not card.get("meta", 1) for card in cards):
            connection.get("/health", beside=True)  # which answers 503 until it is loaded
            answer = connection.get("/models")
        card = cls.read(answer, model=model, url=connection.shown_url)
        return replace(card, ranks=_ranks(connection)) if card.kind == "vllm" else card

    @classmethod
    def of_any(cls, connection: Connection, model: str) -> ModelCard:
        """The same of a server that need not list its models, as those behind gateways.

        Where it does not, or not this one, the logger `ets` says so, and nothing is known of it.

        # Errors
        `InputError` if `model` is no name, `EngineLostError` if the server cannot be reached.
        """
        try:
            return cls.ask(connection, model)
        except EngineLostError:
            raise
        except EngineError as error:
            _LOG.warning("%s; %r is asked for all the same", error, model)
            return cls(
                url=connection.shown_url, model=model, kind="other", root=None, max_length=None
            )

    @classmethod
    def read(cls, answer: str, *, model: str, url: str) -> ModelCard:
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
        kind = _OWNERS.get(str(card.get("owned_by")), "other")
        if isinstance(meta := base.get("meta"), dict):  # llama.cpp's
            length = meta.get("n_ctx")  # of one slot
        return cls(
            url=url,
            model=model,
            kind=kind,
            root=root if isinstance(root, str) and root else None,
            max_length=length if isinstance(length, int) and length > 0 else None,
        )

    def context(self, max_length: int | None) -> int | None:
        """Tokens of prompt and solution together where `max_length` may lower what is stated."""
        stated = [length for length in (max_length, self.max_length) if length is not None]
        return min(stated, default=None)


def _ranks(connection: Connection) -> int:
    """As its metrics name them; 1 where they are not to be had, as behind a proxy."""
    try:
        metrics = connection.get("/metrics", beside=True, waits=False)
    except EngineError:
        return 1
    return max(1, len(set(_RANK.findall(metrics))))


def _cards(answer: str, url: str) -> dict[str, dict[str, Any]]:
    try:
        listed = json.loads(answer)["data"]
        return {str(card["id"]): dict(card) for card in listed}
    except (ValueError, TypeError, KeyError) as error:
        raise EngineError(
            f"the server at {url} answers /models with {answer[:60]!r}, not with a list of models"
        ) from error
