"""What runs in a worker's process: a body, and a pipe to the owner."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pickle
import signal
import threading
import time
from collections.abc import Mapping
from contextlib import aclosing
from functools import partial
from multiprocessing import parent_process
from multiprocessing.connection import Connection
from typing import Any

from ets.errors import EngineError
from ets.workers.body import WorkerBody

BEAT = 1.0
"""Seconds between two signs of life."""
_END = 90.0
"""Seconds that a process is given to close its engines, once its owner has gone."""


def serve(pipe: Connection, load: bytes, environment: Mapping[str, str]) -> None:
    """Load engines, say that they are there, then answer until the owner closes the pipe.

    It is sent `("call" | "stream", number, method, arguments)` and `("cancel", number)`; it sends
    lists of packed messages: `("ready",)` or `("failed", error)`, then `("beat",)` and for each
    number `("item", n, value)`, `("end", n, value)` or `("error", n, error)`.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt is the owner's to handle
    # Before anything is imported that reads it, as torch does.
    os.environ.update(environment)
    owner = _Owner(pipe)
    loaded = threading.Event()
    threading.Thread(target=_end_with_owner, args=(loaded,), name="ets-loads", daemon=True).start()
    try:
        body = WorkerBody(pickle.loads(load))
    except Exception as error:  # noqa: BLE001 - whatever it is, the owner raises it
        owner.send("failed", sendable(error))
        return
    finally:
        loaded.set()
    try:
        body.loop.run(_answers, body, owner)
    finally:
        body.close()


def _end_with_owner(loaded: threading.Event) -> None:
    """End this process, while nobody reads the pipe, when its owner has gone."""
    owner = parent_process()
    while not loaded.wait(BEAT):
        if owner is not None and os.getppid() != owner.pid:
            os._exit(1)


class _Owner:
    """Sends to the owner; once it has gone, to nobody."""

    def __init__(self, pipe: Connection) -> None:
        self.pipe = pipe
        self._packed: list[bytes] = []

    def send(self, *message: Any) -> None:
        """Now, with what is to be sent soon before it."""
        self._pack(message)
        self._send()

    def send_soon(self, *message: Any) -> None:
        """With all else that this turn of the running loop has to say: a message costs its owner
        some system calls, and searches that wait for one engine go on together.

        What does not pickle is an error for whoever asked.
        """
        if not self._packed:
            asyncio.get_running_loop().call_soon(self._send)
        self._pack(message)

    def _pack(self, message: tuple[Any, ...]) -> None:
        self._packed.append(pickle.dumps(message, pickle.HIGHEST_PROTOCOL))

    def _send(self) -> None:
        packed, self._packed = self._packed, []
        if packed:
            with contextlib.suppress(OSError):  # `_read` sees that nobody listens
                self.pipe.send_bytes(pickle.dumps(packed, pickle.HIGHEST_PROTOCOL))


async def _answers(body: WorkerBody, owner: _Owner) -> None:
    """Answer what is asked, until the owner has gone."""
    loop = asyncio.get_running_loop()
    asked: asyncio.Queue[Any] = asyncio.Queue()
    reading = threading.Thread(
        target=_read, args=(owner.pipe, loop, asked), name="ets-worker-reads", daemon=True
    )
    reading.start()
    beating = asyncio.create_task(_beat(owner))
    ready, gone = asyncio.create_task(body.ready()), asyncio.create_task(asked.get())
    try:
        await asyncio.wait({ready, gone}, return_when=asyncio.FIRST_COMPLETED)
        if gone.done():  # nothing else comes before it is ready
            return
        await ready
    except Exception as error:  # noqa: BLE001 - the owner raises it
        owner.send("failed", sendable(error))
        return
    finally:
        for task in (beating, ready, gone):
            task.cancel()
    owner.send("ready")
    tasks: dict[int, asyncio.Task[None]] = {}
    beating = asyncio.create_task(_beat(owner))
    try:
        while (message := await asked.get()) is not None:
            kind, number, *what = message
            if kind == "cancel":
                if number in tasks:
                    tasks[number].cancel()
                continue
            task = asyncio.create_task(_answer(body, owner, kind, number, *what))
            tasks[number] = task
            task.add_done_callback(partial(_forget, tasks, number))
    finally:
        beating.cancel()


def _forget(tasks: dict[int, asyncio.Task[None]], number: int, task: object) -> None:
    del tasks[number]


async def _beat(owner: _Owner) -> None:
    while True:
        owner.send("beat")
        await asyncio.sleep(BEAT)


async def _answer(
    body: WorkerBody, owner: _Owner, kind: str, number: int, method: str, arguments: Any
) -> None:
    try:
        found = getattr(body, method)(*arguments)
        if kind == "call":
            owner.send_soon("end", number, await found)
            return
        async with aclosing(found) as items:
            async for item in items:
                owner.send_soon("item", number, item)
        owner.send_soon("end", number, None)
    except Exception as error:  # noqa: BLE001 - whoever asked raises it
        owner.send_soon("error", number, sendable(error))


def _read(pipe: Connection, loop: asyncio.AbstractEventLoop, asked: asyncio.Queue[Any]) -> None:
    message: Any = ()
    while message is not None:
        try:
            message = pickle.loads(pipe.recv_bytes())
        except (EOFError, OSError):
            message = None
        try:
            loop.call_soon_threadsafe(asked.put_nowait, message)
        except RuntimeError:  # the body is closed
            return
    time.sleep(_END)
    os._exit(1)  # an engine that does not close must not keep a process nobody knows of


def sendable(error: Exception) -> Exception:
    """The error, or one that says the same, where it does not survive pickling."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # noqa: BLE001 - an error's own code, which may raise anything
        return EngineError(f"{type(error).__name__}: {error}")
    return error
