"""How much a vLLM engine works on at once, and how much it had to so far."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from ets.engines.vllm.counters import EngineCounters


@runtime_checkable
class _Batches(Protocol):
    """`ets.engines.vllm.engine.VLLMEngine`, as far as it counts here."""

    @property
    def max_num_seqs(self) -> int: ...

    @property
    def max_num_batched_tokens(self) -> int: ...

    def counters(self) -> EngineCounters: ...


@dataclass(frozen=True, slots=True)
class EngineLoad:
    """An engine's limits, under vLLM's names, and its busiest moment."""

    max_num_seqs: int
    """Requests at once; more of them queue."""
    max_num_batched_tokens: int
    """Tokens of one pass of the model."""
    peak_running: int
    """The most requests that ran at once so far."""

    @classmethod
    def of(cls, backend: object) -> EngineLoad | None:
        """That of a policy, PRM or embedder on vLLM in this process; None of others."""
        engine = getattr(backend, "engine", None)
        if not isinstance(engine, _Batches):
            return None
        return cls(
            engine.max_num_seqs, engine.max_num_batched_tokens, engine.counters().peak_running
        )

    def __str__(self) -> str:
        return (
            f"{self.max_num_seqs:,} requests (max_num_seqs), "
            f"{self.max_num_batched_tokens:,} tokens a pass (max_num_batched_tokens); "
            f"the most that ran at once: {self.peak_running:,}"
        )
