"""What a server allows: its limits, declared once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

from ets.checks import check_number, checked_count
from ets.errors import InputError


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The table `serve` of a configuration.

    # Errors
    `InputError` for a value of another type or out of range.
    """

    default: str | None = None
    """The configuration of requests that name none; None: the first."""
    concurrency: int | Literal["auto"] = 32
    """Searches at once, >= 1; `auto`: as many as fit into the policy's KV cache."""
    queue: int = 256
    """Requests that wait for one of these places, >= 0; beyond it they are refused with 429."""
    max_body_bytes: int = 1 << 20
    """Of a request."""
    body_seconds: float = 30.0
    """In which a request's body has to come."""
    max_messages: int = 256
    """Of a request."""
    max_width: int | None = None
    """The most that a request may ask for; None: the widest of the configurations."""
    max_tokens: int | None = None
    """Of one solution, the most that a request may ask for; None: what the engines can read."""
    max_budget_tokens: int | None = None
    """Tokens that one request's search may sample; None: any number."""
    max_seconds: float = 600.0
    """Of one request's search, at which it ends with its best answer so far."""
    send_seconds: float = 60.0
    """In which a client has to take a part of a stream."""
    unwatched_seconds: float = 30.0
    """Without a follower after which a search that was begun to be watched is ended."""
    kept_searches: int = 32
    """Finished searches whose events can still be read, >= 0."""

    def __post_init__(self) -> None:
        if self.default is not None and not isinstance(self.default, str):
            raise InputError(f"serve.default must be a name, got {self.default!r}")
        if self.concurrency != "auto":
            checked_count("serve.concurrency", self.concurrency, note=", or 'auto'")
        for name in ("max_body_bytes", "max_messages"):
            checked_count(f"serve.{name}", getattr(self, name))
        for name in ("max_width", "max_tokens", "max_budget_tokens"):
            if (value := getattr(self, name)) is not None:
                checked_count(f"serve.{name}", value)
        for name in ("queue", "kept_searches"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 0:
                raise InputError(f"serve.{name} must be an integer >= 0, got {value!r}")
        for name in ("body_seconds", "max_seconds", "send_seconds", "unwatched_seconds"):
            check_number(f"serve.{name}", getattr(self, name), "> 0", lambda x: x > 0)

    @classmethod
    def of(cls, table: Mapping[str, Any]) -> Settings:
        """Those of a table.

        # Errors
        `InputError` for an unknown key too.
        """
        known = [field.name for field in fields(cls)]
        for key in table:
            if key not in known:
                raise InputError(f"unknown key {key!r} in serve; the keys are {', '.join(known)}")
        return cls(**table)
