"""Locks in the child of a fork."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable

import pytest

from ets.fork_lock import ForkLock

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


def in_child(works: Callable[[], bool]) -> bool:
    """What a function says in a fork of this process; False if that waits for ever."""
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        code = 1
        try:
            code = 0 if works() else 1
        finally:
            os._exit(code)
    return os.waitpid(child, 0)[1] == 0


def test_one_thread_at_a_time() -> None:
    lock = ForkLock()
    with lock:
        assert not lock.acquire(timeout=0)
    assert lock.acquire(timeout=0)
    lock.release()
    with pytest.raises(RuntimeError):
        lock.release()


def test_it_is_free_in_the_child_of_a_fork_and_locks_there() -> None:
    lock, held, over = ForkLock(), threading.Event(), threading.Event()

    def hold() -> None:
        with lock:
            held.set()
            over.wait()

    def works() -> bool:
        with lock:
            return not lock.acquire(timeout=0)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    try:
        assert in_child(works)
        assert not lock.acquire(timeout=0)
    finally:
        over.set()
        thread.join()
