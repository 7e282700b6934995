"""Are two answers the same number, expression, tuple or word?"""

from __future__ import annotations

import math
import re
from fractions import Fraction
from functools import lru_cache

from ets.verifier import Verifier

_MAX_LENGTH = 300
"""Longer answers are compared as text; the longest of MATH-500 has 53 characters."""
_MAX_DEPTH = 24
"""Answers with deeper brackets are compared as text: the parser recurses."""
_MAX_DIGITS = 60
"""A longer run of digits is compared as text: roots and logarithms factor integers."""
_MAX_NUMERIC_POWER = 10_000
"""The largest product of the exponents in an answer without variables."""
_MAX_SYMBOLIC_POWER = 100
"""The same with variables, where simplification expands and factors."""
_MAX_BRACKET_POWER = 12
"""The same where a bracket with variables is raised: (x + y + z)^k has about k^2 terms."""

_verifier = Verifier()
"""One process for all comparisons that need mathematics; it is started by the first."""


def same_answer(a: str, b: str) -> bool:
    """Whether two answers are mathematically equal; symmetric, and safe in any thread.

    Plain numbers (thousands separators, fractions, per cent) and equal strings are settled at once;
    tuples and intervals are compared entry by entry, because a point such as (3, 1) read as an
    interval is empty and would equal every other empty one. The rest is math-verify's to decide:
    decimals agree when they do to six places, and 50% equals both 50 and 0.5, so the relation is
    not transitive. Results are cached.

    Answers whose evaluation can explode (long, deep, exponent towers, large powers and factorials,
    sums, integrals) are compared as text. What still takes more than 5 s is stopped, in whatever
    thread, and counts as different: math-verify runs in a process of its own (`ets.verifier`).
    """
    x, y = normalise(a), normalise(b)
    if x == y:
        return True
    return _same(*sorted((x, y)))


@lru_cache(maxsize=65_536)
def _same(a: str, b: str) -> bool:
    """`same_answer` of two normalised, sorted, different strings."""
    if not a or not b:
        return False
    (number_a, unit_a), (number_b, unit_b) = _split_unit(a), _split_unit(b)
    x, y = _number(number_a), _number(number_b)
    if x is not None and y is not None:
        return (unit_a == unit_b or not (unit_a and unit_b)) and _same_number(x, y)
    words_a, words_b = _words(a), _words(b)
    if words_a or words_b:
        return words_a == words_b
    if not (_is_tame(a) and _is_tame(b)):
        return False
    entries_a, entries_b = _entries(a), _entries(b)
    if entries_a and entries_b:
        return _same_entries(entries_a, entries_b)
    return _verifier.same(a, b)


_SPACES = re.compile(r"(?<!\\)\\[,;:!> ]|\\q?quad\b|~|\s+")
_LOOSE = re.compile(r" ?([-+*/=^_,(){}<>]) ?")
_DROPPED = re.compile(r"\\(?:left|right|displaystyle|textstyle|limits|[bB]igg?[lr]?)(?![a-zA-Z])")
_WRAPPED = re.compile(r"\\(?:text|textbf|textit|textrm|mathrm|mathbf|mbox)\s*\{([^{}]*)\}")
_CHOICE = re.compile(r"\(([A-Za-z])\)")
_BARE_FRAC = re.compile(r"\\frac(\d)(\d)")


def normalise(answer: str) -> str:
    """The answer without what never changes its meaning: spacing, sizes, `$`, a final full stop."""
    s = answer.strip()
    if len(s) > 100 * _MAX_LENGTH:
        return s
    s = s.replace("\u2212", "-").replace("{,}", ",").replace("\\$", "").replace("$", "")
    s = s.replace("\\(", "").replace("\\)", "").replace("\\[", "").replace("\\]", "")
    s = s.replace("\\dfrac", "\\frac").replace("\\tfrac", "\\frac").replace("\\%", "%")
    s = s.replace("^{\\circ}", "").replace("^\\circ", "").replace("\u00b0", "")
    s = _DROPPED.sub("", s)
    if (match := _WRAPPED.fullmatch(s)) is not None:
        s = match[1]
    s = _BARE_FRAC.sub(r"\\frac{\1}{\2}", s)
    s = _LOOSE.sub(r"\1", _SPACES.sub(" ", s)).strip().removesuffix(".").rstrip()
    return match[1] if (match := _CHOICE.fullmatch(s)) is not None else s


_NUMBER = re.compile(
    r"(?P<sign>[-+]?) ?(?:"
    r"(?P<whole>\d{1,3}(?:,\d{3})+|\d+)(?P<decimals>\.\d*)?|(?P<bare>\.\d+)"
    r")(?: ?/ ?(?P<below>\d{1,3}(?:,\d{3})+|\d+))? ?(?P<percent>%?)",
    re.ASCII,
)
_FRACTION = re.compile(r"(?P<sign>[-+]?) ?\\frac ?\{ ?(?P<above>-?\d+) ?\} ?\{ ?(?P<below>\d+) ?\}")

_Number = tuple[Fraction, bool, bool]
"""Value, whether it was written as a decimal, whether as per cent."""


_UNIT = re.compile(r"(.*\d) ?((?!and\b|or\b|to\b|half\b)[^\W\d_]{2,}(?: [^\W\d_]+){0,3})")


def _split_unit(s: str) -> tuple[str, str]:
    """`26 marbles` as `26` and `marbles`; a missing unit agrees with any."""
    match = _UNIT.fullmatch(s) if len(s) <= _MAX_LENGTH else None
    return (match[1], match[2].casefold()) if match else (s, "")


