"""Log records of our own: lines that command no terminal and tell no secret."""

from __future__ import annotations

import logging
from typing import Any

from ets.shown.redaction import redacted_text
from ets.shown.text import shown_line


class Log(logging.LoggerAdapter[logging.Logger]):
    """The logger of a name; what others wrote is in its records as a terminal may have it."""

    def __init__(self, name: str) -> None:
        super().__init__(logging.getLogger(name), {})

    def log(self, level: int, msg: object, *args: object, **options: Any) -> None:
        """As `logging.Logger.log`."""
        if self.isEnabledFor(level):
            text = str(msg) % args if args else str(msg)
            options["stacklevel"] = options.get("stacklevel", 1) + 1
            self.logger.log(level, "%s", shown_line(redacted_text(text)), **options)
