"""Are two answers the same number, expression, tuple or word?"""

from __future__ import annotations

import re
import time
from dataclasses import replace
from fractions import Fraction
from functools import lru_cache

from ets.answer.expression import constant
from ets.answer.intervals import as_interval
from ets.answer.kinds import Reading
from ets.answer.reading import read
from ets.answer.units import currency_unit
from ets.answer.verifier import Verdicts, Verifier

_MIN_DIGITS = 6
"""A decimal with fewer significant digits is no rounding of anything but itself."""

_verdicts = Verdicts(Verifier())
"""One process for all comparisons that need math-verify; it is started by the first."""


def same_answer(a: str, b: str) -> bool:
    """Whether two answers are mathematically equal; symmetric, and safe in any thread.

    `docs/answers.md` has the rules. Both are read by one small grammar (`ets.answer.reading`):
    numbers with units, expressions, points, sets, lists, intervals, matrices, choices, words. What
    it does not read is math-verify's to decide, in a process of its own (`ets.answer.verifier`).

    The relation is that of a grader, and forgiving: a missing unit agrees with any, 50% with both
    50 and 0.5, a decimal of six digits with what it rounds, `x = 5` with 5. So it is not
    transitive; `ets.answer.vote` pools by what is.

    Answers whose evaluation can explode are compared as text. What takes the process more than its
    limit is stopped and counts as different.
    """
    if a == b:
        return True
    return compare(read(a), read(b)) is True


def compare(x: Reading, y: Reading) -> bool | None:
    """The verdict on two readings; None where math-verify ran out of time."""
    if x.text == y.text or (x.key is not None and x.key == y.key):
        return True
    if not x.text or not y.text:
        return False
    if (_is_equation(x) and _is_equation(y)) or "json" in (x.kind, y.kind):
        return False
    if {x.kind, y.kind} & {"open", "equation"} or (_unkeyed(x) and _unkeyed(y)):
        return _open(x, y)
    return _settled(x, y)


def _is_equation(reading: Reading) -> bool:
    return reading.key is not None and reading.key[0] == "equation"


def _unkeyed(reading: Reading) -> bool:
    return reading.key is None and not reading.entries


def _settled(x: Reading, y: Reading) -> bool | None:
    if x.name and y.name and x.name != y.name:
        return False
    if x.name or y.name:
        return compare(_nameless(x), _nameless(y))
    kinds = {x.kind, y.kind}
    if kinds <= {"number", "value"}:
        return _same_value(x, y)
    if x.kind == y.kind == "clock":
        return x.shape[0] == y.shape[0] and not (x.shape[1] and y.shape[1])
    if "base" in kinds:
        base, other = (x, y) if x.kind == "base" else (y, x)
        return other.kind == "number" and other.text == base.shape[0]
    if "intervals" in kinds and "entries" in kinds:
        intervals, entries = (x, y) if x.kind == "intervals" else (y, x)
        return intervals.key == ("intervals", as_interval(entries))
    if x.kind == y.kind and x.kind in ("entries", "matrix"):
        return x.shape == y.shape and _in_order(x, y)
    if kinds == {"entries", "list"}:
        return _in_order(x, y)
    if kinds <= {"set", "list"}:
        return _in_any_order(x, y)
    for one, other in ((x, y), (y, x)):
        if one.kind == "set" and len(one.entries) == 1 and other.kind in ("number", "value"):
            return compare(one.entries[0], other)
    return False


def _nameless(x: Reading) -> Reading:
    if not x.name:
        return x
    text = re.split(r"=|\\in(?![a-z]) ?", x.text, maxsplit=1)[-1]
    return replace(x, name="", key=x.named or x.key, named=None, text=text)


def _in_order(x: Reading, y: Reading) -> bool | None:
    return len(x.entries) == len(y.entries) and _all(
        [compare(a, b) for a, b in zip(x.entries, y.entries, strict=True)]
    )


def _all(verdicts: list[bool | None]) -> bool | None:
    if any(verdict is False for verdict in verdicts):
        return False
    return None if None in verdicts else True


def _in_any_order(x: Reading, y: Reading) -> bool | None:
    if len(x.entries) != len(y.entries):
        return False
    left = list(y.entries)
    unsure = False
    for entry in x.entries:
        verdicts = [compare(entry, other) for other in left]
        if True in verdicts:
            left.pop(verdicts.index(True))
        elif None in verdicts:
            unsure = True
        else:
            return False
    return None if unsure else True