def _number(s: str) -> _Number | None:
    """The plain number that a normalised answer is, if it is one."""
    if len(s) > _MAX_LENGTH:
        return None
    if (match := _FRACTION.fullmatch(s)) is not None:
        if int(match["below"]) == 0:
            return None
        value = Fraction(int(match["above"]), int(match["below"]))
        return (-value if match["sign"] == "-" else value), False, False
    if (match := _NUMBER.fullmatch(s)) is None:
        return None
    digits = match["bare"] or (match["whole"].replace(",", "") + (match["decimals"] or ""))
    value = Fraction("0" + digits if digits.startswith(".") else digits.rstrip("."))
    if match["below"]:
        below = int(match["below"].replace(",", ""))
        if below == 0:
            return None
        value /= below
    return (-value if match["sign"] == "-" else value), "." in digits, bool(match["percent"])


def _same_number(a: _Number, b: _Number) -> bool:
    (x, x_decimal, x_percent), (y, y_decimal, y_percent) = a, b
    if x_percent != y_percent:
        plain = (y, y_decimal, False) if x_percent else (x, x_decimal, False)
        value, decimal, _ = a if x_percent else b
        hundredth = (value / 100, decimal, False)
        return _same_number((value, decimal, False), plain) or _same_number(hundredth, plain)
    if x_decimal or y_decimal:
        return round(x, 6) == round(y, 6)
    return x == y


_WORD = re.compile(r"(?<![\\a-zA-Z])[^\W\d_]{3,}")
_NOT_TEXT = re.compile(r"[\\^_=+*/<>{}|\d]")
_FUNCTIONS = frozenset({"sin", "cos", "tan", "cot", "sec", "csc", "log", "exp", "sqrt", "inf"})


def _words(s: str) -> str | None:
    """The folded text of an answer in words, such as `Evelyn`; None for mathematics.

    Read as mathematics, words would be products of variables and anagrams would be equal.
    """
    s = _WRAPPED.sub(r"\1", s)
    if _NOT_TEXT.search(s) is None and any(w not in _FUNCTIONS for w in _WORD.findall(s)):
        return " ".join(s.casefold().split())
    return None


_EXPONENT = re.compile(r"(?:\^|\*\*) ?")
_UNBOUNDED = re.compile(
    r"\\(?:sum|prod|int|iint|iiint|oint|lim|limsup|liminf|binom|[dt]binom|choose|zeta|Gamma)\b"
    r"|!\s*!|[)}\]a-zA-Z]\s*!|\d{4}\s*!|(?<!\d)[2-9]\d{2}\s*!"
)
_VARIABLE = re.compile(r"(?<![\\a-zA-Z])[a-zA-Z](?![a-zA-Z])")


def _is_tame(s: str) -> bool:
    """Whether parsing and simplifying an answer is sure to stay small, as far as its text shows."""
    if len(s) > _MAX_LENGTH or _depth(s) > _MAX_DEPTH or _UNBOUNDED.search(s):
        return False
    if re.search(rf"\d{{{_MAX_DIGITS},}}", s):
        return False
    single, bracketed = 1, 1
    for match in _EXPONENT.finditer(s):
        exponent = _operand(s, match.end())
        for inner in _EXPONENT.finditer(exponent):  # a tower: e^{x^2} may pass, 9^{9^9} may not
            if not exponent[: inner.start()].rstrip()[-1:].isalpha():
                return False
        if _EXPONENT.match(s, match.end() + len(exponent)) or "!" in exponent:
            return False
        raised = math.prod(max(1, int(literal[:9])) for literal in re.findall(r"\d+", exponent))
        if s[: match.start()].rstrip()[-1:] in (")", "}", "]"):
            bracketed *= raised  # brackets nest, so their exponents can multiply
        else:
            single = max(single, raised)
    if _VARIABLE.search(s):
        return single * bracketed <= _MAX_SYMBOLIC_POWER and bracketed <= _MAX_BRACKET_POWER
    return single * bracketed <= _MAX_NUMERIC_POWER


def _depth(s: str) -> int:
    depth = deepest = 0
    for c in s:
        if c in "([{":
            depth += 1
            deepest = max(deepest, depth)
        elif c in ")]}":
            depth -= 1
    return deepest


def _operand(s: str, start: int) -> str:
    """What an exponent sign raises to: a bracket with all in it, a number, or a single sign."""
    if s[start : start + 1] in ("{", "("):
        depth = 0
        for i in range(start, len(s)):
            depth += (s[i] in "{(") - (s[i] in "})")
            if depth == 0:
                return s[start : i + 1]
        return s[start:]
    match = re.compile(r"[-+]?(?:\d+|\\[a-zA-Z]+|.)?").match(s, start)
    return match[0] if match else ""


_Entries = tuple[str, tuple[str, ...], str]


def _entries(s: str) -> _Entries | None:
    """Bracket, entries and bracket of a point or an interval such as (1, 2] or [0, \\infty)."""
    if s[:1] not in ("(", "[") or s[-1:] not in (")", "]"):
        return None
    parts, depth, begin = [], 0, 1
    for i, c in enumerate(s):
        depth += (c in "([{") - (c in ")]}")
        if depth == 0 and i < len(s) - 1:
            return None  # the first bracket closes early: a union or a product
        if c == "," and depth == 1:
            parts.append(s[begin:i].strip())
            begin = i + 1
    parts.append(s[begin:-1].strip())
    return (s[0], tuple(parts), s[-1]) if len(parts) > 1 else None


def _same_entries(a: _Entries, b: _Entries) -> bool:
    return (
        (a[0], a[2]) == (b[0], b[2])
        and len(a[1]) == len(b[1])
        and all(x == y or same_answer(x, y) for x, y in zip(a[1], b[1], strict=True))
    )
