"""Patterns of users, run where they can be stopped: `(a+)+$` holds the GIL for ever."""

from __future__ import annotations

import re

from ets.answer.child import Child
from ets.errors import InputError

_SECONDS = 5.0
"""CPU seconds of one search: a pattern that is not exponential takes milliseconds."""


class Matcher(Child):
    """Asks a process for the last match of a pattern in a text."""

    def __init__(self, seconds: float = _SECONDS) -> None:
        super().__init__("match", "runs answer patterns", seconds)

    def last_match(self, pattern: re.Pattern[str], text: str) -> str | None:
        """Group 1, or the whole where there is none, of the last match; None without a match.

        Raises `InputError` if it takes more than `seconds` of CPU time.
        """
        said = self.ask(pattern.pattern, pattern.flags, text)
        if said is None:
            raise InputError(
                f"answer_pattern takes more than {self.seconds:g} s on a text of {len(text)}"
                f" characters: {pattern.pattern!r}"
            )
        found: str | None = said[0]
        return found
