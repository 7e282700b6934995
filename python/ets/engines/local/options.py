"""What bounds the work of an engine in this process."""

from __future__ import annotations

from dataclasses import dataclass

from ets.checks import check_positive, checked_count


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalOptions:
    """The options that all policies and PRMs in this process take.

    # Errors
    `InputError` for a value that cannot be.
    """

    max_batch: int
    """Sequences in one pass; more wait."""
    prefill_tokens: int
    """Tokens, padding included, in one pass."""
    cache_tokens: int
    """Tokens of recent sequences whose keys and values are kept between calls; 0 for none."""
    max_length: int | None
    """Lowers the context length that the checkpoint states; None does not."""

    def __post_init__(self) -> None:
        check_positive(max_batch=self.max_batch, prefill_tokens=self.prefill_tokens)
        object.__setattr__(
            self, "cache_tokens", checked_count("cache_tokens", self.cache_tokens, 0)
        )
        if self.max_length is not None:
            check_positive(max_length=self.max_length)
