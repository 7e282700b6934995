"""What is going on while nothing else is printed: the last log record, and the time so far."""

from __future__ import annotations

import logging
import time
from types import TracebackType

from rich.console import RenderableType
from rich.live import Live
from rich.spinner import Spinner

from ets.cli.output import Output
from ets.cli.shown_console import ShownText as Text

_LOGGER = "ets"


class Waiting(logging.Handler):
    """Inside, records of the logger `ets` show on standard error, with the seconds since the start.

    On a terminal the last one stands beside a clock; elsewhere each is a line, and so it is with
    `clock=False`, for where a live view of another kind is shown: the lines go above it.
    """

    def __init__(self, output: Output, *, clock: bool = True) -> None:
        super().__init__(logging.INFO)
        self._output = output
        self._clock = clock and output.live
        self._begin = time.perf_counter()
        self._said = "starting"
        self._spinner = Spinner("dots")
        self._live = Live(
            console=output.progress,
            get_renderable=self._shown,
            transient=True,
            refresh_per_second=8,
        )
        self._level = logging.NOTSET

    def emit(self, record: logging.LogRecord) -> None:
        """Show one record."""
        self._said = " ".join(record.getMessage().split())
        if record.levelno >= logging.WARNING:
            self._output.note(self._said)
        elif not self._clock:
            self._output.progress.print(
                f"[{self._seconds()}] {self._said}", style="dim", markup=False, soft_wrap=True
            )

    def pause(self) -> None:
        """Clear the line, so that something else can be printed."""
        if self._clock:
            self._live.stop()

    def resume(self) -> None:
        """Show the line again."""
        if self._clock:
            self._live.start()

    def __enter__(self) -> Waiting:
        logger = logging.getLogger(_LOGGER)
        self._level = logger.level
        logger.setLevel(logging.INFO)
        logger.addHandler(self)
        self.resume()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.pause()
        logger = logging.getLogger(_LOGGER)
        logger.removeHandler(self)
        logger.setLevel(self._level)

    def _shown(self) -> RenderableType:
        self._spinner.update(text=Text(f"{self._said}  {self._seconds()}"))
        return self._spinner

    def _seconds(self) -> str:
        return f"{time.perf_counter() - self._begin:.0f} s"
