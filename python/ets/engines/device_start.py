"""One engine at a time moves onto the GPUs of this process, whatever its backend.

vLLM sizes its KV cache by what is free on its GPU before and after it has tried the model. What
another engine takes or frees meanwhile is put down to the one that starts: it gets a cache that is
too small, or too large to run with.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ets.fork_lock import ForkLock

_STARTS = ForkLock()


@contextmanager
def one_start(*, cpu: bool) -> Iterator[None]:
    """Inside, an engine may take memory of a GPU; not to be nested. On a CPU nothing waits."""
    if cpu:
        yield
        return
    with _STARTS:
        yield
