"""A worker in a Ray actor, as its owner has it."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import time
from collections.abc import AsyncGenerator, Awaitable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, TypeVar

import ray
from ray.exceptions import RayError, RayTaskError

from ets.errors import EngineLostError
from ets.loop.stream import Stream
from ets.loop.thread import LoopThread
from ets.ray.actor import WorkerActor
from ets.shown.log import Log
from ets.workers.patience import Patience, shows_work

T = TypeVar("T")
_LOG = Log("ets")
_BEAT = 1.0
"""Seconds between two signs of life."""
_CLOSING = 50.0
"""Seconds for an actor to close its engines."""
_WAITS_LONG = 30.0
"""Seconds without a place on the cluster after which the log says so."""
_AT_ONCE = 10_000
"""Calls and streams of one actor at a time: more than problems that anyone has in flight."""
_WORDS = 300


@dataclass(frozen=True, slots=True)
class Place:
    """Where an actor can be, and what it loads."""

    options: Mapping[str, Any]
    """Of `ray.remote`: cores, GPUs, resources."""
    load: bytes
    """A pickled `ets.workers.load.Load`."""


class _Life:
    """An actor, from its start to its end."""

    def __init__(self, actor: Any, starts: int) -> None:
        self.actor = actor
        self.starts = starts
        self.loaded = False
        self.why: str | None = None
        """Its last words; None while it lives."""
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def end(self) -> None:
        """Answer those who wait for it; on its loop."""
        if not self.over.done():
            self.over.set_result(None)

    def ask(self, method: str, *arguments: Any) -> Any:
        """Call a method of the actor; what to await.

        # Errors
        `_Gone` where Ray is shut down: it would start anew for any call.
        """
        if not ray.is_initialized():
            raise _Gone("Ray was shut down")
        try:
            return getattr(self.actor, method).remote(*arguments)
        except TypeError:  # an argument that does not pickle
            raise
        except Exception as error:  # of another cluster, perhaps
            raise _Gone(_words(error)) from error

    async def answer(self, awaitable: Awaitable[T]) -> T:
        """What the actor answers, as it was returned or raised.

        # Errors
        `EngineLostError` if it is over before, and where Ray says that it is.
        """
        asked = asyncio.ensure_future(awaitable)
        try:
            await asyncio.wait((asked, self.over), return_when=asyncio.FIRST_COMPLETED)
            if not asked.done() or self.why is not None:
                raise _Gone(self.why)
            return asked.result()
        except RayTaskError as error:
            if isinstance(error.cause, Exception):
                raise error.cause from None
            raise EngineLostError(_words(error)) from error
        except RayError as error:
            raise _Gone(_words(error)) from error
        finally:
            asked.cancel()


class _Gone(EngineLostError):  # noqa: N818  it has gone
    """The actor, as Ray or its owner says."""


class _Late(Exception):  # noqa: N818  it is caught where it is waited for
    """Time is up."""


class RayWorker:
    """A Ray actor with engines, made again when it dies or hangs.

    All that concerns Ray happens on an event loop of its own.
    """

    def __init__(self, name: str, place: Place, patience: Patience) -> None:
        self.name = name
        self._place = place
        self._patience = patience
        self._starts = 0
        self._life: _Life | None = None
        self._where: tuple[str, int] | None = None
        self._was_loaded = False
        """Whether it ever was: then a failure to load is no mistake of its owner's."""
        self._failure: Exception | None = None
        self._failures = 0
        self._closing = False
        self._owner = os.getpid()
        self._loop = LoopThread(f"ets-{name.replace(' ', '-')}", name)
        self._loop.run(self._begin)
        # Registered behind Ray's own, so it runs before: nothing is to ask for actors by then.
        atexit.register(self._end_at_exit)

    @property
    def starts(self) -> int:
        """How often an actor was made."""
        return self._starts

    @property
    def where(self) -> tuple[str, int] | None:
        """The host of the actor that runs now, and its process there; None between two."""
        return self._where

    @property
    def returns(self) -> bool:
        """Whether it runs, or is being started (again)."""
        return self._failure is None and not self._closing

    @property
    def is_ready(self) -> bool:
        """Whether it runs, with its engines loaded."""
        life = self._life
        return life is not None and life.loaded and life.why is None

    async def ready(self) -> None:
        """As `Worker.ready`."""
        await self._loop.call(self._until_ready)

    async def call(self, method: str, *arguments: Any) -> Any:
        """As `Worker.call`."""
        return await self._loop.call(self._called, method, arguments)

    async def stream(self, method: str, *arguments: Any) -> AsyncGenerator[Any, None]:
        """As `Worker.stream`."""
        async with aclosing(Stream(self._loop, self._streamed(method, arguments))) as items:
            async for item in items:
                yield item

    def restart(self, why: str, starts: int) -> None:
        """As `Worker.restart`."""
        life = self._life
        if life is not None and life.starts == starts and life.why is None:
            life.why = why
            with contextlib.suppress(RuntimeError):  # the loop is closed, and so is the worker
                life.over.get_loop().call_soon_threadsafe(life.end)

    async def aclose(self) -> None:
        """End it for good, with its engines; what is still asked of it is lost."""
        if self._owner != os.getpid() or self._loop.closed:
            return
        await self._loop.call(self._close)
        self._loop.close()
        atexit.unregister(self._end_at_exit)

    def _end_at_exit(self) -> None:
        """Leave the actor to Ray, which ends it with this process."""
        if self._owner == os.getpid() and not self._loop.closed:
            self._loop.run(self._stop)

    # --- on its own loop ------------------------------------------------------------------------

    async def _begin(self) -> None:
        self._news = asyncio.Event()
        self._keeping = asyncio.create_task(self._keep_alive())

    def _tell(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()

    async def _until_ready(self) -> None:
        while not self.is_ready:
            if self._failure is not None:
                raise self._failure
            if self._closing:
                raise EngineLostError(f"{self.name} is closed")
            await self._news.wait()

    def _ready_life(self) -> _Life:
        life = self._life
        if life is None or not self.is_ready:
            words = None if life is None else life.why
            raise EngineLostError(words or f"{self.name} is not running")
        return life

    async def _called(self, method: str, arguments: tuple[Any, ...]) -> Any:
        life = self._ready_life()
        try:
            return await life.answer(life.ask("call", method, arguments))
        except _Gone as error:
            raise self._lost(life, error) from error

    async def _streamed(self, method: str, arguments: tuple[Any, ...]) -> AsyncGenerator[Any, None]:
        life = self._ready_life()
        items, ended = None, False
        try:
            items = life.ask("stream", method, arguments)
            while True:
                try:
                    item = await life.answer(anext(items))
                except StopAsyncIteration:
                    ended = True
                    return
                found = await life.answer(item)
                if shows_work(found):
                    self._failures = 0
                yield found
        except _Gone as error:
            raise self._lost(life, error) from error
        finally:
            if items is not None and not ended and life.why is None and ray.is_initialized():
                ray.cancel(items)

    def _lost(self, life: _Life, error: Exception) -> EngineLostError:
        """At once, so that nothing is sent to what has gone; `restart` may have said why before."""
        self.restart(str(error), life.starts)
        return EngineLostError(life.why or str(error))

    async def _keep_alive(self) -> None:
        while True:
            words = await self._live_once()
            self._failures += 1
            pause = self._patience.pause(self._failures)
            if self._failure is not None or pause is None:
                self._failure = self._failure or EngineLostError(words)
                self._tell()
                return
            _LOG.warning("%s is started again: %s", self.name, words)
            await asyncio.sleep(pause)

    async def _live_once(self) -> str:
        """Make an actor and look after it until it has ended; its last words."""
        self._starts += 1
        if not ray.is_initialized():
            self._failure = EngineLostError("Ray was shut down")
            return str(self._failure)
        options = {"max_concurrency": _AT_ONCE, **self._place.options}
        life = _Life(ray.remote(WorkerActor).options(**options).remote(), self._starts)
        self._life = life
        try:
            if await self._load(life):
                await self._watch(life)
        except EngineLostError as error:
            self._lost(life, error)
        finally:
            self._where = None
            life.why = life.why or f"{self.name} is closed"
            life.end()
            if not self._closing:
                _kill(life.actor)
        return life.why

    async def _load(self, life: _Life) -> bool:
        begin, most = time.monotonic(), self._patience.start_seconds
        placing = asyncio.ensure_future(life.answer(life.ask("where")))
        try:
            await asyncio.wait((placing,), timeout=min(_WAITS_LONG, most))
            if not placing.done() and most > _WAITS_LONG:
                options = self._place.options.items()
                needs = ", ".join(f"{name}={value}" for name, value in options if value)
                _LOG.warning("%s waits for room on the Ray cluster: it needs %s", self.name, needs)
            self._where = await _within(placing, begin + most - time.monotonic())
            loading = life.answer(life.ask("load", self._place.load))
            await _within(loading, begin + most - time.monotonic())
        except _Late:
            self.restart(f"{self.name} did not start within {most:g} s", life.starts)
            return False
        except _Gone:
            raise
        except Exception as error:  # whatever it is, their owner is to know
            if not self._was_loaded:
                self._failure = error
            raise EngineLostError(" ".join(str(error).split())) from error
        finally:
            placing.cancel()
        life.loaded = self._was_loaded = True
        self._tell()
        return True

    async def _watch(self, life: _Life) -> None:
        """Until it gives no sign of life."""
        most = self._patience.hang_seconds
        while True:
            try:
                await _within(life.answer(life.ask("beat")), most)
            except _Late:
                self.restart(f"{self.name} gave no sign of life for {most:g} s", life.starts)
                return
            await asyncio.wait((life.over,), timeout=_BEAT)

    async def _stop(self) -> None:
        self._closing = True
        self._keeping.cancel()
        await asyncio.wait((self._keeping,))
        self._tell()

    async def _close(self) -> None:
        await self._stop()
        life = self._life
        if life is None:
            return
        try:
            if life.loaded:
                await _within(life.ask("close"), _CLOSING)
        except _Late:
            _LOG.warning("%s does not close its engines; it is killed", self.name)
        except RayTaskError as error:
            raise error.cause if isinstance(error.cause, Exception) else error from None
        except (RayError, _Gone):  # it has gone already
            pass
        finally:
            _kill(life.actor)


async def _within(awaitable: Awaitable[T], seconds: float) -> T:
    """What comes of it, or `_Late`, which no engine raises."""
    asked = asyncio.ensure_future(awaitable)
    try:
        await asyncio.wait((asked,), timeout=max(0.0, seconds))
        if not asked.done():
            raise _Late
        return asked.result()
    finally:
        asked.cancel()


def _kill(actor: Any) -> None:
    if ray.is_initialized():
        with contextlib.suppress(RayError, ValueError):  # it has gone already
            ray.kill(actor)


def _words(error: Exception) -> str:
    """What Ray says, without the lines about which actor it was."""
    lines = [line for line in str(error).splitlines() if not line.startswith("\t")]
    words = " ".join(" ".join(lines).split())
    return words if len(words) <= _WORDS else f"{words[:_WORDS]}..."
