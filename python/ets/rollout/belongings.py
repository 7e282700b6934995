"""What a search must give back: its event loop, its threads, the engines that it loaded."""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
from collections.abc import Sequence
from typing import Protocol

from ets.errors import EngineError
from ets.loop.engine_call import EngineCall, name_of
from ets.loop.thread import LoopThread
from ets.loop.workers import Threads
from ets.shown.log import Log

_LOG = Log("ets")
_SECONDS = 60.0
"""For one engine to close."""
_DECISION = 1.0
"""For a decision that is being made, which is better not amid Rust when the interpreter ends."""


class Closes(Protocol):
    """An engine, or whatever holds engines."""

    async def aclose(self) -> None:
        """Free what it has."""
        ...


class Belongings:
    """Made with a search and given back with `close`, at the interpreter's end at the latest.

    It holds nothing of the search itself, so that one which nobody refers to any more can go.
    """

    def __init__(self) -> None:
        self.loop = LoopThread("ets-search", "the search")
        self.prompts = Threads("ets-prompts", 2)
        """For prompts, which are tokenised once a problem."""
        self.deciding = Threads("ets-decisions", os.cpu_count() or 1)
        """For selections, which compute without the GIL."""
        self.voting = Threads("ets-votes", 4)
        """For votes, which wait for the process that compares answers."""
        self.engines: list[Closes] = []
        """Those that were loaded by name, in the order of loading."""
        self._process = os.getpid()
        atexit.register(self.close_quietly)

    def close(self, engines: Sequence[Closes]) -> None:
        """Abort what runs, close all of the engines, end the threads; a second time does nothing.

        # Errors
        That of the first engine that fails to close, when all have been closed.
        """
        if self._process != os.getpid():  # all of it is the parent's
            return
        atexit.unregister(self.close_quietly)
        failures: list[Exception] = []

        async def last() -> None:
            for engine in reversed(engines):
                failures.extend(await _failure(engine))

        self.loop.close(last)
        self.prompts.close()
        self.voting.close()
        self.deciding.close(_DECISION)
        for failure in failures[1:]:
            _LOG.warning("closing an engine failed: %s", failure)
        if failures:
            raise failures[0]

    def close_quietly(self) -> None:
        """`close` where nobody can hear of errors: they go to the log."""
        try:
            self.close(self.engines)
        except Exception as error:  # noqa: BLE001 - at exit, or in a thread of its own
            _LOG.warning("closing a search failed: %s: %s", type(error).__name__, error)

    def abandon(self) -> None:
        """`close_quietly` in a thread, since the garbage collector runs on any: on one, perhaps,
        that an engine needs in order to close. A script's own thread waits a moment for it."""
        closing = threading.Thread(target=self.close_quietly, name="ets-abandoned", daemon=True)
        closing.start()
        script = threading.current_thread() is threading.main_thread()
        if script and asyncio._get_running_loop() is None:
            closing.join(_DECISION)


async def _failure(engine: Closes) -> list[Exception]:
    """Close one, or leave it behind after a minute; what went wrong, if anything did."""

    async def close() -> None:
        with EngineCall(engine):
            await engine.aclose()

    task = asyncio.create_task(close())
    done, _ = await asyncio.wait([task], timeout=_SECONDS)
    if not done:
        return [EngineError(f"{name_of(engine)} does not close; it is left behind")]
    error = asyncio.CancelledError() if task.cancelled() else task.exception()
    if error is None or isinstance(error, Exception):
        return [] if error is None else [error]
    return [EngineError(f"{name_of(engine)} was cancelled while it closed")]
