"""vLLM engines in two processes behind one search, one of them killed."""

from __future__ import annotations

import logging
import os
import signal

import pytest

import ets
from conftest import DEMO
from ets import demo
from ets.rollout.result import SearchResult
from ets.workers.process import ProcessWorker
from worker_cases import eventually, runs, worker_at

pytestmark = [pytest.mark.vllm, pytest.mark.rare]

PROBLEMS = [str(row["problem"]) for row in demo.problems()[:16]]


def test_an_engine_in_each_of_two_processes_and_one_is_killed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Engines are not of these tests' process, so what is shown is that of the whole path: names
    and options get there, trees come back step by step, and go on in the other process."""
    caplog.set_level(logging.WARNING, "ets")
    with ets.Search(
        f"vllm:{DEMO / 'policy'}",
        "demo",
        ets.REBASE(width=4),
        workers=ets.Workers(2),
        policy_options={"kv_cache_memory_bytes": 1 << 26, "gpu_memory_utilization": 0.1},
    ) as search:
        first, second = (worker_at(search, number) for number in range(2))
        assert isinstance(first, ProcessWorker)
        assert isinstance(second, ProcessWorker)
        results: list[SearchResult] = []
        with search.map(PROBLEMS, concurrency=4) as found:
            for result in found:
                results.append(result)
                if len(results) == 2 and first.pid is not None:
                    assert search.replicas[0].in_flight
                    os.kill(first.pid, signal.SIGKILL)
        assert eventually(lambda: first.is_ready)  # its engines are loaded a second time
        pids = [first.pid, second.pid]
        assert search.solve(PROBLEMS[0]).answer is not None
        assert (first.starts, second.starts) == (2, 1)
    assert [result.problem for result in results] == PROBLEMS
    assert all(result.answer is not None for result in results)
    by_number = [set(result.usage.replicas) for result in results]
    assert set.union(*by_number) == {"worker 1", "worker 2"}
    assert any(len(names) == 2 for names in by_number), "no problem has moved"
    assert "worker 1 is started again: worker 1 was ended by SIGKILL" in caplog.text
    assert not any(map(runs, pids))
