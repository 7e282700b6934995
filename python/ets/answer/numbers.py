"""The one reader of numbers: digits in groups, decimals, fractions, mixed numbers, per cent."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

MAX_DIGITS = 4_000
"""A longer run of digits is text: Python refuses to read it as an integer."""
_MAX_EXPONENT = 1_000


@dataclass(frozen=True, slots=True)
class Number:
    """A number and how it was written."""

    value: Fraction
    """Without its per cent sign: 50 for 50%."""
    decimals: int | None = None
    """Digits behind the decimal point, if it was written with one."""
    percent: bool = False
    plain: str = ""
    """The digits without thousands separators, or what stands for them."""

    def scaled(self) -> Fraction:
        """The value with its per cent sign: 1/2 for 50%."""
        return self.value / 100 if self.percent else self.value

    def significant(self) -> int:
        """How many significant digits its decimals tell, 0 for an exact number."""
        if self.decimals is None:
            return 0
        return len(str(abs(self.value.numerator * 10**self.decimals // self.value.denominator)))


_GROUP = (
    r"[1-9]\d{0,2}(?:,\d{3})+(?![\d])"  # 1,234
    r"|[1-9]\d{0,2}(?: \d{3})+(?![\d])"  # 1 234
    r"|[1-9]\d{0,2}(?:'\d{3})+(?![\d])"  # 1'234
)
_INTEGER = rf"(?:{_GROUP}|\d+)"
DIGITS = (
    rf"(?:[1-9]\d{{0,2}}(?:\.\d{{3}})+,\d+(?![\d,])"  # 1.234,5
    rf"|(?:{_GROUP})(?:\.\d+)?|\d+\.(?:\d+|(?=\\overline))|\.\d+|\d+)"
)
_FRAC = r"\\frac ?\{ ?(?P<over>-?\d+) ?\} ?\{ ?(?P<under>-?\d+) ?\}"
NUMBER = re.compile(
    rf"(?:(?P<mixed>\d+)(?: ?{_FRAC}| (?P<above>\d+)/(?P<below>\d+)(?![\d.]))"
    rf"|(?P<digits>{DIGITS})(?:(?P<exp>[eE][+-]?\d{{1,9}})(?![\w])|(?:\\overline\{{(?P<again>\d+)\}}))?"
    rf"(?: ?(?:/|over) ?(?P<divisor>{_INTEGER})(?![\d.]|\w*\())?"
    rf"|{_FRAC.replace('over', 'top').replace('under', 'bottom')})"
    r"(?: ?(?P<percent>\\?%|percent\b|per cent\b|pct\b))?",
    re.IGNORECASE,
)
"""A number without its sign."""
_SIGN = re.compile(r"[-+\u2212] ?")

_UNITS = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
WORDS: dict[str, int] = {
    **{word: value for value, word in enumerate(_UNITS)},
    **{word: 10 * value for value, word in enumerate(_TENS, start=2)},
    **{
        f"{tens}{join}{one}": 10 * i + j
        for i, tens in enumerate(_TENS, start=2)
        for j, one in enumerate(_UNITS[1:10], start=1)
        for join in ("-", " ")
    },
    "one hundred": 100, "a hundred": 100, "hundred": 100, "one thousand": 1000, "a dozen": 12,
}  # fmt: skip
"""Number words, up to one hundred."""
_WORD = re.compile("|".join(sorted(map(re.escape, WORDS), key=len, reverse=True)), re.IGNORECASE)


def read_number(s: str, at: int = 0) -> tuple[Number, int] | None:
    """The number that begins at `at` of a folded text, with its sign, and where it ends."""
    sign = _SIGN.match(s, at)
    begin = sign.end() if sign else at
    match = NUMBER.match(s, begin)
    if match is None:
        word = _WORD.match(s, begin)
        if word is None or s[word.end() : word.end() + 1].isalnum() or sign:
            return None
        spelt = WORDS[word[0].lower()]
        return Number(Fraction(spelt), plain=str(spelt)), word.end()
    if match.end() - begin > MAX_DIGITS:
        return None
    read = _value(match)
    if read is None:
        return None
    value, decimals, plain = read
    if sign and sign[0][0] != "+":
        value, plain = -value, "-" + plain
    percent = match["percent"] is not None
    return Number(value, decimals, percent, plain + ("%" if percent else "")), match.end()


def whole_number(s: str) -> Number | None:
    """The number that the whole of a folded text is, if it is one."""
    read = read_number(s)
    return read[0] if read is not None and read[1] == len(s) else None


def _value(match: re.Match[str]) -> tuple[Fraction, int | None, str] | None:
    if match["mixed"] is not None:
        above, below = match["over"] or match["above"], int(match["under"] or match["below"])
        if below <= 0 or above.startswith("-"):
            return None
        return Fraction(match["mixed"]) + Fraction(int(above), below), None, match[0]
    if match["top"] is not None:
        below = int(match["bottom"])
        return (Fraction(int(match["top"]), below), None, match[0]) if below else None
    digits = _plain(match["digits"])
    text = digits + (match["exp"] or "")
    if match["exp"] and abs(int(match["exp"][1:])) > _MAX_EXPONENT:
        return None
    value = Fraction(("0" + text) if text.startswith(".") else text.rstrip("."))
    decimals = len(digits.partition(".")[2]) if "." in digits else None
    if match["exp"] and decimals is not None:
        decimals -= int(match["exp"][1:])
    if match["again"] is not None:
        decimals = 0 if match["digits"].endswith(".") else decimals
        if decimals is None:
            return None
        repeated = Fraction(int(match["again"]), 10 ** len(match["again"]) - 1)
        return value + repeated / 10**decimals, None, match[0]
    if match["divisor"] is not None:
        below = int(re.sub(r"[^\d]", "", match["divisor"]))
        return (value / below, None, f"{text}/{below}") if below else None
    return value, (decimals if decimals is None or decimals >= 0 else None), text


def _plain(digits: str) -> str:
    if "." in digits and "," in digits and digits.rindex(",") > digits.rindex("."):
        return digits.replace(".", "").replace(",", ".")
    return re.sub(r"[, ']", "", digits).rstrip(".") or digits
