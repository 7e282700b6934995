"""Digits that are no arithmetic: dates, times, telephone numbers, ratios, and those of a base."""

from __future__ import annotations

import re
from fractions import Fraction

from ets.answer.kinds import Key, Reading

_TIME = re.compile(
    r"(\d{1,2})(?::(\d{2}))?(?::(\d{2}))? ?(a\.?m\.?|p\.?m\.?|o'clock|noon|midnight)?",
    re.IGNORECASE,
)
_HALVES = {"noon": "12:00 pm", "midnight": "12:00 am"}
_DATE = re.compile(r"(\d{1,2})[/.-](\d{1,2})[/.-](\d{4}|\d{2})")
_ISO_DATE = re.compile(r"(\d{4})[/.-](\d{1,2})[/.-](\d{1,2})")
_MONTHS = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september",
    "october", "november", "december",
)  # fmt: skip
_DAY = r"(?:the )?(?P<day>\d{1,2})(?:st|nd|rd|th)?"
_MONTH = r"(?P<month>[a-z]{3,9})\.?"
_NAMED_DATES = tuple(
    re.compile(pattern + r"(?:(?: ?, ?| )(?P<year>\d{4}))?", re.IGNORECASE)
    for pattern in (rf"{_MONTH} {_DAY}", rf"{_DAY}(?: of)? {_MONTH}")
)
_PHONE = re.compile(r"\+?\d{1,4}(?:-\d{2,4}){1,3}-\d{4}|\d{3}-\d{4}|\(\d{3}\) ?\d{3}-\d{4}")
_RATIO = re.compile(r"\d+(?:\.\d+)?(?:(?: ?: ?| to )\d+(?:\.\d+)?)+")


def read_clock(s: str) -> Reading | None:
    """A date, a time of day, a telephone number or a ratio: no arithmetic stands in them."""
    time = _TIME.fullmatch(_HALVES.get(s.casefold(), s))
    if time is not None and (time[2] or time[4]):
        hour, minute, second = int(time[1]), int(time[2] or 0), int(time[3] or 0)
        if hour < 25 and minute < 60 and second < 60:
            half = (time[4] or "")[:1].lower().replace("o", "")
            half = {"n": "p", "m": "a"}.get(half, half)
            if half and 1 <= hour <= 12:
                hour = hour % 12 + 12 * (half == "p")
            shape = (f"{hour % 12}:{minute:02}:{second:02}", half)
            key: Key = ("clock", f"{hour}:{minute:02}:{second:02}", bool(half) or hour > 12)
            return Reading("clock", s, key, shape=shape)
    if (date := _date(s)) is not None:
        return Reading("text", s, date)
    if _PHONE.fullmatch(s):
        return Reading("text", s, ("text", s))
    if _RATIO.fullmatch(s):
        parts = [Fraction(part) for part in re.split(r" ?: ?| to ", s)]
        first = next((part for part in parts if part), Fraction(1))
        return Reading("ratio", s, ("ratio", *(part / first for part in parts)))
    return None


def _date(s: str) -> Key | None:
    """Year, month and day, as far as they are told; `5/6/2020` does not tell which is which."""
    if (iso := _ISO_DATE.fullmatch(s)) is not None:
        return ("date", int(iso[1]), int(iso[2]), int(iso[3]))
    if _DATE.fullmatch(s):
        return ("text", re.sub(r"(?<!\d)0+(?=\d)", "", re.sub(r"[/.]", "-", s)))
    for pattern in _NAMED_DATES:
        if (named := pattern.fullmatch(s)) is not None:
            month = named["month"].casefold()
            found = [i for i, name in enumerate(_MONTHS, 1) if name[:3] == month[:3]]
            if found and (_MONTHS[found[0] - 1].startswith(month) or month == "sept"):
                return ("date", int(named["year"] or 0), found[0], int(named["day"]))
    return None


_BASE_WORDS = {
    "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9,
    "ten": 10, "eleven": 11, "twelve": 12, "sixteen": 16,
}  # fmt: skip
_BASE = re.compile(
    r"(?P<digits>-?[\dA-F]*\d[\dA-F]*|\d{1,3}(?:,\d{3})+|[({](?P<inner>[\dA-F]*\d[\dA-F]*)[)}])"
    r"(?:_\{? ?(?P<below>\d+|[a-z]+) ?\}?| ?\(?(?:in )?base[- ](?P<said>\d+|[a-z]+)\)?)"
)
_PREFIXED = re.compile(r"0(?:b(?P<binary>[01]+)|x(?P<hexadecimal>[\da-f]+))", re.IGNORECASE)


def read_base(s: str) -> Reading | None:
    """Digits of a base: `52_8`, `0x2A`. Equal where digits and base are."""
    if (prefixed := _PREFIXED.fullmatch(s)) is not None:
        digits = prefixed["binary"] or prefixed["hexadecimal"].upper()
        return _in_base(s, digits, 2 if prefixed["binary"] else 16)
    match = _BASE.fullmatch(s)
    if match is None:
        return None
    written = match["below"] or match["said"]
    base = int(written) if written.isdigit() else _BASE_WORDS.get(written)
    if base is None or not 2 <= base <= 36:
        return None
    return _in_base(s, match["inner"] or match["digits"].replace(",", ""), base)


def _in_base(s: str, digits: str, base: int) -> Reading:
    return Reading("base", s, ("base", digits.lstrip("0") or "0", base), shape=(digits, str(base)))
