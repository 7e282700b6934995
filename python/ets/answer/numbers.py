"""The one reader of numbers: digits in groups, decimals, fractions, mixed numbers, per cent."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from ets.answer.number_words import behind_and, read_number_words

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
    rf"|[1-9]\d{{0,2}}(?:\.\d{{3}}){{2,}}(?!\d|[.,]\d)"  # 1.234.567
    rf"|(?:{_GROUP})(?:\.\d+)?|\d+\.\d+|\.\d+|\d+)"
)
_REPEATING = (
    r"(?P<start>\d+\.\d*|\.\d+|\.(?=\\overline))(?:\\overline ?\{ ?(?P<again>\d+) ?\}"
    r"|\((?P<bracketed>\d+)\)(?![\w(])|(?<=\d)(?P<dots> ?(?:\.{3}|\\[lc]?dots(?![a-z]))))"
)
_FRAC = r"\\frac ?\{ ?(?P<over>-?\d+) ?\} ?\{ ?(?P<under>-?\d+) ?\}"
NUMBER = re.compile(
    rf"(?:(?P<mixed>\d+)(?: ?{_FRAC}| (?P<above>\d+)/(?P<below>\d+)(?!\d|\.\d))|{_REPEATING}"
    rf"|(?P<digits>{DIGITS})(?P<exp>[eE][+-]?\d{{1,9}}(?!\w))?"
    rf"(?: ?(?:/|over|out of) ?(?P<divisor>{_INTEGER})(?!\d|\.\d|\w*\())?"
    rf"|{_FRAC.replace('over', 'top').replace('under', 'bottom')})"
    r"(?: ?(?P<percent>\\?%|percent\b|per cent\b|pct\b))?",
    re.IGNORECASE,
)
"""A number without its sign."""
_SIGN = re.compile(r"[-+\u2212] ?")


def read_number(s: str, at: int = 0) -> tuple[Number, int] | None:
    """The number that begins at `at` of a folded text, with its sign, and where it ends."""
    sign = _SIGN.match(s, at)
    begin = sign.end() if sign else at
    match = NUMBER.match(s, begin)
    if match is None:
        spelt = None if sign else read_number_words(s, begin)
        return None if spelt is None else (Number(spelt[0], plain=str(spelt[0])), spelt[1])
    if match.end() - begin > MAX_DIGITS:
        return None
    read = _value(match)
    if read is None:
        return None
    value, decimals, plain = read
    if sign and sign[0][0] != "+":
        value, plain = -value, "-" + plain
    percent = match["percent"] is not None
    if value.denominator == 1 and (part := behind_and(s, match.end())) is not None:
        value += -part[0] if value < 0 else part[0]
        return Number(value, plain=str(value)), part[1]
    return Number(value, decimals, percent, plain + ("%" if percent else "")), match.end()


def _value(match: re.Match[str]) -> tuple[Fraction, int | None, str] | None:
    if match["mixed"] is not None:
        above, below = match["over"] or match["above"], int(match["under"] or match["below"])
        if below <= 0 or above.startswith("-"):
            return None
        return Fraction(match["mixed"]) + Fraction(int(above), below), None, match[0]
    if match["top"] is not None:
        below = int(match["bottom"])
        return (Fraction(int(match["top"]), below), None, match[0]) if below else None
    if match["start"] is not None:
        return _repeating(match)
    digits = plain_digits(match["digits"])
    text = digits + (match["exp"] or "")
    if match["exp"] and abs(int(match["exp"][1:])) > _MAX_EXPONENT:
        return None
    value = Fraction(("0" + text) if text.startswith(".") else text.rstrip("."))
    decimals = len(digits.partition(".")[2]) if "." in digits else None
    if match["exp"] and decimals is not None:
        decimals -= int(match["exp"][1:])
    if match["divisor"] is not None:
        below = int(re.sub(r"[^\d]", "", match["divisor"]))
        return (value / below, None, f"{text}/{below}") if below else None
    return value, (decimals if decimals is None or decimals >= 0 else None), text


_BLOCK = re.compile(r"(\d+?)\1{2,}|(?<!\d)(\d+?)\2+")
"""What repeats three times, or twice with nothing before it: `1666`, `0909`."""
_LONGEST_SHOWN = 60


def _repeating(match: re.Match[str]) -> tuple[Fraction, int | None, str]:
    whole, _, digits = match["start"].partition(".")
    again = match["again"] or match["bracketed"]
    if again is None:
        blocks = _BLOCK.finditer(digits) if len(digits) <= _LONGEST_SHOWN else iter(())
        block = next((m for m in blocks if m.end() == len(digits)), None)
        if block is None:  # it goes on, and does not say how
            return Fraction(f"0{match['start']}"), len(digits), match["start"]
        again, digits = block[1] or block[2], digits[: block.start()]
    value = Fraction(f"0{whole}.{digits}0")
    value += Fraction(int(again), 10 ** len(digits) * (10 ** len(again) - 1))
    return value, None, match[0].removesuffix(match["percent"] or "").rstrip()


def plain_digits(digits: str) -> str:
    """Digits without thousands separators, with a decimal point."""
    if digits.count(".") > 1 and "," not in digits:
        return digits.replace(".", "")
    if "." in digits and "," in digits and digits.rindex(",") > digits.rindex("."):
        return digits.replace(".", "").replace(",", ".")
    return re.sub(r"[, ']", "", digits).rstrip(".") or digits
