"""What an engine does while it starts, as its own log says."""

from __future__ import annotations

import re
import threading
import time
from pathlib import Path
from types import TracebackType

from ets.shown.log import Log

_LOG = Log("ets.vllm")
_POLL_SECONDS = 0.1
_SHORT_SECONDS = 10.0
"""Below it a tenth of a second is said too."""

_LOADING = "loading the model"
# The lines of vLLM 0.32. A version that words them otherwise only loses what they say.
_BEGINS = {
    _LOADING: re.compile(r"Starting to load model |Loading model from scratch\.\.\."),
    "compiling": re.compile(r"Starting torch\.compile|Warming up model for the compilation\.\.\."),
    "making room for the KV cache": re.compile(r"Available KV cache memory: "),
    "capturing CUDA graphs": re.compile(r"Capturing CUDA graphs"),
}
"""What goes on from a line on."""
_TOOK = {
    "download": re.compile(r"Time spent downloading weights for .+: ([\d.]+) seconds"),
    "loading weights": re.compile(r"Loading weights took ([\d.]+) seconds"),
    "compiling": re.compile(r"torch\.compile took ([\d.]+) s in total"),
    "CUDA graphs": re.compile(r"Graph capturing finished in ([\d.]+) secs"),
}
"""What a line says the seconds of."""
_UP = re.compile(r"Initializing a V1 LLM engine ")
_REST = re.compile(r"init engine \(.+?\) took ([\d.]+) s")
"""All after the weights: it counts what is compiled and captured too."""
_INSIDE_REST = ("compiling", "CUDA graphs")
_PROCESS = re.compile(r"\((\S+) pid=(\d+)\)")


class StartPhases:
    """Inside, what an engine's log says of its start becomes records of the logger `ets.vllm`.

    A record, at level INFO, for what begins, and for each phase with its seconds. `path` is the log
    that the engine's processes write; without one there is nothing to follow. With `downloads` the
    model comes from the hub first, of which vLLM says nothing before it is done.
    """

    def __init__(self, name: str, path: Path | None, *, downloads: bool = False) -> None:
        self._name = name
        self._downloads = downloads
        self._path = path
        self._read = 0
        self._part = b""
        self._begin = time.perf_counter()
        self._stop = threading.Event()
        self._follower = threading.Thread(
            target=self._follow, name=f"vllm-phases-{name}", daemon=True
        )
        self._said: set[str] = set()
        self._seconds: dict[str, dict[str, float]] = {}
        """Of each phase, by the process that says so."""

    @property
    def seconds(self) -> dict[str, float]:
        """How long each phase took, in the order in which they ended; the slowest process counts.

        A process that does the same twice, such as loading the weights of a draft model too, took
        the sum of both.
        """
        return {phase: max(by.values()) for phase, by in self._seconds.items()}

    def started(self, tokens: int | None) -> None:
        """The last record: all phases, and how many tokens the KV cache holds."""
        parts = [f"{phase} {_say(took)}" for phase, took in self.seconds.items()]
        if tokens is not None:
            parts.append(f"{tokens:,} KV tokens")
        said = f": {', '.join(parts)}" if parts else ""
        _LOG.info("vllm:%s started in %s%s", self._name, _say(self._so_far()), said)

    def line(self, text: str) -> None:
        """Read one line of the log."""
        process = _PROCESS.search(text)
        who = process.group(2) if process else ""
        if _UP.search(text):
            self._took("processes", self._so_far(), who)
        for phase, pattern in _TOOK.items():
            if found := pattern.search(text):
                self._took(phase, float(found.group(1)), who)
        for phase, pattern in _BEGINS.items():
            if phase not in self._said and pattern.search(text):
                self._said.add(phase)
                first = self._downloads and phase == _LOADING
                _LOG.info("vllm:%s: %s%s", self._name, "downloading and " if first else "", phase)
        if found := _REST.search(text):
            inside = sum(self.seconds.get(phase, 0.0) for phase in _INSIDE_REST)
            self._took("KV cache", max(float(found.group(1)) - inside, 0.0), who)

    def __enter__(self) -> StartPhases:
        self._begin = time.perf_counter()
        _LOG.info("vllm:%s: starting its processes", self._name)
        self._follower.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._follower.join()

    def _follow(self) -> None:
        while not self._stop.wait(_POLL_SECONDS):
            self._read_on()
        self._read_on()

    def _read_on(self) -> None:
        if self._path is None or not self._path.exists():
            return
        with self._path.open("rb") as log:
            log.seek(self._read)
            new = log.read()
        self._read += len(new)
        # A progress bar ends its states with a return.
        *lines, self._part = (self._part + new).replace(b"\r", b"\n").split(b"\n")
        for line in lines:
            self.line(line.decode("utf-8", "replace"))

    def _took(self, phase: str, seconds: float, who: str) -> None:
        by = self._seconds.setdefault(phase, {})
        first = not by
        by[who] = by.get(who, 0.0) + seconds
        if first:  # a line a phase, not a line a process
            _LOG.info("vllm:%s: %s %s", self._name, phase, _say(seconds))

    def _so_far(self) -> float:
        return time.perf_counter() - self._begin


def _say(seconds: float) -> str:
    return f"{seconds:.{0 if seconds >= _SHORT_SECONDS else 1}f} s"
