"""Numbers in words: `two thousand three hundred and five`, `two and a half`, `一百二十`.

number   = ("minus" | "negative")? (cardinal ("and" fraction)? | fraction)
cardinal = group (scale group)*               thousand, million, billion, trillion
group    = (below_100 "hundred")? "and"? below_100?
fraction = ("a" | below_100)? part            half, thirds, quarters, ... twelfths
"""

from __future__ import annotations

import re
from fractions import Fraction

_ONES = {
    "zero": 0, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7,
    "eight": 8, "nine": 9, "ten": 10, "eleven": 11, "twelve": 12, "thirteen": 13, "fourteen": 14,
    "fifteen": 15, "sixteen": 16, "seventeen": 17, "eighteen": 18, "nineteen": 19,
}  # fmt: skip
_TENS = {
    "twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70,
    "eighty": 80, "ninety": 90,
}  # fmt: skip
_SCALES = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_PARTS = {
    "half": 2, "halves": 2, "quarter": 4, "fourth": 4, "third": 3, "fifth": 5, "sixth": 6,
    "seventh": 7, "eighth": 8, "ninth": 9, "tenth": 10, "eleventh": 11, "twelfth": 12,
}  # fmt: skip
_PARTS |= {word + "s": value for word, value in _PARTS.items() if not word.startswith("hal")}
_WORD = re.compile(r"[ -]?([a-z]+)(?![a-z'])", re.IGNORECASE)
_AND_PART = re.compile(r" and (?=(?:an?|one|two|three|four|five|half)\b)", re.IGNORECASE)


def read_number_words(s: str, at: int = 0) -> tuple[Fraction, int] | None:
    """The number that begins in words at `at`, and where it ends; None if there is none."""
    sign = re.compile(r"(?:minus|negative) ", re.IGNORECASE).match(s, at)
    begin = sign.end() if sign else at
    if not s[begin : begin + 1].isalpha():
        return None
    read = _chinese(s, begin) or fraction_words(s, begin) or _mixed(s, begin)
    if read is None:
        return None
    return (-read[0], read[1]) if sign else read


def fraction_words(s: str, at: int) -> tuple[Fraction, int] | None:
    """`half`, `a third`, `three quarters`."""
    count, end = 1, at
    first = _word(s, at)
    if first is None:
        return None
    if first[0] in ("a", "an"):
        end = first[1]
    elif first[0] != "half":
        below = _below_100(s, at)
        if below is None or not below[0]:
            return None
        count, end = below
    part = _word(s, end)
    if part is None or part[0] not in _PARTS:
        return None
    return Fraction(count, _PARTS[part[0]]), part[1]


def behind_and(s: str, at: int) -> tuple[Fraction, int] | None:
    """The fraction in words that is added to a whole number before it: ` and a half`."""
    join = _AND_PART.match(s, at)
    return fraction_words(s, join.end()) if join is not None else None


def _word(s: str, at: int) -> tuple[str, int] | None:
    match = _WORD.match(s, at)
    return (match[1].lower(), match.end()) if match is not None else None


def _mixed(s: str, at: int) -> tuple[Fraction, int] | None:
    whole = _cardinal(s, at)
    if whole is None:
        return None
    part = behind_and(s, whole[1])
    return (whole[0] + part[0], part[1]) if part is not None else (Fraction(whole[0]), whole[1])


def _cardinal(s: str, at: int) -> tuple[int, int] | None:
    total, least, read = 0, 10**15, None
    while True:
        join = _word(s, at) if read is not None else None
        group = _group(s, join[1]) if join is not None and join[0] == "and" else None
        if group is None:
            join, group = None, _group(s, at)
        if group is None:
            return read
        scale = _word(s, group[1])
        size = _SCALES.get(scale[0], 1) if scale is not None else 1
        if size >= least or (join is not None and (size > 1 or group[0] >= 100)):
            return read  # "five thousand and six thousand" are two
        total += group[0] * size
        at = scale[1] if scale is not None and size > 1 else group[1]
        read, least = (total, at), size
        if size == 1:
            return read


def _group(s: str, at: int) -> tuple[int, int] | None:
    """A number below 1,000, or `a` before a scale."""
    first = _word(s, at)
    if first is None:
        return None
    if first[0] in ("a", "hundred"):
        hundred = _word(s, first[1]) if first[0] == "a" else first
        if hundred is None or (hundred[0] != "hundred" and hundred[0] not in _SCALES):
            return (12, hundred[1]) if hundred is not None and hundred[0] == "dozen" else None
        if hundred[0] in _SCALES:
            return 1, first[1]
        head = (1, hundred[1])
    else:
        below = _below_100(s, at)
        if below is None:
            return None
        head = below
        hundred = _word(s, head[1])
        if hundred is None or hundred[0] != "hundred":
            return head
        head = (head[0], hundred[1])
    join = _word(s, head[1])
    tail = _below_100(s, join[1] if join is not None and join[0] == "and" else head[1])
    return (head[0] * 100 + tail[0], tail[1]) if tail is not None else (head[0] * 100, head[1])


def _below_100(s: str, at: int) -> tuple[int, int] | None:
    first = _word(s, at)
    if first is None:
        return None
    if first[0] in _ONES:
        return _ONES[first[0]], first[1]
    if first[0] not in _TENS:
        return None
    second = _word(s, first[1])
    if second is not None and 1 <= _ONES.get(second[0], 0) <= 9:
        return _TENS[first[0]] + _ONES[second[0]], second[1]
    return _TENS[first[0]], first[1]


_DIGITS = {sign: value for value, sign in enumerate("零一二三四五六七八九")} | {"两": 2, "〇": 0}
_SMALL = {"十": 10, "百": 100, "千": 1000}
CHINESE_SCALES = {"万": 10**4, "亿": 10**8}
_CHINESE = re.compile("[零〇一二两三四五六七八九十百千万亿]+")


def _chinese(s: str, at: int) -> tuple[Fraction, int] | None:
    match = _CHINESE.match(s, at)
    if match is None:
        return None
    total, section, digit = 0, 0, -1
    for sign in match[0]:
        if sign in _DIGITS:
            if digit > 0:
                return None  # digit for digit, as years are read
            digit = _DIGITS[sign]
        elif sign in _SMALL:
            section += (1 if digit < 0 else digit) * _SMALL[sign]
            digit = -1
        else:
            total = (total + section + max(digit, 0)) * CHINESE_SCALES[sign]
            section, digit = 0, -1
    return Fraction(total + section + max(digit, 0)), match.end()
