"""What the Python code of others writes while a command runs: warnings, log lines, traces."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from ets.shown.redaction import redacted_text
from ets.shown.text import shown_text

_BAR = re.compile("(?:\r|\n*\x1b\\[A)*")
"""With what each line of a progress bar begins, and what it moves the cursor with."""


class ShownStream:
    """A stream in whose text control characters are shown by their codes, and secrets are not.

    It is no terminal, so that nobody colours what he writes. Bytes (`buffer`, `fileno`) pass.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """As that of the stream."""
        end = 0 if (bar := _BAR.match(text)) is None else bar.end()
        self._stream.write(text[:end] + shown_text(redacted_text(text[end:])))
        return len(text)

    def writelines(self, lines: list[str]) -> None:
        """As that of the stream."""
        self.write("".join(lines))

    def isatty(self) -> bool:
        """Never."""
        return False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def shown_stderr() -> Iterator[None]:
    """Inside, `sys.stderr` is such a stream, and `real_stderr` what it was."""
    before = sys.stderr
    shown: Any = ShownStream(before)
    sys.stderr = shown
    try:
        yield
    finally:
        sys.stderr = before


def real_stderr() -> TextIO:
    """The stream itself, for what has been made to be shown."""
    stream = sys.stderr
    return stream._stream if isinstance(stream, ShownStream) else stream
