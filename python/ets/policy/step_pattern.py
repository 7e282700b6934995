"""Regular expressions that end steps, matched where they can be given up."""

from __future__ import annotations

import re
from bisect import bisect_left
from typing import Any

from ets.checks import shown
from ets.errors import EngineError, InputError
from ets.extras import needs

_SECONDS = 1.0
"""That one search may take. One of a text of some thousand characters takes microseconds."""
_LOOKS_AHEAD = re.compile(r"\$|\\[bBZ]|\(\?[!>(]|[*+?}]\+")
"""What more text can undo a match of: ends, edges of words, what must not follow, and what takes
all it can for good. A pattern that merely shows these characters is slower, and that is all."""


class StepPattern:
    """One regular expression of Python's. Safe to use from several threads.

    It is matched by the module `regex`, which unlike `re` can be told to give up. After a search
    that took too long none is begun any more: each would take as long.

    # Errors
    `InputError` for a pattern that `re` refuses, or that matches the empty text;
    `MissingExtraError` without `regex`.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        with needs("regex", "torch"):  # transformers brings it
            import regex
        try:
            re.compile(text)
            self._compiled: Any = regex.compile(text, regex.VERSION0)
            empty = self._compiled.search("", timeout=_SECONDS) is not None
        except TimeoutError:
            empty = False  # the first text will tell
        except (re.error, regex.error, OverflowError, RecursionError) as error:
            raise InputError(
                f"step must hold a regular expression of Python's behind 'regex:', got "
                f"{shown(text)}: {' '.join(str(error).split())}"
            ) from error
        if not text or empty:
            raise InputError(
                "step must hold a regular expression behind 'regex:' that does not match the empty "
                f"text, got {shown(text)}"
            )
        self._grows = _LOOKS_AHEAD.search(text) is None
        self._given_up = False

    def end(self, text: str, looked: int) -> int | None:
        """Where a step of this text ends, of which the first `looked` characters tell no end.

        That is the end of the first match in the shortest beginning of the text that holds one.

        # Errors
        `EngineError` where a search takes too long.
        """
        if not self._grows:
            ends = (self._search(text, length) for length in range(looked + 1, len(text) + 1))
            return next((end for end in ends if end is not None), None)
        if self._search(text, len(text)) is None:
            return None
        lengths = range(looked + 1, len(text) + 1)
        first = bisect_left(
            lengths, True, key=lambda length: self._search(text, length) is not None
        )
        return self._search(text, lengths[first])

    def _search(self, text: str, length: int) -> int | None:
        """The end of the first match in the first `length` characters that has an end above 0."""
        if not self._given_up:
            try:
                matches = self._compiled.finditer(text, 0, length, timeout=_SECONDS)
                return next((match.end() for match in matches if match.end() > 0), None)
            except TimeoutError:
                self._given_up = True
        raise EngineError(
            f"step='regex:...' was given up: the pattern {shown(self.text)} took more than "
            f"{_SECONDS:g} s in a text of {length} characters; one without repetitions inside "
            "repetitions is needed"
        )


class PatternEnds:
    """Looks for a pattern while one step's text grows; the steps before are not looked at."""

    def __init__(self, pattern: StepPattern) -> None:
        self._pattern = pattern
        self._looked = 0

    def end(self, text: str) -> int | None:
        """Where the step ends; None while nothing matches.

        # Errors
        `EngineError` where a search takes too long.
        """
        found = self._pattern.end(text, self._looked)
        self._looked = len(text)
        return found
