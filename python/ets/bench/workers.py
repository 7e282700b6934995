"""A benchmark in several processes, for models so small that one Python process is the limit."""

from __future__ import annotations

import os
import pickle
import signal
from collections.abc import Iterator
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from ets.bench.engines import Engines, Found, Todo
from ets.bench.grid import Grid
from ets.errors import EngineError

_LOOK_SECONDS = 0.5


def found_by_processes(grid: Grid, todo: Todo) -> Iterator[Found]:
    """What comes of each search, as it is finished, from `grid.workers` processes.

    Each process loads the engines for itself, and takes every n-th problem of each cell and seed.
    What is found does not depend on which process found it; what an engine had cached does.

    # Errors
    Those of the engines and searches; `EngineError` for a process that died. The others are
    stopped then.
    """
    context = get_context("spawn")  # forked processes cannot use a GPU that their parent has used
    shares = [_share(todo, number, grid.workers) for number in range(grid.workers)]
    threads = max(1, (os.cpu_count() or 1) // grid.workers)
    started = []
    try:
        for share in filter(None, shares):
            ours, theirs = context.Pipe(duplex=False)
            # No daemon, which could not start the processes that engines need.
            process = context.Process(target=_work, args=(grid, share, threads, theirs))
            process.start()
            theirs.close()  # so that its end is seen here
            started.append((process, ours))
        # A pipe's end is what the system makes it: a `Connection`, or a `PipeConnection`.
        listening: dict[Any, BaseProcess] = {ours: process for process, ours in started}
        while listening:
            # Of a look at a time: where a wait is deaf to Ctrl-C, the code between two is not.
            for ready in wait(list(listening), timeout=_LOOK_SECONDS):
                answer = _received(ready, listening[ready])
                if answer is None:
                    _join(listening.pop(ready))
                else:
                    yield answer
    finally:
        for process, ours in started:
            process.terminate()
            _join(process)
            ours.close()


def _share(todo: Todo, number: int, workers: int) -> Todo:
    return {key: mine for key, problems in todo.items() if (mine := problems[number::workers])}


def _join(process: BaseProcess) -> None:
    while process.exitcode is None:
        process.join(_LOOK_SECONDS)


def _received(ours: Any, process: BaseProcess) -> Found | None:
    """What came of the next search; None where that process has no more."""
    try:
        answer: Found | Exception | None = ours.recv()
    except EOFError as error:
        _join(process)
        raise EngineError(
            f"a process of the benchmark died (exit status {process.exitcode}); what was finished "
            "is kept"
        ) from error
    if isinstance(answer, Exception):
        raise answer
    return answer


def _work(grid: Grid, share: Todo, threads: int, results: Connection) -> None:
    """The body of a process: sends one search at a time and None at the end, or what was raised."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt is the parent's to handle
    # Read when torch is imported, below: as many threads in all as there are cores.
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))
    try:
        with Engines(grid, share) as engines:
            for found in engines.found():
                results.send(found)
    except BrokenPipeError as error:  # nobody is left to be told
        raise SystemExit(1) from error
    except Exception as error:
        results.send(_sendable(error))
        raise SystemExit(1) from error
    results.send(None)


def _sendable(error: Exception) -> Exception:
    """The error, or one that says the same, where it does not survive pickling."""
    try:
        pickle.loads(pickle.dumps(error))
    except (pickle.PickleError, TypeError, AttributeError):
        return EngineError(f"{type(error).__name__}: {error}")
    return error
