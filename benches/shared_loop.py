"""One event loop for all searches of a bench, since the engines they share live on one."""

from __future__ import annotations

import ets.search
from ets.loop_thread import LoopThread


def shared_loop() -> LoopThread:
    """The loop on which every `ets.Search` made from now on runs; none of them may be closed."""
    loop = LoopThread("bench-engines")
    ets.search.LoopThread = lambda name: loop  # type: ignore[attr-defined,assignment]
    return loop
