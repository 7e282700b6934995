"""How much KV cache an engine has, and in what pieces."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from ets.checks import integer
from ets.errors import InputError


@dataclass(frozen=True, slots=True)
class KVSpace:
    """The KV cache of one engine, which running requests and kept prefixes share.

    # Errors
    `InputError` if `tokens` is negative or `block_size` is not positive.
    """

    tokens: int
    """Tokens whose keys and values fit, >= 0."""
    block_size: int
    """Tokens in the unit that the engine hands out and caches; 1 where it has no such unit."""

    def __post_init__(self) -> None:
        if integer("tokens", self.tokens, None) < 0:
            raise InputError(f"tokens must be >= 0, got {self.tokens}")
        integer("block_size", self.block_size, 1)

    @property
    def blocks(self) -> int:
        """Whole blocks that there are."""
        return self.tokens // self.block_size

    def rounded(self, tokens: int) -> int:
        """The tokens of space that a sequence of `tokens` tokens takes up: whole blocks."""
        return -(-tokens // self.block_size) * self.block_size


def cache_space(cache_tokens: int, name: str) -> KVSpace:
    """What a transformers backend keeps between calls; running rows have space of their own.

    # Errors
    `InputError` where it keeps nothing.
    """
    if cache_tokens == 0:
        raise InputError(
            f"{name!r} keeps no KV cache: to divide it, cache_tokens must be at least 1, got 0"
        )
    return KVSpace(tokens=cache_tokens, block_size=1)


@runtime_checkable
class HasKVSpace(Protocol):
    """A policy or PRM that can say how much KV cache its engine has."""

    async def kv_space(self) -> KVSpace:
        """The engine's KV cache. Waits until the engine knows, as vLLM does once it has started."""
        ...
