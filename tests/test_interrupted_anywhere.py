"""An interrupt may come anywhere in a call that blocks: nothing hangs, nothing stays behind."""

from __future__ import annotations

import _weakrefset
import asyncio
import gc
import itertools
import sys
import warnings
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import pytest

from ets.loop.stream import Stream
from ets.loop.thread import LoopThread


@contextmanager
def interrupt_at(place: int) -> Iterator[None]:
    """Raise `KeyboardInterrupt` at the `place`-th place of this thread where one may come: the
    interpreter looks for signals where a function begins and where C has returned."""
    left = itertools.count(place, -1)

    def profile(frame: FrameType, event: str, _: object) -> None:
        if frame.f_code.co_filename == _weakrefset.__file__:
            return  # where CPython drops what a weak reference's callback raises
        if event in ("call", "c_return") and next(left) == 0:
            raise KeyboardInterrupt

    sys.setprofile(profile)
    try:
        yield
    finally:
        sys.setprofile(None)


async def tasks_left() -> int:
    return len(asyncio.all_tasks()) - 1


def at_every_place(work: Callable[[LoopThread], object]) -> int:
    """Interrupt `work` at every place in turn; how many there are until it is not interrupted."""
    for place in itertools.count():
        loop = LoopThread("interrupted")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                with interrupt_at(place):
                    work(loop)
                return place
            except KeyboardInterrupt:
                pass
            finally:
                loop.run(asyncio.sleep, 0)  # it still answers
                left = loop.run(tasks_left)
                loop.close()
            assert left == 0, place
            gc.collect()
    raise RuntimeError("an iteration without an end has ended")


@pytest.mark.filterwarnings("error")
def test_a_call_that_is_interrupted_anywhere_is_cancelled() -> None:
    assert at_every_place(lambda loop: loop.run(asyncio.sleep, 0.05)) > 10


@pytest.mark.filterwarnings("error")
def test_a_stream_that_is_interrupted_anywhere_can_be_closed() -> None:
    async def numbers() -> AsyncGenerator[int, None]:
        for number in range(3):
            await asyncio.sleep(0)
            yield number

    def read(loop: LoopThread) -> None:
        stream = Stream(loop, numbers())
        try:
            assert list(stream) == [0, 1, 2]
        finally:
            sys.setprofile(None)  # the interrupt has come, or has not
            stream.close()

    assert at_every_place(read) > 40
