"""What an engine's processes leave on the disk while they run."""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path

from ets.engines.vllm.start_environment import STARTS

_ERROR_LINE = re.compile(r"^(?:\(.*?\) ERROR .*?\] )?((?:\w+\.)*\w*(?:Error|Exception): .+)$", re.M)
"""The last line of a traceback, with or without the prefix of vLLM's logger."""


class EngineFiles:
    """Two files that an engine's processes write: their ids, and what they print.

    With `VLLM_LOGGING_LEVEL` in the environment they print to the terminal instead.
    """

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="ets-vllm-"))
        self._ids = self._folder / "ids"
        self._log = None if STARTS.users("VLLM_LOGGING_LEVEL") else self._folder / "engine.log"

    @property
    def argv(self) -> tuple[str, ...]:
        """The arguments of `ets.engines.vllm.child_main`."""
        return tuple(str(path) for path in (self._ids, self._log) if path)

    @property
    def log(self) -> Path | None:
        """What the processes print; None where that goes to the terminal."""
        return self._log

    def process_ids(self) -> list[int]:
        """The processes that have come up so far."""
        return [int(line) for line in self._ids.read_text().split()] if self._ids.exists() else []

    def last_words(self, otherwise: str = "") -> str:
        """The last error in the log and where to read more, as the end of a sentence."""
        text = ""
        if self._log and self._log.exists():
            text = self._log.read_text("utf-8", "replace")
        reason = next(reversed(_ERROR_LINE.findall(text)), otherwise).strip()
        where = self._log or "on standard error"
        return f"{': ' if reason else ''}{reason}; its log is {where}"

    def remove(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
