"""Callbacks handed to an event loop, many to one wake-up."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from ets.loop.mailbox import Mailbox


class CountingLoop(asyncio.SelectorEventLoop):
    """An event loop that counts how often it is woken from another thread."""

    wake_ups = 0

    def call_soon_threadsafe(  # type: ignore[override]  # the types of a callback's arguments
        self, callback: Any, *args: Any, context: Any = None
    ) -> asyncio.Handle:
        self.wake_ups += 1
        return super().call_soon_threadsafe(callback, *args, context=context)


@pytest.fixture
def loop() -> Iterator[CountingLoop]:
    made = CountingLoop()
    yield made
    made.close()


def until(loop: CountingLoop, condition: Callable[[], bool]) -> None:
    async def wait() -> None:
        while not condition():
            await asyncio.sleep(0.001)

    loop.run_until_complete(asyncio.wait_for(wait(), 10))


def test_many_callbacks_share_one_wake_up_and_keep_their_order(loop: CountingLoop) -> None:
    mailbox = Mailbox(loop)
    seen: list[int] = []
    for i in range(1000):
        mailbox.post(partial(seen.append, i))
    assert loop.wake_ups == 1
    until(loop, lambda: len(seen) == 1000)
    assert seen == list(range(1000))


def test_a_mailbox_that_was_emptied_wakes_its_loop_again(loop: CountingLoop) -> None:
    mailbox = Mailbox(loop)
    seen: list[int] = []
    for i in range(5):
        mailbox.post(partial(seen.append, i))
        until(loop, lambda: seen[-1:] == [i])  # noqa: B023  (it runs within this turn)
    assert loop.wake_ups == 5


def test_what_a_callback_posts_runs_too(loop: CountingLoop) -> None:
    mailbox = Mailbox(loop)
    seen: list[str] = []
    mailbox.post(lambda: mailbox.post(lambda: seen.append("second")))
    until(loop, lambda: seen == ["second"])


def test_nothing_is_lost_between_threads(loop: CountingLoop) -> None:
    mailbox = Mailbox(loop)
    seen: list[tuple[int, int]] = []

    def post_many(thread: int) -> None:
        for i in range(5000):
            mailbox.post(partial(seen.append, (thread, i)))

    threads = [threading.Thread(target=post_many, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    until(loop, lambda: len(seen) == 20000)
    for thread in threads:
        thread.join()
    for n in range(4):
        assert [i for thread, i in seen if thread == n] == list(range(5000))


def test_a_closed_loop_is_an_error_and_its_callbacks_stay_for_the_one_who_closed_it() -> None:
    closed = asyncio.new_event_loop()
    seen: list[int] = []
    mailbox = Mailbox(closed)
    closed.close()
    for i in range(2):
        with pytest.raises(RuntimeError, match="closed"):
            mailbox.post(partial(seen.append, i))
    assert seen == []
    mailbox.empty()
    assert seen == [0, 1]
