"""The start of a vLLM engine's processes, and their end."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any

from ets.engines.device_start import one_start
from ets.engines.vllm.counters import CounterBook, stat_logger
from ets.engines.vllm.files import EngineFiles
from ets.engines.vllm.options import gist, kv_space
from ets.engines.vllm.start_environment import STARTS
from ets.engines.vllm.start_phases import StartPhases
from ets.errors import EngineError
from ets.loop.thread import LoopThread

_SHUTDOWN_SECONDS = 2.0
"""For a process to end by itself; its requests are aborted anyway."""


def start_engine(
    model: str,
    config: Any,
    cpu: bool,
    downloads: bool,
    book: CounterBook,
    files: EngineFiles,
    loop: LoopThread,
    lora: Any,
    future: Future[list[Any]],
    frozen: threading.Event,
) -> None:
    """Start the engine's processes and wait for them; the result or the error goes to `future`."""
    from vllm.v1.engine.async_llm import AsyncLLM

    phases = StartPhases(model, files.log, downloads=downloads)
    try:
        with STARTS.running(cpu=cpu, argv=files.argv), one_start(cpu=cpu), phases:
            if files.log and config.logging_config.pylogging_config_file is None:
                # Else its processes take the level of this one, not that of their environment.
                config.logging_config.configure_logging = False
            llm = AsyncLLM.from_vllm_config(
                config, disable_log_stats=True, stat_loggers=[stat_logger(book)]
            )
        if lora is not None:  # here, since an adapter that fails amid a search ends the engine
            try:
                loop.run(llm.add_lora, lora)
            except BaseException:
                llm.shutdown(timeout=_SHUTDOWN_SECONDS)
                raise
    except BaseException as error:  # noqa: BLE001  whatever it was, the waiting requests must know
        why = files.last_words(otherwise=gist(error))
        failure = EngineError(f"the vLLM engine of {model!r} did not start{why}")
        failure.__cause__ = error
        future.set_exception(failure)
    else:
        # As vLLM's own server does: a full collection takes half a second, in which no engine is
        # fed, and finds nothing among the modules.
        if gc.get_freeze_count() == 0:  # else somebody has done so, and may undo it
            gc.collect()
            gc.freeze()
            frozen.set()
        future.set_result([llm])
        phases.started(_kv_tokens(config))


def _kv_tokens(config: Any) -> int | None:
    """None for an engine without a KV cache."""
    try:
        return kv_space(config).tokens
    except EngineError:
        return None


def end_engine(
    future: Future[list[Any]],
    files: EngineFiles,
    loop: LoopThread,
    frozen: threading.Event,
    process: int,
) -> None:
    """End an engine, also one that is only just starting, and its event loop."""
    if process != os.getpid():  # in a forked process: it is the parent's
        return
    try:
        _end_processes(future, files)
    finally:
        loop.close()
        if frozen.is_set():
            gc.unfreeze()


def _end_processes(future: Future[list[Any]], files: EngineFiles) -> None:
    wanted = future.done()
    while not future.done():
        # Nobody waits for this engine any more. Killing its process makes the start fail.
        for process_id in files.process_ids()[:1]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process_id, signal.SIGKILL)
        time.sleep(0.05)
    try:
        llm = future.result().pop()
    except EngineError:  # vLLM has cleaned up after a start that failed
        if not wanted:
            files.remove()
        return
    processes = processes_of(llm)
    died = any(process.exitcode for process in processes)
    llm.shutdown(timeout=_SHUTDOWN_SECONDS)
    for process in processes:
        process.join(timeout=_SHUTDOWN_SECONDS)
        if process.exitcode is None:
            process.kill()
            process.join()
    if not died:
        files.remove()


async def first_end(sentinels: Sequence[int]) -> None:
    """Wait until one of these processes, by its `multiprocessing` sentinel, has ended; without any
    of them for ever."""
    loop = asyncio.get_running_loop()
    ended = loop.create_future()

    def end(own: int) -> None:
        loop.remove_reader(own)  # it stays readable
        if not ended.done():
            ended.set_result(None)

    # A loop has one reader for a descriptor, and several may wait for the same process.
    mine = [os.dup(sentinel) for sentinel in sentinels]
    for own in mine:
        loop.add_reader(own, end, own)
    try:
        await ended
    finally:
        for own in mine:
            loop.remove_reader(own)
            os.close(own)


def processes_of(llm: Any) -> list[Any]:
    """An engine's processes."""
    resources = getattr(getattr(llm, "engine_core", None), "resources", None)
    return list(getattr(getattr(resources, "engine_manager", None), "processes", None) or [])
