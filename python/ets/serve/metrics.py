"""What `/metrics` tells: one registry a server."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Protocol

from ets.extras import needs
from ets.serve.running import RunningSearch

with needs("prometheus_client", "serve"):
    from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
    from prometheus_client.core import GaugeMetricFamily, Metric

_SECONDS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)


class Counted(Protocol):
    """What is counted at the moment of the question."""

    @property
    def inside(self) -> int:
        """Searches that run."""
        ...

    @property
    def waiting(self) -> int:
        """Searches in the queue."""
        ...


class Metrics:
    """Counters of searches, tokens, KV tokens and time; no text of anybody, but models' names."""

    content_type = "text/plain; version=0.0.4; charset=utf-8"

    def __init__(self) -> None:
        self.registry = CollectorRegistry(auto_describe=True)

        def counter(name: str, what: str, *labels: str) -> Counter:
            return Counter(f"ets_{name}", what, labels, registry=self.registry)

        def histogram(name: str, what: str) -> Histogram:
            return Histogram(
                f"ets_{name}", what, ("model",), registry=self.registry, buckets=_SECONDS
            )

        self.requests = counter("requests", "Requests by what became of them", "route", "status")
        self._searches = counter("searches", "Searches by their end", "model", "end")
        self._tokens = counter(
            "tokens", "Tokens: sampled or read, and of the prompts those cached", "engine", "kind"
        )
        self._kv = counter("kv_tokens", "KV tokens kept by selections, and by REBASE", "kept_by")
        self._preemptions = counter("preemptions", "Requests computed anew", "engine")
        self._busy = counter("busy_seconds", "Seconds of searches in each part", "part")
        self._took = histogram("search_seconds", "From a search's turn to its end")
        self._queued = histogram("queue_seconds", "From a request to its search's turn")
        self._first = histogram("first_event_seconds", "From a request to its first event")

    def watch(self, counted: Counted) -> None:
        """Tell what is counted there too."""
        self.registry.register(_Gauges(counted))

    def began(self, running: RunningSearch) -> None:
        """Its first event has come."""
        self._first.labels(running.model).observe(time.monotonic() - running.asked)

    def ended(self, running: RunningSearch) -> None:
        """A search is over, however it ended."""
        result, failure = running.result, running.failure
        end = failure.code if failure is not None else None if result is None else result.end
        self._searches.labels(running.model, end or "unknown").inc()
        if running.began is not None:
            self._queued.labels(running.model).observe(running.began - running.asked)
            self._took.labels(running.model).observe(time.monotonic() - running.began)
        if result is None:
            return
        usage, kv = result.usage, result.kv
        for engine, kind, count in (
            ("policy", "sampled", usage.policy_tokens),
            ("policy", "prompt", usage.policy_prompt_tokens),
            ("policy", "cached", usage.policy_cached_tokens),
            ("prm", "prompt", usage.prm_tokens),
            ("prm", "cached", usage.prm_cached_tokens),
        ):
            self._tokens.labels(engine, kind).inc(count)
        self._kv.labels("search").inc(kv.after.sum)
        self._kv.labels("rebase").inc(kv.rebase.sum)
        self._preemptions.labels("policy").inc(usage.policy_preemptions)
        self._preemptions.labels("prm").inc(usage.prm_preemptions)
        self._busy.labels("policy").inc(usage.policy_seconds)
        self._busy.labels("prm").inc(usage.prm_seconds)
        selecting = sum(timing.decide_us for timing in result.tree.timings) / 1e6
        self._busy.labels("selection").inc(selecting)

    def text(self) -> bytes:
        """In Prometheus' text format."""
        return generate_latest(self.registry)


class _Gauges:
    def __init__(self, counted: Counted) -> None:
        self._counted = counted

    def collect(self) -> Iterable[Metric]:
        """What runs and what waits now."""
        for name, what, value in (
            ("ets_searches_in_flight", "Searches that run", self._counted.inside),
            ("ets_searches_queued", "Searches that wait for their turn", self._counted.waiting),
        ):
            yield GaugeMetricFamily(name, what, value=value)
