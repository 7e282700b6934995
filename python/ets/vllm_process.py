"""The main module of an engine's process, in place of the user's: see `ets.vllm_start`.

It runs before anything of vLLM is imported there, and must import nothing of `ets`.
`sys.argv`: a file that gets this process's id, and one that gets what it prints, or no more.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
import warnings
from multiprocessing import resource_tracker
from typing import Any

_ENGINE, _WORKER = "ets-engine", "ets-engine-worker"


def _print_to(path: str) -> None:
    log = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)


def _track_apart() -> None:
    """What this process and its workers share has a tracker of its own, started when it is needed.

    The parent's would say on the user's terminal, at the very end, what an engine left behind.
    """
    tracker: Any = resource_tracker._resource_tracker
    tracker._fd = tracker._pid = None


def _end_with(parent: int) -> None:
    """End this process when its parent is gone, however it went."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


if __name__ == "__mp_main__":
    # An interrupt from the keyboard is for the program, which then ends its engines in good order.
    os.setpgid(0, 0)
    if len(sys.argv) > 1:
        with open(sys.argv[1], "a", encoding="ascii") as ids:
            ids.write(f"{os.getpid()}\n")
    if len(sys.argv) > 2:
        _print_to(sys.argv[2])
        # For the file, where `ets.vllm_phases` reads what goes on.
        os.environ["VLLM_LOGGING_LEVEL"] = "INFO"
    if sys.argv[0] == _ENGINE:
        _track_apart()
        sys.argv[0] = _WORKER  # what the processes are told that this one starts
    warnings.simplefilter("ignore", FutureWarning)
    # Speaks before vLLM has read its own logging level.
    logging.getLogger("vllm.triton_utils.importing").setLevel(logging.ERROR)
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
