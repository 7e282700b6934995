"""Two real llama.cpp servers behind one search, of which one is killed."""

from __future__ import annotations

import importlib.util
import logging
import threading
import time
from pathlib import Path

import pytest

import ets
from llamacpp_server import MODEL, llamacpp_server

pytest.importorskip("openai", reason="openai is not installed (the extra 'openai' brings it)")
pytest.importorskip("torch", reason="torch is not installed (the extra 'torch' brings it)")
if importlib.util.find_spec("xllamacpp") is None:
    pytest.skip("xllamacpp is not installed (linux on x86_64 only)", allow_module_level=True)

pytestmark = [pytest.mark.rare, pytest.mark.timeout(900)]
PROBLEMS = [f"What is {n} + {n}? Answer with one number only." for n in range(1, 7)]


def test_problems_of_a_killed_server_go_on_at_the_other(
    smollm2_gguf_path: Path, smollm2_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with llamacpp_server(smollm2_gguf_path) as first, llamacpp_server(smollm2_gguf_path) as second:
        search = ets.Search(
            f"openai:{MODEL}@{first.url},{second.url}",
            lambda problem, steps: 0.5,
            ets.REBASE(width=6),
            policy_options={"tokenizer": str(smollm2_path), "max_retries": 0, "patience": 20.0},
            max_step_tokens=24,
            max_tokens=96,
        )

        def kill() -> None:
            while not search.replicas[1].kv_tokens:  # until a problem is on it
                time.sleep(0.01)
            second.kill()

        killing = threading.Thread(target=kill)
        with search, caplog.at_level(logging.WARNING, "ets"):
            assert [replica.name for replica in search.replicas] == [first.url, second.url]
            killing.start()
            results = list(search.map(PROBLEMS, concurrency=4))
            killing.join()
            assert search.replicas[1].lost is not None
            assert search.replicas[0].lost is None
    assert [result.problem for result in results] == PROBLEMS
    assert all(result.lost is None for result in results)
    assert all(result.usage.replicas[-1] in (first.url, second.url) for result in results)
    assert any(result.usage.replicas == [second.url, first.url] for result in results)
    said = [record.getMessage() for record in caplog.records if record.name == "ets"]
    assert any(line.startswith(f"{second.url} is lost, its problems go on") for line in said)
