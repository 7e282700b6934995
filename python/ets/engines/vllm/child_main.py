"""The main module of an engine's process, in place of the user's: see `start_environment`.

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

_WORKER = "--worker"
"""Added to what the processes are told that this one starts."""
_LINE = (
    "(%(processName)s pid=%(process)d) %(levelname)s %(asctime)s [%(filename)s:%(lineno)d] "
    "%(message)s"
)


def _print_to(path: str) -> None:
    log = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)


def _log_what_goes_on() -> None:
    """vLLM's lines of information too, for the file, where `start_phases` reads them.

    vLLM itself would take the level of the user's process, and leaves this handler alone where its
    configuration says not to configure logging.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter(_LINE, "%m-%d %H:%M:%S"))
    logger = logging.getLogger("vllm")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False


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
    files = [word for word in sys.argv[1:] if word != _WORKER]
    if files:
        with open(files[0], "a", encoding="ascii") as ids:
            ids.write(f"{os.getpid()}\n")
    if len(files) > 1:
        _print_to(files[1])
        _log_what_goes_on()
    if _WORKER not in sys.argv:
        _track_apart()
        sys.argv.append(_WORKER)
    warnings.simplefilter("ignore", FutureWarning)
    # Speaks before vLLM has read its own logging level.
    logging.getLogger("vllm.triton_utils.importing").setLevel(logging.ERROR)
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
