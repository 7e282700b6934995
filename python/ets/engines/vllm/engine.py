"""A vLLM engine in this process: requests and counters; `lifecycle` has its start and its end.

The names that vLLM gives these things have changed between its versions; they are used in this
package, in `ets.policy.vllm` and in `ets.prm.vllm` only; docs/vllm-names.md
lists them, and which version has them.
"""

from __future__ import annotations

import asyncio
import atexit
import itertools
import os
import signal
import threading
import time
import weakref
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from ets.checkpoint.source import Source
from ets.engines.context_need import ContextNeed
from ets.engines.kv_space import KVSpace
from ets.engines.vllm.counters import CounterBook, EngineCounters
from ets.engines.vllm.files import EngineFiles
from ets.engines.vllm.lifecycle import end_engine, first_end, processes_of, start_engine
from ets.engines.vllm.options import configure, gist, kv_space, on_cpu
from ets.errors import EngineError, EngineLostError
from ets.loop.call import LoopClosedError
from ets.loop.thread import LoopThread

_REAP_SECONDS = 1.0
"""That a process which ends is given to say how."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What came of one request."""

    output: Any
    """vLLM's final `RequestOutput` or `PoolingRequestOutput`."""
    preemptions: int
    """Times that the request lost its KV cache to others and was computed anew."""


