"""A worker in a process of its own on this host, as its owner has it."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import itertools
import os
import pickle
import signal
import threading
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from ets.errors import EngineError, EngineLostError
from ets.loop.mailbox import Mailbox
from ets.loop.workers import Threads
from ets.shown.log import Log
from ets.workers import child
from ets.workers.patience import Patience, shows_work

_LOG = Log("ets")
_LOOK = 0.25
"""Seconds between two looks at what a silent process should have done."""
_CLOSING = 50.0
"""Seconds for a process to close its engines."""
_CLOSING_UNLOADED = 10.0
"""The same while it only loads them."""
_UNGUARDED = 'a script that starts workers does so below `if __name__ == "__main__":`'
_Sent = tuple[str, Any]


class ProcessWorker:
    """A process with engines, kept alive by a thread of this one.

    `load` is a pickled `ets.workers.load.Load`; `environment` is set in the process before that is
    read, but behind what a script's main module imports.
    """

    def __init__(
        self,
        name: str,
        load: bytes,
        environment: Mapping[str, str],
        patience: Patience,
    ) -> None:
        self.name = name
        self.starts = 0
        self._arguments = (load, dict(environment))
        self._patience = patience
        self._lock = threading.Lock()
        self._sending = threading.Lock()
        self._sends = Threads(f"ets-sends-{name.replace(' ', '-')}", 1)
        self._cancels: set[asyncio.Task[None]] = set()
        self._numbers = itertools.count()
        self._process: BaseProcess | None = None
        self._pipe: Connection | None = None
        self._ready = False
        self._loaded = False
        """Whether it was ever ready: then a failure to start is no mistake of its owner's."""
        self._failure: Exception | None = None
        self._why: str | None = None
        self._failures = 0
        self._closing = threading.Event()
        self._open: dict[int, Callable[[_Sent], None]] = {}
        self._mailbox: Mailbox | None = None
        """Of the loop that asked last."""
        self._waiting: list[Callable[[], object]] = []
        self._owner = os.getpid()
        atexit.register(self._end_at_exit)
        self._thread = threading.Thread(
            target=self._keep_alive, name=f"ets-{name.replace(' ', '-')}", daemon=True
        )
        self._thread.start()

    @property
    def pid(self) -> int | None:
        """The process that runs now; None between two."""
        process = self._process
        return None if process is None else process.pid

    @property
    def returns(self) -> bool:
        """Whether it runs, or is being started (again)."""
        return self._failure is None and not self._closing.is_set()

    @property
    def is_ready(self) -> bool:
        """Whether it runs, with its engines loaded."""
        return self._ready

    async def ready(self) -> None:
        """Wait until it runs, with its engines loaded.

        # Errors
        `EngineLostError` with its last words if it is given up; what loading the engines raised,
        the first time.
        """
        loop = asyncio.get_running_loop()
        changed = asyncio.Event()
        while True:
            changed.clear()
            with self._lock:
                if self._failure is not None:
                    raise self._failure
                if self._closing.is_set():
                    raise EngineLostError(f"{self.name} is closed")
                if self._ready:
                    return
                self._waiting.append(lambda: loop.call_soon_threadsafe(changed.set))
            await changed.wait()

    async def call(self, method: str, *arguments: Any) -> Any:
        """As `Worker.call`."""
        async with contextlib.aclosing(self._asked("call", method, arguments)) as answers:
            async for kind, value in answers:
                if kind == "end":
                    return value
        raise EngineLostError(f"{self.name} gave no answer")

    async def stream(self, method: str, *arguments: Any) -> AsyncGenerator[Any, None]:
        """As `Worker.stream`."""
        async with contextlib.aclosing(self._asked("stream", method, arguments)) as answers:
            async for kind, value in answers:
                if kind == "item":
                    yield value

    def restart(self, why: str, starts: int) -> None:
        """As `Worker.restart`."""
        with self._lock:
            if starts == self.starts and self._why is None:
                self._why, self._ready = why, False
                self._kill()

    async def aclose(self) -> None:
        """End it for good, with its engines; what is still asked of it is lost."""
        if self._owner != os.getpid():
            return
        self._closing.set()
        deadline = time.monotonic() + _CLOSING
        while self._thread.is_alive() and time.monotonic() < deadline:
            await asyncio.sleep(0.02)  # no executor: at the interpreter's end there is none
        self._kill()
        self._sends.close()
        atexit.unregister(self._end_at_exit)

    async def _asked(
        self, kind: str, method: str, arguments: tuple[Any, ...]
    ) -> AsyncGenerator[_Sent, None]:
        """What comes of a request, up to its end."""
        loop = asyncio.get_running_loop()
        if self._mailbox is None or self._mailbox.loop is not loop:
            self._mailbox = Mailbox(loop)
        mailbox = self._mailbox
        answers: asyncio.Queue[_Sent] = asyncio.Queue()

        def take(sent: _Sent) -> None:
            with contextlib.suppress(RuntimeError):  # the caller's loop has been closed
                mailbox.post(partial(answers.put_nowait, sent))

        number = next(self._numbers)
        packed = pickle.dumps((kind, number, method, arguments), pickle.HIGHEST_PROTOCOL)
        with self._lock:
            pipe = self._pipe
            if not self._ready or pipe is None:
                raise EngineLostError(self._why or f"{self.name} is not running")
            self._open[number] = take
        ended = False
        try:
            # A process that is stopped reads nothing, and must not stop the loop with it.
            await self._sends.run(self._send, pipe, packed)
            while not ended:
                told, value = await answers.get()
                ended = told != "item"
                if told == "error":
                    raise value
                yield told, value
        finally:
            with self._lock:
                known = self._open.pop(number, None) is not None
            if known and not ended:  # nobody waits for it, so that a stopped process is no matter
                cancelling = loop.create_task(self._cancel(pipe, number))
                self._cancels.add(cancelling)
                cancelling.add_done_callback(self._cancels.discard)

    async def _cancel(self, pipe: Connection, number: int) -> None:
        with contextlib.suppress(EngineError):  # it is closed meanwhile
            await self._sends.run(self._send, pipe, pickle.dumps(("cancel", number)))

    def _send(self, pipe: Connection, packed: bytes) -> None:
        with self._sending, contextlib.suppress(OSError):  # the thread sees that it has gone
            pipe.send_bytes(packed)

    # --- the thread that keeps it alive ---------------------------------------------------------

    def _keep_alive(self) -> None:
        while not self._closing.is_set():
            words = self._run_once()
            if self._closing.is_set():
                break
            self._failures += 1
            pause = self._patience.pause(self._failures)
            if self._failure is not None or pause is None:
                with self._lock:
                    self._failure = self._failure or EngineLostError(words)
                self._tell_waiting()
                return
            _LOG.warning("%s is started again: %s", self.name, words)
            self._closing.wait(pause)
        self._tell_waiting()

    def _run_once(self) -> str:
        """Start the process and listen until it has ended; its last words."""
        context = get_context("spawn")  # forked processes cannot use a GPU that this one has used
        ours, theirs = context.Pipe()
        # No daemon, which could not start the processes that engines need.
        process = context.Process(target=child.serve, args=(theirs, *self._arguments))
        with self._lock:
            self._why = None
            self._pipe, self._process = ours, process
            self.starts += 1
        try:
            process.start()
            theirs.close()  # so that its end is seen here
            words = self._listen(ours, process)
        except OSError as error:  # out of processes, memory or descriptors
            words = f"{self.name} could not be started: {error}"
        except RuntimeError as error:  # this is a process that is only being started itself
            words = _UNGUARDED
            self._failure = EngineError(f"{self.name} could not be started: {words}")
            self._failure.__cause__ = error
        with self._lock:
            loads, self._ready = not self._ready, False
            words = self._why or words
            lost, self._open = list(self._open.values()), {}
        for take in lost:
            take(("error", EngineLostError(words)))
        self._end(process, ours, _CLOSING_UNLOADED if loads else _CLOSING)
        theirs.close()
        return words

    def _listen(self, ours: Connection, process: BaseProcess) -> str:
        begin = heard = time.monotonic()
        while not self._closing.is_set():
            if wait([ours], timeout=_LOOK):
                try:
                    told = [pickle.loads(packed) for packed in pickle.loads(ours.recv_bytes())]
                except (EOFError, OSError):
                    return self._ended(process)
                except Exception as error:  # noqa: BLE001 - of whatever class is not to be had here
                    return f"{self.name} sent what cannot be read: {type(error).__name__}: {error}"
                heard = time.monotonic()
                for kind, *what in told:
                    self._heard(kind, *what)
                continue
            now = time.monotonic()
            if not self._ready and now - begin > self._patience.start_seconds:
                return f"{self.name} did not start within {self._patience.start_seconds:g} s"
            if now - heard > self._patience.hang_seconds and self._ready:
                return f"{self.name} gave no sign of life for {self._patience.hang_seconds:g} s"
        return f"{self.name} is closed"

    def _heard(self, kind: str, *what: Any) -> None:
        if kind == "ready":
            with self._lock:
                self._ready = self._loaded = True
            self._tell_waiting()
        elif kind == "failed":
            if not self._loaded:
                self._failure = what[0]
        elif kind != "beat":
            number, value = what
            if shows_work(value):
                self._failures = 0
            with self._lock:
                take = self._open.get(number)
                if kind != "item":
                    self._open.pop(number, None)
            if take is not None:
                take((kind, value))

    def _ended(self, process: BaseProcess) -> str:
        process.join(_CLOSING)
        code = process.exitcode
        how = "does not end" if code is None else f"ended with status {code}"
        if code is not None and code < 0:
            how = f"was ended by {_signal(-code)}"
        if not self._loaded and self._failure is None:
            hint = "; " + _UNGUARDED if code == 1 else ""  # that of an exception
            self._failure = EngineError(f"{self.name} {how} before its engines were loaded{hint}")
        return f"{self.name} {how}"

    def _end(self, process: BaseProcess, pipe: Connection, seconds: float) -> None:
        """End what is left of it: if it is closed, in good order within so long, else at once."""
        if process.pid is not None and process.exitcode is None and not self._closing.is_set():
            process.kill()
        pipe.close()  # which it sees
        if process.pid is not None:
            process.join(seconds)
            if process.exitcode is None:
                process.kill()
                process.join(_CLOSING)
        with self._lock:
            self._process = self._pipe = None
        with contextlib.suppress(ValueError):  # it does not end, not even killed
            process.close()

    def _end_at_exit(self) -> None:
        """Before `multiprocessing`, which waits for processes that nobody ends."""
        if self._owner == os.getpid():
            self._closing.set()
            self._thread.join(_CLOSING)
            self._kill()

    def _kill(self) -> None:
        process = self._process
        if process is not None and self._owner == os.getpid():
            with contextlib.suppress(OSError, ValueError):
                process.kill()

    def _tell_waiting(self) -> None:
        with self._lock:
            waiting, self._waiting = self._waiting, []
        for tell in waiting:
            with contextlib.suppress(RuntimeError):  # that loop has been closed
                tell()


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
