"""A server's answer to one request at `/v1/completions`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

from ets.errors import EngineError
from ets.policy.server_logprobs import ServerLogprobs

_LLAMA_STOPS = ("eos", "word", "limit")
_STOP_KEYS = ("stop_reason", "matched_stop")
"""Where vLLM and SGLang say what ended the text."""
_OWN_END = ("eos", "eos_token", "end", "end_turn")
"""What other servers call the model's own end of the sequence."""
_FINISHES: dict[Any, Literal["stop", "length"]] = {
    "stop": "stop",
    "stop_sequence": "stop",
    "length": "length",
    "max_tokens": "length",
    **dict.fromkeys(_OWN_END, "stop"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """The parts of an answer that make a step."""

    text: str
    token_ids: tuple[int, ...] | None
    """The ids as sampled; None where the server gives none."""
    finish: Literal["stop", "length"]
    says_stop: bool
    """Whether the server says what ended the text."""
    stopped_by: str | int | None
    """The stop text, the stop id, or None for the model's own end of the sequence."""
    prompt_tokens: int | None
    cached_tokens: int
    """Prompt tokens from the server's prefix cache; 0 where the server does not say."""
    logprobs: ServerLogprobs | None = None
    """None where the server gives none."""

    @classmethod
    def read(cls, answer: str, *, url: str) -> Completion:
        """Take an answer's body apart.

        # Errors
        `EngineError` if it is no completion, or one that was broken off.
        """
        try:
            body = json.loads(answer)
            choice = body["choices"][0]
            text, said = choice["text"], choice["finish_reason"]
            finish = _FINISHES.get(said)
            if text is None and not choice.get("token_ids"):
                text = ""  # of a model that ends at once
            if not isinstance(text, str):
                raise TypeError("text is no text")
            more: dict[str, Any] = body.get("__verbose") or {}  # of llama.cpp, asked for it
            ids = choice.get("token_ids", more.get("tokens"))
            if "token_ids" not in choice and text and not ids:
                ids = None  # a llama.cpp that says much, but no ids
            token_ids = None if ids is None else tuple(int(i) for i in ids)
            usage: dict[str, Any] = body.get("usage") or {}
            details: dict[str, Any] = usage.get("prompt_tokens_details") or {}
            logprobs = ServerLogprobs.read(choice.get("logprobs"))
            prompt_tokens, cached = usage.get("prompt_tokens"), details.get("cached_tokens")
        except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
            raise EngineError(
                f"the server at {url} answers /completions with {answer[:60]!r}, not with a "
                "completion"
            ) from error
        if finish is None:
            raise EngineError(
                f"the server at {url} broke a step off: its finish_reason is {said!r}, where "
                "'stop' or 'length' was due"
            )
        stops = [choice[key] for key in _STOP_KEYS if key in choice]
        if said in _OWN_END:
            stops.append(None)
        if more.get("stop_type") in _LLAMA_STOPS:
            stops.append(more.get("stopping_word") or None)
        return cls(
            text=text,
            token_ids=token_ids,
            finish=finish,
            says_stop=bool(stops),
            stopped_by=stops[0] if stops else None,
            prompt_tokens=prompt_tokens,
            cached_tokens=cached or 0,
            logprobs=logprobs,
        )