class VLLMEngine:
    """One engine, which starts in the background as soon as this object exists.

    The constructor raises what can be known without starting (no vLLM, no such checkpoint, an
    unknown option or a value that vLLM refuses); the first request raises what the start showed.
    Engines that are constructed one after the other start at the same time on a CPU, and one after
    the other on GPUs (`ets.engines.device_start`).

    Requests may come from any event loop, and from several at once: vLLM itself wants one, which
    the engine has in a thread of its own. `aclose` ends the engine's processes; so does the end of
    the interpreter. A start ends with `gc.freeze`, unless somebody has frozen already: what this
    process holds by then, vLLM's modules above all, is left out of garbage collections until the
    engine is closed.
    """

    def __init__(
        self,
        model: str,
        *,
        defaults: Mapping[str, Any],
        options: Mapping[str, Any],
        need: ContextNeed | None = None,
        lora: Any = None,
    ) -> None:
        self.model = model
        cpu = on_cpu()
        self._config = configure(model, {**defaults, **options}, cpu=cpu, need=need)
        self._request_numbers = itertools.count()
        self._book = CounterBook()
        # In a list that is emptied at the end: vLLM's destructor must not run when the interpreter
        # has taken its modules away.
        self._llm: Future[list[Any]] = Future()
        self._llm.set_running_or_notify_cancel()  # one cancelled waiter must not cancel the start
        self._files = EngineFiles()
        self._loop = LoopThread(f"vllm-{model}", f"the vLLM engine of {model!r}")
        frozen = threading.Event()
        self._close = weakref.finalize(
            self, end_engine, self._llm, self._files, self._loop, frozen, os.getpid()
        )
        # Besides its own turn at exit, which may come after multiprocessing's, which would wait
        # for the engine's processes.
        atexit.register(self._close)
        threading.Thread(
            target=start_engine,
            args=(
                model,
                self._config,
                cpu,
                Source.of(model, options).to_download,
                self._book,
                self._files,
                self._loop,
                lora,
                self._llm,
                frozen,
            ),
            name=f"vllm-start-{model}",
            daemon=True,  # an interpreter that ends must not wait for a start
        ).start()

    @property
    def max_model_len(self) -> int:
        """Tokens of prompt and output together that a request may have."""
        return int(self._config.model_config.max_model_len)

    @property
    def checkpoint_len(self) -> int | None:
        """Tokens that the checkpoint states it can read, of which a start takes what it needs."""
        stated = getattr(self._config.model_config.hf_text_config, "max_position_embeddings", None)
        return None if stated is None else int(stated)

    @property
    def vocabulary(self) -> int:
        """Tokens that its distributions are over."""
        return int(self._config.model_config.get_vocab_size())

    @property
    def data_parallel_size(self) -> int:
        """Engines that split its requests among them, each with weights and a cache of its own."""
        return int(self._config.parallel_config.data_parallel_size)

    @property
    def max_num_seqs(self) -> int:
        """Requests that it works on at once; more of them queue."""
        return int(self._config.scheduler_config.max_num_seqs)

    @property
    def max_num_batched_tokens(self) -> int:
        """Tokens of one pass of the model."""
        return int(self._config.scheduler_config.max_num_batched_tokens)

    @property
    def caches_prefixes(self) -> bool:
        """Whether the engine keeps what it has computed for requests that begin alike."""
        return bool(self._config.cache_config.enable_prefix_caching)

    def counters(self) -> EngineCounters:
        """The engine's own counters since its start; zeros before it."""
        return self._book.counters

    async def kv_space(self) -> KVSpace:
        """The KV cache that the engine has, once it has started.

        # Errors
        `EngineError` if the engine did not start or is closed.
        """
        await self.ready()
        return kv_space(self._config)

    async def ready(self) -> Any:
        """Wait until the engine has started."""
        if not self._close.alive:
            raise self._closed()
        # Waiting for what is done would wake the loop through its socket, at every request.
        done = self._llm.done()
        slot = self._llm.result() if done else await asyncio.wrap_future(self._llm)
        if not slot:
            raise self._closed()
        return slot[0]

    async def run(
        self,
        request: Callable[[Any, str], AsyncGenerator[Any, None]],
        enough: Callable[[Any], bool] | None = None,
    ) -> Reply:
        """Send one request (engine, request id) and wait for its final output.

        When the call is cancelled, the request is aborted in the engine; so it is behind the first
        output that is `enough`, which is then the final one. That is asked on the engine's own
        loop, must be quick and raise nothing.

        # Errors
        `EngineError` of one line if the engine refuses the request or fails, `EngineLostError` if
        it has died.
        """
        llm = await self.ready()
        try:
            return await self._loop.call(self._run, llm, request, enough)
        except LoopClosedError as error:
            raise self._closed() from error

    async def until_lost(self) -> str:
        """Wait until one of its processes has ended, and say how. It is not asked for anything.

        # Errors
        `EngineError` if it did not start or is closed.
        """
        llm = await self.ready()
        try:
            await self._loop.call(first_end, [one.sentinel for one in processes_of(llm)])
        except LoopClosedError as error:
            raise self._closed() from error
        if not self._close.alive:
            raise self._closed()
        return await asyncio.to_thread(_end_of, self.model, processes_of(llm), self._files)

    async def unfinished(self) -> int:
        """How many requests the engine still works on, as its front end counts them."""
        return int((await self.ready()).output_processor.get_num_unfinished_requests())

    async def forget_prefixes(self) -> None:
        """Empty the prefix cache, as if the engine had just started; for measurements.

        # Errors
        `EngineError` if requests are running.
        """
        llm = await self.ready()
        if not await self._loop.call(llm.reset_prefix_cache):
            raise EngineError(f"the vLLM engine of {self.model!r} is in use; its cache stays")

    async def aclose(self) -> None:
        """End the engine and wait until its processes are gone; a second call does nothing."""
        if not self._close.alive:
            return
        if self._llm.done() and self._llm.exception() is None:
            await self._loop.call(self._fail_waiting, self._llm.result()[0])
        atexit.unregister(self._close)
        await asyncio.to_thread(self._close)  # which waits for the processes

    async def _run(
        self,
        llm: Any,
        request: Callable[[Any, str], AsyncGenerator[Any, None]],
        enough: Callable[[Any], bool] | None,
    ) -> Reply:
        request_id = f"ets-{next(self._request_numbers)}"
        output = None
        self._book.follow(request_id)
        try:
            async with aclosing(request(llm, request_id)) as updates:  # closed, it aborts
                async for update in updates:
                    output = update
                    if enough is not None and enough(output):
                        break
            preemptions = await self._book.preemptions(request_id, output)
        except asyncio.CancelledError:
            await llm.abort(request_id)
            raise
        except Exception as error:
            raise self._failure(llm, error) from error
        finally:
            self._book.forget(request_id)
        if output is None:
            raise EngineError(f"the vLLM engine of {self.model!r} gave no output")
        return Reply(output, preemptions)

    async def _fail_waiting(self, llm: Any) -> None:
        """Answer those that would wait for an output for ever, and read no more outputs."""
        closed = EngineError(f"the vLLM engine of {self.model!r} was closed")
        llm.output_processor.propagate_error(closed)
        if llm.output_handler is not None:  # it would log the end of the engine as its death
            llm.output_handler.cancel()

    def _closed(self) -> EngineError:
        return EngineError(f"the vLLM engine of {self.model!r} is closed")

    def _failure(self, llm: Any, error: Exception) -> EngineError:
        """What a failed request raises: of the request itself, or of an engine that died."""
        cause = error.__cause__ or error
        processes = processes_of(llm)
        died = any(process.exitcode is not None for process in processes)
        died = died or bool(getattr(llm, "errored", False))
        if not died or isinstance(cause, EngineError):  # the latter of `_fail_waiting`
            return EngineError(f"the vLLM engine of {self.model!r} failed: {gist(cause)}")
        return EngineLostError(_death(self.model, processes, self._files))


def _end_of(model: str, processes: Sequence[Any], files: EngineFiles) -> str:
    # A process's pipe ends a moment before itself, and of several threads that ask for its exit
    # code the system tells one, which notes it for all.
    last = time.monotonic() + _REAP_SECONDS
    while all(process.exitcode is None for process in processes) and time.monotonic() < last:
        time.sleep(0.001)
    return _death(model, processes, files)


def _death(model: str, processes: Sequence[Any], files: EngineFiles) -> str:
    codes = [code for process in processes if (code := process.exitcode) is not None]
    # Nobody but the system kills an engine, and its log says nothing of that.
    killed = ", killed: as a rule by a system that is out of memory"
    how = f" (exit code {codes[0]}{killed * (codes[0] == -signal.SIGKILL)})" if codes else ""
    return f"the vLLM engine of {model!r} died{how}{files.last_words()}"


def rendered(ids: Sequence[int]) -> Any:
    """A prompt as vLLM's engine takes it at once; any other form goes through a thread first."""
    from vllm.inputs.engine import tokens_input

    return tokens_input(list(ids))
