"""Text of others as a terminal may have it: what would command the terminal is shown instead."""

from __future__ import annotations

import re

_COMMANDS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 but tab and newline, DEL, C1
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # what turns the direction of writing
    "\u2028\u2029"  # what some take for the end of a line
    "\ud800-\udfff]"  # bytes that were no UTF-8, which no stream can write
)
_LINE_END = re.compile("\r\n")


def shown_text(text: str) -> str:
    r"""The text with `\x1b` for an escape character, and so on; newlines and tabs stay.

    Control characters of C0 and C1, DEL, marks of direction and lone surrogates are shown by their
    codes, `\r\n` is a newline. All else stays as it is.
    """
    return _COMMANDS.sub(_code, _LINE_END.sub("\n", text))


def shown_line(text: str) -> str:
    """The same in one line: whatever white space there is, is one space."""
    return shown_text(" ".join(text.split()))


def shown_json(line: str) -> str:
    r"""A line of JSON with the same characters as `\u` escapes: it reads as the same."""
    return _COMMANDS.sub(lambda found: f"\\u{ord(found[0]):04x}", line)


def _code(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
