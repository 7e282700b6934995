"""One event loop in a thread of its own.

A search lives on one, so that it serves a plain script, a notebook whose own loop is running, and
an asynchronous server; an engine whose library binds it to a loop lives on one of its own, so that
any number of searches may share it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import time
from collections.abc import Awaitable, Callable
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, ParamSpec, TypeVar
from weakref import WeakKeyDictionary

from ets.errors import EngineError
from ets.loop.call import GRACE, LoopCall, LoopClosedError, cancel
from ets.loop.engine_call import described, is_serving
from ets.loop.mailbox import Mailbox
from ets.shown.log import Log

P = ParamSpec("P")
T = TypeVar("T")
_LOG = Log("ets")
_TICK = 0.25
"""Seconds between two looks for an interrupt, which waits on Windows do not notice."""
_LONGEST_END = 120.0
"""Seconds that a loop is given to end once it has begun to; engines may end their processes."""
_PATIENCE = 1.0
"""Seconds that an interrupted call is given to end."""


class LoopThread:
    """An event loop that runs in a daemon thread until `close`.

    `run` and `call` are its one door: what comes after `close` is refused there, and what came
    before is answered, whatever happens to the loop. `owner` is what the errors call it.
    """

    def __init__(self, name: str, owner: str = "") -> None:
        self.mark = object()
        """Of the engine calls that this loop waits for, see `ets.loop.engine_call`."""
        self._owner = owner or f"the event loop {name!r}"
        self._process = os.getpid()
        try:
            self._loop = asyncio.new_event_loop()
        except OSError as error:  # out of file descriptors, as a rule
            raise EngineError(f"{self._owner} could not be made: {error}") from error
        self._begun = Mailbox(self._loop)
        self._answers: WeakKeyDictionary[asyncio.AbstractEventLoop, Mailbox] = WeakKeyDictionary()
        self._lock = threading.Lock()
        self._open: set[LoopCall[Any]] = set()
        """The calls that are not answered yet."""
        self._closed = False
        self._thread = threading.Thread(
            target=_serve, args=(self._loop, self._owner), name=name, daemon=True
        )
        try:
            self._thread.start()
        except RuntimeError as error:  # no more threads to be had
            if self._thread.ident is None:
                self._loop.close()
            self._post(self._loop.stop)
            raise EngineError(f"{self._owner} could not be made: {error}") from error
        except BaseException:  # an interrupt: the thread may be there
            self._post(self._loop.stop)
            raise

    @property
    def closed(self) -> bool:
        """Whether `close` has begun."""
        return self._closed

    def run(self, function: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call `function`, asynchronous, with these arguments on the loop, and wait.

        An interrupt of the wait cancels it, and is raised once it has ended, or does not end within
        a second.

        # Errors
        `LoopClosedError` if the loop is closed, before or meanwhile; `EngineError` in a forked
        process, and for a call that an engine makes of the search which waits for it;
        `RuntimeError` on the loop's own thread.
        """
        if threading.current_thread() is self._thread:
            raise RuntimeError(f"a blocking call was made from the event loop of {self._owner}")
        ended: SimpleQueue[None] = SimpleQueue()  # an interrupt may leave an `Event` locked
        call = self._made(partial(function, *args, **kwargs), partial(ended.put, None))
        try:
            self._enter(call)
            while not _heard(ended):
                pass
        except BaseException:
            if call in self._open:
                self._post(call.cancel)
                deadline = time.monotonic() + _PATIENCE
                while not _heard(ended) and time.monotonic() < deadline:
                    pass
            raise
        return call.result()

    async def call(
        self, function: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """`run` for asynchronous callers, on whatever loop they are.

        A caller that is cancelled cancels it and goes on once it has ended.

        # Errors
        As those of `run`.
        """
        self._check()
        caller = asyncio.get_running_loop()
        if caller is self._loop:
            return await function(*args, **kwargs)
        answers = self._answers_to(caller)
        ended: asyncio.Future[None] = caller.create_future()
        over = False

        def tell() -> None:
            nonlocal over
            over = True
            if not ended.done():
                ended.set_result(None)

        def answer() -> None:
            with contextlib.suppress(RuntimeError):  # the caller's loop has been closed
                answers.post(tell)

        call = self._made(partial(function, *args, **kwargs), answer)
        self._enter(call)
        try:
            await ended
        except asyncio.CancelledError:
            if not over:
                ended = caller.create_future()
                self._post(call.cancel)
                await ended
            raise
        return call.result()

    def close(self, last: Callable[[], Awaitable[None]] | None = None) -> None:
        """Cancel what still runs, await `last()` on the loop, and stop the loop and its thread.

        Tasks that do not end when they are cancelled are left behind after ten seconds, with a line
        in the log. On the loop's own thread it just stops. In a forked process there is nothing to
        stop. A second call waits for the first.

        # Errors
        Those of `last`.
        """
        if self._process != os.getpid():
            return
        with self._lock:
            first, self._closed = not self._closed, True
        if threading.current_thread() is self._thread:
            self._fail_open()
            self._loop.stop()
            return
        if first:
            self._end(last)
        else:
            self._thread.join(2 * GRACE)

    def _end(self, last: Callable[[], Awaitable[None]] | None) -> None:
        begun, ended = threading.Event(), threading.Event()
        failed: list[BaseException] = []

        async def end() -> None:
            begun.set()
            try:
                await self._cancel_all()
                self._fail_open()
                if last is not None:
                    await last()
            except BaseException as error:  # noqa: BLE001 - raised below, where it is seen
                failed.append(error)
            finally:
                ended.set()

        try:
            self._post(lambda: self._loop.create_task(end()))
            if begun.wait(GRACE):  # else a coroutine blocks the loop, for ever perhaps
                ended.wait(_LONGEST_END)
        except BaseException:  # an interrupt ends the wait, and the loop all the same
            self._post(lambda: self._loop.create_task(self._give_up()))
            raise
        self._post(self._loop.stop)
        self._thread.join(_PATIENCE)
        if self._thread.is_alive():
            _LOG.warning("%s: its event loop is blocked and is left behind", self._owner)
        else:
            self._loop.close()
        self._fail_open()
        if failed:
            raise failed[0]

    def _made(self, make: Callable[[], Awaitable[T]], on_end: Callable[[], None]) -> LoopCall[T]:
        return LoopCall(self._loop, make, on_end, self._open, self._owner)

    def _enter(self, call: LoopCall[Any]) -> None:
        self._check()
        with self._lock:
            if self._closed:
                raise LoopClosedError(f"{self._owner} is closed")
            self._open.add(call)
            self._begun.post(call.start)

    def _check(self) -> None:
        why = None
        if self._process != os.getpid():
            why = (
                f"{self._owner} belongs to the process that this one was forked from; make a new "
                "one after the fork, or start processes by 'spawn'"
            )
        elif is_serving(self.mark):
            why = f"a policy, PRM, embedder or strategy called {self._owner}, which waits for it"
        if why is not None:
            raise EngineError(why)

    def _post(self, callback: Callable[[], object]) -> None:
        with contextlib.suppress(RuntimeError):  # closed: everything has been answered
            self._loop.call_soon_threadsafe(callback)

    def _answers_to(self, caller: asyncio.AbstractEventLoop) -> Mailbox:
        with self._lock:
            mailbox = self._answers.get(caller)
            if mailbox is None:
                mailbox = self._answers[caller] = Mailbox(caller)
            return mailbox

    async def _cancel_all(self) -> None:
        if not await cancel(asyncio.all_tasks() - {asyncio.current_task()}):
            _LOG.warning("%s: a task that does not end when cancelled is left behind", self._owner)
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._loop.shutdown_asyncgens(), GRACE)

    async def _give_up(self) -> None:
        await cancel(asyncio.all_tasks() - {asyncio.current_task()})
        self._fail_open()
        self._loop.stop()

    def _fail_open(self) -> None:
        error = LoopClosedError(f"{self._owner} was closed during a call")
        for call in list(self._open):
            call.fail(error)


def _heard(ended: SimpleQueue[None]) -> bool:
    """Whether there is something in it, within a tick."""
    try:
        ended.get(timeout=_TICK)
    except Empty:
        return False
    return True


def _serve(loop: asyncio.AbstractEventLoop, owner: str) -> None:
    """Run until the loop is stopped; a task that raises `SystemExit` stops it for a moment."""
    while (error := _ran(loop)) is not None:
        _LOG.error("%s: a task raised %s", owner, described(error))


def _ran(loop: asyncio.AbstractEventLoop) -> BaseException | None:
    """Run until the loop is stopped; what has stopped it against its will."""
    try:
        loop.run_forever()
    except BaseException as error:  # noqa: BLE001 - the loop serves others, who wait for it
        return error
    return None
