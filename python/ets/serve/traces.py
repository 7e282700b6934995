"""OpenTelemetry: a span for each search, with one for each of its steps. Without a provider, which
the environment brings, nothing is kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from ets.extras import needs
from ets.serve.running import RunningSearch
from ets.tree.events import Event, Expanded, Pruned, Scored

with needs("opentelemetry", "serve"):
    from opentelemetry import propagate, trace


class SearchSpan(Protocol):
    """The span of one search."""

    def note(self, event: Event) -> None:
        """Something has happened in it."""
        ...

    def end(self) -> None:
        """It is over."""
        ...


class Traced:
    """Makes spans with the tracer of a provider, by default the process's."""

    def __init__(self, provider: trace.TracerProvider | None = None) -> None:
        self._tracer = trace.get_tracer("ets.serve", tracer_provider=provider)

    @staticmethod
    def context(headers: Mapping[str, str]) -> Any:
        """That of the caller's trace, if it sent one (`traceparent`)."""
        return propagate.extract(headers)

    def search(self, running: RunningSearch, context: Any) -> SearchSpan:
        """The span of a search, which begins."""
        span = self._tracer.start_span(
            "ets.search",
            context=context,
            attributes={"ets.search.id": running.key, "ets.model": running.model},
        )
        return _Span(self._tracer, span, running)


class _Span:
    def __init__(self, tracer: trace.Tracer, span: trace.Span, running: RunningSearch) -> None:
        self._tracer, self._span, self._running = tracer, span, running
        self._step: trace.Span | None = None

    def note(self, event: Event) -> None:
        if not self._span.is_recording():
            return
        if isinstance(event, Expanded):
            self._end_step()
            self._step = self._tracer.start_span(
                "ets.step",
                context=trace.set_span_in_context(self._span),
                attributes={"ets.depth": event.step + 1, "ets.samples": sum(event.counts)},
            )
        elif isinstance(event, Scored) and self._step is not None:
            self._step.set_attribute("ets.nodes", len(event.nodes))
        elif isinstance(event, Pruned) and self._step is not None:
            self._step.set_attribute("ets.kept", len(event.kept))

    def end(self) -> None:
        self._end_step()
        running = self._running
        if (result := running.result) is not None:
            self._span.set_attributes(
                {
                    "ets.end": result.end or "",
                    "ets.nodes": running.nodes,
                    "ets.policy_tokens": result.usage.policy_tokens,
                    "ets.prm_tokens": result.usage.prm_tokens,
                    "ets.kv_tokens": result.kv.after.sum,
                    "ets.kv_tokens_rebase": result.kv.rebase.sum,
                }
            )
        elif running.failure is not None:
            self._span.set_status(trace.StatusCode.ERROR, running.failure.code or "failed")
        self._span.end()

    def _end_step(self) -> None:
        if self._step is not None:
            self._step.end()
            self._step = None
