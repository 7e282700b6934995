"""Where sentences end in a text that is still being written.

A mark (`.`, `!`, `?`) with the quotes and brackets behind it ends a sentence where white space
follows, one of full width (`。！？`) whatever follows; so does a blank line. docs/search.md has the
exceptions.
"""

from __future__ import annotations

import re

_FENCE = "```"
_BLANK = re.compile(r"\n[ \t]*\n")
_MAYBE_BLANK = re.compile(r"\n[ \t]*\Z")
_FULL_WIDTH = "。！？｡"
_MARKS = re.compile(rf"([.!?…{_FULL_WIDTH}]+)[)\]}}\"'*_”’»」』）】》]*")
_BEFORE_MATH = frozenset("([{\"'“‘*_-–—")
_AMOUNT = re.compile(r"\$\d[\d,]*(?:\.\d+)?[.,;:?)]*\s")
_MAYBE_AMOUNT = re.compile(r"\$\d[\d,.;:?)]*\Z")
_NUMBERED = re.compile(
    r"[ \t]*(?:[#>*+(-]+[ \t]*)*(?:(?:Step|Case|Part)[ \t]+)?(?:\d{1,3}|[A-Za-z]|[ivx]{1,4})"
)
_LAST_WORD = re.compile(r"(?:^|[^\w.])((?:[^\W\d_]\.)*[^\W\d_]+)\Z")
_LETTERS = re.compile(r"(?:[^\W\d_]\.)+[^\W\d_]")
_ABBREVIATIONS = frozenset(
    [
        *("mr", "mrs", "ms", "dr", "prof", "st", "vs", "cf", "al", "approx", "resp", "viz"),
        *("fig", "figs", "eq", "eqs", "sec", "ch", "vol", "pp", "ex", "thm", "def"),
    ]
)


class SentenceEnds:
    """Reads one step of a solution. `before` is what the solution holds before it.

    Every character is read once, and one that does not tell alone waits for those behind it: where
    a step ends does not depend on the pieces in which its text comes.
    """

    def __init__(self, before: str) -> None:
        self._inside = ""
        # A blank line ends all but a code block: without one, what is before it tells nothing.
        self._before = before if _FENCE in before else _BLANK.split(before)[-1]
        self._start = len(self._before)
        self._at = 0

    def end(self, text: str) -> int | None:
        """The characters of the sentence that `text` begins with; None while it goes on."""
        whole = self._before + text
        while self._at < len(whole):
            moved = self._move(whole)
            if moved is None:  # what comes next decides
                return None
            self._at, ends = moved
            if ends and whole[self._start : self._at].strip():
                return self._at - self._start
        return None

    def _move(self, whole: str) -> tuple[int, bool] | None:
        """Where to read on, and whether a sentence ends there; None where more text is needed."""
        at, char = self._at, whole[self._at]
        if char == "\n" and self._inside != _FENCE:
            if blank := _BLANK.match(whole, at):
                self._inside = ""
                return blank.end(), True
            return None if _MAYBE_BLANK.match(whole, at) else (at + 1, False)
        if self._inside:
            return self._move_inside(whole)
        if char == "`":
            ticks = whole[at : at + 3]
            if ticks in ("`", "``") and at + len(ticks) == len(whole):
                return None
            self._inside = _FENCE if ticks == _FENCE else "`"
            return at + len(self._inside), False
        if char in "\\$":
            return self._open_math(whole)
        return self._mark(whole) if marks_at(whole, at) else (at + 1, False)

    def _move_inside(self, whole: str) -> tuple[int, bool] | None:
        """One character on in code or mathematics, or out of it."""
        at, close = self._at, self._inside
        if whole.startswith(close, at):
            self._inside = ""
            return at + len(close), False
        left = whole[at : at + len(close)]
        if close.startswith(left) and at + len(left) == len(whole):
            return None
        if whole[at] == "\\" and close not in (_FENCE, "`"):  # `\$` closes nothing
            return (at + 2, False) if at + 1 < len(whole) else None
        return at + 1, False

    def _open_math(self, whole: str) -> tuple[int, bool] | None:
        at = self._at
        if at + 1 == len(whole):
            return None
        char, behind = whole[at], whole[at + 1]
        if char == "\\":
            self._inside = {"[": "\\]", "(": "\\)"}.get(behind, "")
            return at + 2, False
        if behind == "$":
            self._inside = "$$"
            return at + 2, False
        before = whole[at - 1] if at else " "
        if behind.isspace() or not (before.isspace() or before in _BEFORE_MATH):
            return at + 1, False
        if _MAYBE_AMOUNT.match(whole, at):
            return None
        if _AMOUNT.match(whole, at) is None:
            self._inside = "$"
        return at + 1, False

    def _mark(self, whole: str) -> tuple[int, bool] | None:
        """Behind a mark and what closes behind it."""
        found = _MARKS.match(whole, self._at)
        if found is None or found.end() == len(whole):
            return None
        marks, end = found[1], found.end()
        follows = whole[end]
        behind = end + (follows == "\n")  # whose line break stays with it
        if any(mark in _FULL_WIDTH for mark in marks):
            return behind, True
        if not follows.isspace() or self._goes_on(whole, marks, breaks=follows == "\n"):
            return end, False
        return behind, True

    def _goes_on(self, whole: str, marks: str, *, breaks: bool) -> bool:
        """Whether a mark before white space ends no sentence; `breaks`: before a line break."""
        line = whole[whole.rfind("\n", 0, self._at) + 1 : self._at]
        if marks == "." and _NUMBERED.fullmatch(line):
            return True
        if breaks:
            return False
        if not marks.strip("…") or (len(marks) > 1 and not marks.strip(".")):
            return True
        last = _LAST_WORD.search(line)
        word = last[1] if last else ""
        if marks == "!":  # a factorial
            return line[-1:].isdigit() or line[-1:] == ")" or len(word) == 1
        initial = len(word) == 1 and word.isupper()
        known = word.lower() in _ABBREVIATIONS or _LETTERS.fullmatch(word) is not None
        return marks == "." and (initial or known)


def marks_at(text: str, at: int) -> bool:
    """Whether a mark stands there that can end a sentence."""
    return text[at] in ".!?…" or text[at] in _FULL_WIDTH
