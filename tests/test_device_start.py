"""Engines go onto a GPU one at a time; torch's meta device stands in for the GPU."""

from __future__ import annotations

import gc
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import ets.embed.sentence_transformers
import ets.engines.vllm.lifecycle
import ets.policy.transformers
import ets.prm.transformers
from ets.embed.sentence_transformers import SentenceTransformersEmbedder
from ets.engines.device_start import one_start
from ets.errors import EngineError
from ets.policy.transformers import TransformersPolicy
from ets.prm.transformers import TransformersPRM

GPU, CPU = "meta", "cpu"
SECONDS = 60.0


class Loads:
    """Watches whoever is loading: how many at once, and in which order."""

    def __init__(self) -> None:
        self.most = self.now = 0
        self.log: list[str] = []
        self._lock = threading.Lock()

    @contextmanager
    def one(self, name: str) -> Iterator[None]:
        with self._lock:
            self.now += 1
            self.most = max(self.most, self.now)
            self.log.append(name)
        try:
            time.sleep(0.1)  # time for another to come in, if it may
            yield
        finally:
            with self._lock:
                self.now -= 1

    def watched(self, name: str, load: Callable[..., Any]) -> Callable[..., Any]:
        def watching(*arguments: Any, **more: Any) -> Any:
            with self.one(name):
                return load(*arguments, **more)

        return watching


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> Loads:
    """The real loaders, watched; the embedder's and vLLM's are stand-ins."""
    found = Loads()
    for module, name in (
        (ets.prm.transformers, "_load_backbone"),
        (ets.policy.transformers, "_load_model"),
    ):
        monkeypatch.setattr(module, name, found.watched(name, getattr(module, name)))
    embedder = found.watched("embedder", lambda name, device: object())
    monkeypatch.setattr(ets.embed.sentence_transformers, "_load", embedder)
    engine = SimpleNamespace(from_vllm_config=found.watched("vllm", lambda *_, **__: object()))
    stand_in: Any = SimpleNamespace(AsyncLLM=engine)
    monkeypatch.setitem(sys.modules, "vllm.v1.engine.async_llm", stand_in)
    monkeypatch.setattr(ets.engines.vllm.lifecycle, "stat_logger", lambda book: None)
    monkeypatch.setattr(gc, "freeze", lambda: None)
    monkeypatch.setattr(ets.engines.vllm.lifecycle, "_kv_tokens", lambda config: None)
    return found


def start_vllm(*, cpu: bool) -> Future[list[Any]]:
    """What the thread of a vLLM engine does."""
    done: Future[list[Any]] = Future()
    files: Any = SimpleNamespace(argv=(), log=None, last_words=lambda otherwise: f": {otherwise}")
    nothing: Any = None
    ets.engines.vllm.lifecycle.start_engine(
        "m", nothing, cpu, False, nothing, files, nothing, None, done, threading.Event()
    )
    return done


def all_at_once(device: str, pair: tuple[Path, Path]) -> list[Any]:
    with ThreadPoolExecutor(4) as pool:
        started: list[Future[Any]] = [
            pool.submit(start_vllm, cpu=device == CPU),
            pool.submit(TransformersPolicy, pair[0], device=device),
            pool.submit(TransformersPRM, pair[1], device=device),
            pool.submit(SentenceTransformersEmbedder, "m", device=device),
        ]
        return [start.result(SECONDS) for start in started]


def test_no_two_engines_start_on_a_gpu_at_once(loads: Loads, pair_paths: tuple[Path, Path]) -> None:
    _, policy, prm, _ = all_at_once(GPU, pair_paths)
    assert policy._model.device.type == GPU
    assert next(prm._head.parameters()).device.type == GPU
    assert sorted(loads.log) == ["_load_backbone", "_load_model", "embedder", "vllm"]
    assert loads.most == 1


def test_on_a_cpu_nothing_waits() -> None:
    both_inside = threading.Barrier(2)

    def start() -> None:
        with one_start(cpu=True):
            both_inside.wait(SECONDS)

    with ThreadPoolExecutor(2) as pool:
        for started in [pool.submit(start), pool.submit(start)]:
            started.result(SECONDS)


def test_engines_on_a_cpu_load_while_another_starts_on_a_gpu(
    loads: Loads, pair_paths: tuple[Path, Path]
) -> None:
    with one_start(cpu=False):
        all_at_once(CPU, pair_paths)
    assert len(loads.log) == 4


def test_an_engine_waits_until_the_gpu_is_free(loads: Loads, pair_paths: tuple[Path, Path]) -> None:
    with ThreadPoolExecutor(1) as pool:
        with one_start(cpu=False):
            waiting = pool.submit(TransformersPRM, pair_paths[1], device=GPU)
            time.sleep(0.5)
            assert loads.log == []
        waiting.result(SECONDS)
    assert loads.log == ["_load_backbone"]


def test_a_start_that_fails_lets_the_next_one_in(
    loads: Loads, pair_paths: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any, **__: Any) -> Any:
        raise EngineError("no room")

    loading = ets.prm.transformers._load_backbone
    monkeypatch.setattr(ets.prm.transformers, "_load_backbone", fails)
    with pytest.raises(EngineError, match="no room"):
        TransformersPRM(pair_paths[1], device=GPU)
    monkeypatch.setattr(ets.prm.transformers, "_load_backbone", loading)
    engine: Any = sys.modules["vllm.v1.engine.async_llm"]
    monkeypatch.setattr(engine.AsyncLLM, "from_vllm_config", fails)
    with ThreadPoolExecutor(1) as pool:
        failed = pool.submit(start_vllm, cpu=False).result(SECONDS)
        assert "did not start: no room" in str(failed.exception())
        pool.submit(TransformersPRM, pair_paths[1], device=GPU).result(SECONDS)
    assert loads.log == ["_load_backbone"]