# --- numbers and expressions ----------------------------------------------------------------------


def _same_value(x: Reading, y: Reading) -> bool:
    scale = Fraction(1)  # of the units: how many of the second one of the first is
    if x.unit is not None and y.unit is not None and not (_is_pound(x, y) or _is_pound(y, x)):
        if x.unit.powers != y.unit.powers:
            return False
        scale = x.unit.factor / y.unit.factor
    if x.kind == "value" and y.kind == "value":
        return bool(scale == 1 and x.key is not None and y.key is not None and x.key[1] == y.key[1])
    return _agree(x, y, scale)


_POUND = currency_unit("\u00a3")
_IN_POUNDS = re.compile(r"[\d} ]pounds?$")


def _is_pound(money: Reading, said: Reading) -> bool:
    """Whether an amount of money meets one in `pounds`, a word that may say either."""
    return money.unit == _POUND and _IN_POUNDS.search(f" {said.text}") is not None


def _agree(x: Reading, y: Reading, scale: Fraction) -> bool:
    return any(
        _near(x, y, scale * p, q) for p in _percent_scales(x, y) for q in _percent_scales(y, x)
    )


def _percent_scales(x: Reading, other: Reading) -> tuple[Fraction, ...]:
    """50% is a half, and 50 where the other has no per cent sign."""
    if x.number is None or not x.number.percent:
        return (Fraction(1),)
    if other.number is not None and other.number.percent:
        return (Fraction(1),)
    return Fraction(1, 100), Fraction(1)


def _near(x: Reading, y: Reading, p: Fraction, q: Fraction) -> bool:
    """Whether `x` times `p` is `y` times `q`, or one of them is the other, rounded."""
    a, b = _fraction(x), _fraction(y)
    if a is None or b is None:
        return False
    a, b = a * p, b * q
    if a == b:
        return True
    rough = [r for r in (x, y) if r.number is not None and r.number.decimals is not None]
    if not rough:
        return (x.kind == "value" or y.kind == "value") and abs(a - b) <= abs(b) / 10**50
    size = max(abs(a), abs(b))
    if abs(a - b) * 10**12 <= size:
        return True  # the tail of float arithmetic
    for reading, scale, other in ((x, p, y), (y, q, x)):
        number = reading.number
        if number is None or number.decimals is None or number.significant() < _MIN_DIGITS:
            continue
        finer = (
            other.number is None
            or other.number.decimals is None
            or other.number.decimals > number.decimals
        )
        if finer and abs(a - b) < scale / Fraction(10) ** number.decimals:
            return True
    return False


@lru_cache(maxsize=16_384)
def _constant(s: str) -> Fraction | None:
    value = constant(s)
    if value is None:
        return None
    sign, mantissa, exponent, _ = value._mpf_
    whole = Fraction(int(mantissa)) * Fraction(2) ** exponent
    return Fraction(-whole if sign else whole)


def _fraction(x: Reading) -> Fraction | None:
    if x.number is not None:
        return x.number.value
    return _constant(x.shape[0] if x.unit is not None else x.text)


# --- math-verify ----------------------------------------------------------------------------------


def compare_within(x: Reading, y: Reading, deadline: float) -> bool | None:
    """`compare` of two readings of one kind that math-verify has to decide, up to a deadline."""
    if x.entries:
        return compare(x, y)
    wall = deadline - time.monotonic()
    return _verdicts.of(x.text, y.text, wall) if wall > 0 else None


def is_rounded(decimal: Reading, exact: Reading) -> bool:
    """Whether a decimal is another number, rounded to six digits or more."""
    return {decimal.kind, exact.kind} <= {"number", "value"} and _same_value(decimal, exact)


def _open(x: Reading, y: Reading) -> bool | None:
    """math-verify's verdict on mathematics of which one is beyond the grammar."""
    settled = ("words", "choice", "text", "clock", "base", "ratio")
    if x.kind in settled or y.kind in settled:
        return False
    if (x.kind in ("list", "set")) != (y.kind in ("list", "set")):
        return False
    return _verdicts.of(x.text, y.text)
