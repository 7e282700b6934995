"""What a vLLM engine counts about itself, read through a stat logger of its own kind.

The classes and fields of vLLM's statistics are used here only; vLLM says that they may change.
docs/vllm-names.md lists them.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

_TURNS = 64
"""Turns of the event loop within which a finished request's statistics come after its output."""


@dataclass(frozen=True, slots=True)
class EngineCounters:
    """An engine's own counters since its start. The last iteration may not be in them yet.

    What fills a moment is seen at the end of an iteration, when requests that the engine itself
    found finished have given back their blocks: of a PRM, whose requests take one iteration each,
    `peak_kv_usage` says little.
    """

    preemptions: int = 0
    """Times that a request lost its KV cache to others and was computed anew."""
    cache_queries: int = 0
    """Prompt tokens of the requests that looked into the prefix cache, each request once."""
    cache_hits: int = 0
    """Of those, the tokens that were there."""
    peak_running: int = 0
    """The most requests that ran at once."""
    peak_kv_usage: float = 0.0
    """The largest share of the KV cache in use by running requests, in [0, 1]."""
    iterations: int = 0
    """Those in which a request ran."""
    running: int = 0
    """Requests that ran, summed over these iterations: by them divided, how many ran at once."""


class CounterBook:
    """Adds up one engine's statistics; written on the engine's event loop, read from anywhere."""

    def __init__(self) -> None:
        self._counters = EngineCounters()
        self._preempted: dict[str, int | None] = {}

    @property
    def counters(self) -> EngineCounters:
        """The state now."""
        return self._counters

    def record(self, scheduler: Any, iteration: Any) -> None:
        """Take in one iteration: vLLM's `SchedulerStats` and `IterationStats`, either may lack."""
        old = self._counters
        preempted = queries = hits = running = 0
        usage = 0.0
        if scheduler is not None:
            queries = scheduler.prefix_cache_stats.queries
            hits = scheduler.prefix_cache_stats.hits
            running = scheduler.num_running_reqs
            usage = scheduler.kv_cache_usage
        if iteration is not None:
            preempted = iteration.num_preempted_reqs
            # These ran in this iteration, and may not be in the scheduler's number any more.
            running = max(running, len(iteration.finished_requests))
            for request in iteration.finished_requests:
                if request.request_id in self._preempted:
                    self._preempted[request.request_id] = request.num_preemptions
        self._counters = EngineCounters(
            preemptions=old.preemptions + preempted,
            cache_queries=old.cache_queries + queries,
            cache_hits=old.cache_hits + hits,
            peak_running=max(old.peak_running, running),
            peak_kv_usage=max(old.peak_kv_usage, usage),
            iterations=old.iterations + (running > 0),
            running=old.running + running,
        )

    def follow(self, request_id: str) -> None:
        """Remember what is told about a request until `forget`."""
        self._preempted[request_id] = None

    def forget(self, request_id: str) -> None:
        """Drop a followed request."""
        del self._preempted[request_id]

    async def preemptions(self, request_id: str, output: Any) -> int:
        """How often a followed request was preempted, once its final `output` is there.

        The output of a sample says so itself. That of a pooling request does not; its statistics
        come with the end of the iteration, at most some turns of the event loop later.
        """
        metrics = getattr(output, "metrics", None)
        if metrics is not None:
            return int(metrics.num_preemptions)
        for _ in range(_TURNS):
            if (told := self._preempted[request_id]) is not None:
                return told
            await asyncio.sleep(0)
        return 0


def stat_logger(book: CounterBook) -> type[Any]:
    """The class to pass to vLLM as a stat logger, which records into `book` and nowhere else.

    vLLM adds its Prometheus logger, which takes the metrics of other engines in the process out of
    the registry, unless a given logger is of that class. So this one is, by name alone.
    """
    from vllm.v1.metrics.loggers import PrometheusStatLogger

    class BookLogger(PrometheusStatLogger):
        def __init__(self, vllm_config: Any, engine_indexes: Any = None) -> None:
            pass  # registers no metric

        def record(
            self,
            scheduler_stats: Any,
            iteration_stats: Any,
            mm_cache_stats: Any = None,
            engine_idx: int = 0,
        ) -> None:
            book.record(scheduler_stats, iteration_stats)

        def log_engine_initialized(self) -> None:
            pass

        def record_sleep_state(self, sleep: int = 0, level: int = 0) -> None:
            pass

        def record_admission_rejection(self, reason: str) -> None:
            pass

    return BookLogger
