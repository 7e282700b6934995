"""The context an engine on vLLM is started with: what a search needs, not all that a model reads.

vLLM refuses to start where its KV cache cannot hold one request of `max_model_len` tokens. The
131,072 that many checkpoints state would take 16 GiB of it for a model of 8B.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Part = Literal["policy", "PRM", "embedder"]
PROMPT_TOKENS = 512
"""Of a problem with its system prompt; search-and-learn's alone has about 250."""
_PROBLEM_TOKENS = 256
_UNIT = 64


@dataclass(frozen=True, slots=True)
class ContextNeed:
    """How long a context has to be."""

    tokens: int
    why: str
    """What the tokens are for."""


EMBEDDING = ContextNeed(8192, "more than any step has")
"""Of an embedder, which reads steps; longer texts are cut there."""


def context_need(
    part: Literal["policy", "PRM"], max_tokens: int, *, prompt_tokens: int = PROMPT_TOKENS
) -> ContextNeed:
    """The context for solutions of `max_tokens` behind prompts of `prompt_tokens`."""
    solution = solution_tokens(part, max_tokens)
    more = "" if solution == max_tokens else " and an eighth"
    return ContextNeed(
        -(-(prompt_tokens + solution) // _UNIT) * _UNIT,
        f"{prompt_tokens:,} for the prompt, {max_tokens:,} for max_tokens{more}",
    )


def prompt_room(own_tokens: int) -> int:
    """Tokens for a prompt of which `own_tokens` are the same for every problem."""
    return max(PROMPT_TOKENS, own_tokens + _PROBLEM_TOKENS)


def solution_tokens(part: Part, max_tokens: int) -> int:
    """What a solution comes to in an engine: a PRM tokenizes anew, with step tags and turns."""
    return max_tokens + max_tokens // 8 if part == "PRM" else max_tokens
