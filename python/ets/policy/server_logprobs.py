"""Log-probabilities as OpenAI-compatible servers give them with a completion."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ets.certainty import Certainty
from ets.engines.server.model_card import ModelCard
from ets.errors import EngineError, InputError


@dataclass(frozen=True, slots=True)
class ServerLogprobs:
    """Of a completion's tokens, in order."""

    sampled: tuple[float, ...]
    """[tokens]: of those that were sampled."""
    top: tuple[tuple[float, ...], ...]
    """[tokens][entries]: of the likeliest in each place, and on some servers of the one sampled."""

    @classmethod
    def read(cls, said: Mapping[str, Any] | None) -> ServerLogprobs | None:
        """What stands under `logprobs` of a choice; None where nothing does.

        Servers of the completions API (vLLM, SGLang) have lists beside each other; llama.cpp has
        what the chat API has, an object for each token.

        # Errors
        `ValueError`, `TypeError`, `KeyError` or `AttributeError` for anything else.
        """
        if said is None:
            return None
        if "content" in said:
            if (content := said["content"]) is None:
                return None
            return cls(
                tuple(float(token["logprob"]) for token in content),
                tuple(
                    tuple(float(likely["logprob"]) for likely in token["top_logprobs"])
                    for token in content
                ),
            )
        sampled, top = said["token_logprobs"], said.get("top_logprobs")
        if sampled is None or top is None:
            return None
        return cls(
            tuple(float(logprob) for logprob in sampled),
            tuple(tuple(float(logprob) for logprob in likely.values()) for likely in top),
        )


def certainty_of(
    logprobs: ServerLogprobs | None, top: int, vocabulary: int, server: ModelCard, *, tokens: int
) -> Certainty | None:
    """How certain the policy was of at least `tokens` tokens; None where `top` is 0.

    # Errors
    `EngineError` where the server gives none, or fewer.
    """
    if not top:
        return None
    wanted = f"top_logprobs={top} asks for the log-probabilities of each token and of its likeliest"
    who = f"the {server.kind} server" if server.kind != "other" else "the server"
    if logprobs is None or len(logprobs.sampled) < tokens:
        if tokens == 0:
            return Certainty(b"")
        got = "none" if logprobs is None else f"those of {len(logprobs.sampled)} of {tokens} tokens"
        raise EngineError(
            f"{who} at {server.url} gives {got} with the completions of {server.model!r}: {wanted}"
        )
    try:
        likeliest = [sorted(place, reverse=True)[:top] for place in logprobs.top]
        return Certainty.of(logprobs.sampled, likeliest, vocabulary)
    except InputError as error:
        raise EngineError(
            f"{who} at {server.url} gives log-probabilities that are none with the completions of "
            f"{server.model!r}: {error}; {wanted}"
        ) from error
