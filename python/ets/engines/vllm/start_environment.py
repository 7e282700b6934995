"""What holds in this process while vLLM engines start, and is undone when they have started.

Everything here is about a process-wide thing (environment, start method, `__main__`), so one object
per process keeps count: engines may start at the same time, and the last one restores.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import spawn
from pathlib import Path
from typing import Any

from ets.fork_lock import ForkLock

_ALWAYS = {
    "VLLM_LOGGING_LEVEL": "ERROR",
    "VLLM_LOGGING_STREAM": "ext://sys.stderr",  # standard output belongs to the program
    "VLLM_NO_USAGE_STATS": "1",
    # Engines start from a thread, in a process that may hold tokenizer and OpenMP threads:
    # what a fork copies of those can be locked for ever.
    "VLLM_WORKER_MULTIPROC_METHOD": "spawn",
}
_ON_CPU = {
    # vLLM's own choice binds every engine of a machine to the same cores but one; two engines on
    # two cores then share the first one.
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    # Spinning threads of one engine take the cores from the other.
    "OMP_WAIT_POLICY": "PASSIVE",
}
_WRITTEN_BY_VLLM = (
    "LD_LIBRARY_PATH",
    "LD_PRELOAD",
    "LOCAL_WORLD_SIZE",
    "NUMEXPR_MAX_THREADS",
    "TORCHINDUCTOR_COMPILE_THREADS",
    "TORCHINDUCTOR_CPP_DYNAMIC_THREADS",
    "VLLM_DISABLE_SHARED_EXPERTS_STREAM",
    "VLLM_ENABLE_V1_MULTIPROCESSING",
    "VLLM_SSM_CONV_STATE_LAYOUT",
)

_ENGINE_MAIN = Path(__file__).with_name("child_main.py")


class _Starts:
    """How many engines are starting, and what to restore after the last of them."""

    def __init__(self) -> None:
        self._lock = ForkLock()
        self._running = 0
        self._environment: dict[str, str | None] = {}
        self._preparation: Any = None
        self._starters = threading.local()

    @contextmanager
    def running(self, *, cpu: bool, argv: tuple[str, ...] = ()) -> Iterator[None]:
        """Inside, this thread may import vLLM and start processes; `argv`: see `child_main`."""
        defaults = _ALWAYS | (_ON_CPU if cpu else {})
        with self._lock:
            if self._running == 0:
                self._begin()
            self._running += 1
            for name, value in defaults.items():
                os.environ.setdefault(name, value)
        self._starters.argv = argv
        try:
            yield
        finally:
            self._starters.argv = None
            with self._lock:
                self._running -= 1
                if self._running == 0:
                    self._end()

    def users(self, name: str) -> str | None:
        """What the user has in the environment, whatever is there for the engines now."""
        with self._lock:
            if self._running and name in self._environment:
                return self._environment[name]
            return os.environ.get(name)

    def _begin(self) -> None:
        names = (*_ALWAYS, *_ON_CPU, *_WRITTEN_BY_VLLM)
        self._environment = {name: os.environ.get(name) for name in names}
        self._preparation = spawn.get_preparation_data
        spawn.get_preparation_data = self._without_main

    def _end(self) -> None:
        for name, value in self._environment.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        spawn.get_preparation_data = self._preparation

    def _without_main(self, name: str) -> dict[str, Any]:
        """What a spawned process is told; an engine's gets our main module, not the user's.

        A spawned process imports the main module of its parent. An engine needs nothing of it, and
        a script without an `if __name__ == "__main__"` guard would start its own search there.
        """
        data: dict[str, Any] = dict(self._preparation(name))
        argv = getattr(self._starters, "argv", None)
        if argv is not None:
            data.pop("init_main_from_name", None)
            data["init_main_from_path"] = str(_ENGINE_MAIN)
            data["sys_argv"] = ["ets-engine", *argv]
        return data


STARTS = _Starts()


@contextmanager
def in_process_worker() -> Iterator[None]:
    """Inside, an engine configuration for the CPU may put the worker into the engine's process.

    vLLM insists on a worker process of its own on the CPU, for the sake of thread binding; without
    binding that buys nothing and costs a third import of torch and two spinning queues.
    """
    name = "VLLM_ENABLE_V1_MULTIPROCESSING"
    before = os.environ.get(name)
    os.environ[name] = "0"
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = before
