"""Intervals: `x > 3`, `0 < x <= 2`, `x < 1 or x > 2`, `x > 3 and x < 5`, unions of brackets."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from itertools import pairwise

from ets.answer.kinds import Key, Reading
from ets.answer.single import INFINITY, MINUS_INFINITY

Piece = tuple[object, ...]
"""One interval: its left bracket, the keys of its ends, its right bracket."""
Read = Callable[[str], Reading]

_COMPARED = re.compile(
    r" ?(\\le(?![a-z])|\\ge(?![a-z])|<=|>=|=<|<|>|\\lt\b|\\gt\b|\\ne(?![a-z])|!=) ?"
)
_LETTER = re.compile(r"\\?[a-zA-Z]+(?:_\{?\w\}?)?")
_SIGN = {"\\le": "<=", "=<": "<=", "\\ge": ">=", "\\lt": "<", "\\gt": ">", "\\ne": "!="}
_OR = re.compile(r" ?, ?or | or | ?\\cup ?| ?\\lor\b ?| ?\\vee\b ?")
_AND = re.compile(r" ?, ?and | and | ?\\land\b ?| ?\\wedge\b ?| ?\\cap\b ?| ?& ?")
_COMMA = re.compile(r" ?[,;] ?")
_CUP = re.compile(r" ?(?:\\cup\b|\\bigcup\b) ?| U | or ")
_WITHOUT = re.compile(
    r"\\mathbb\{R\} ?(?:\\setminus|\\backslash|\\smallsetminus|-) ?\\?\{(.+?)\\?\}"
)


def split_top(s: str, separator: re.Pattern[str]) -> list[str]:
    """The parts of `s` between the separators that stand outside of all brackets."""
    parts, depth, begin, at = [], 0, 0, 0
    while at < len(s):
        sign = s[at]
        if sign == "\\" and at + 1 < len(s) and not s[at + 1].isalpha():
            depth += (s[at + 1] == "{") - (s[at + 1] == "}")
            at += 2
            continue
        if depth == 0 and (match := separator.match(s, at)) is not None and match.end() > at:
            parts.append(s[begin:at])
            begin = at = match.end()
            continue
        depth += (sign in "([{") - (sign in ")]}")
        at += 1
    parts.append(s[begin:])
    return [part.strip() for part in parts]


def read_relations(s: str, read: Read) -> Reading | None:
    """Inequalities of one letter as the intervals that they describe.

    `and` is what they have in common, `or` what any of them holds; a comma is `and`, but where
    nothing would be left, `or`.
    """
    if _COMPARED.search(s) is None:
        return None
    pieces: list[Piece] = []
    names: set[str] = set()
    for part in split_top(s, _OR):
        common: list[Piece] | None = None
        for clause in split_top(part, _AND):
            listed = [_relation(one, read) for one in split_top(clause, _COMMA)]
            if not all(listed):
                return None
            for name, found in filter(None, listed):
                names.add(name)
                common = found if common is None else _common(common, found)
            if common is not None and not common and len(listed) > 1:
                common = [piece for one in filter(None, listed) for piece in one[1]]
        pieces += common or []
    if len(names) != 1:
        return None
    if not pieces:
        return Reading("words", s, ("word", "empty"))
    return _intervals(s, pieces, names.pop())


def _intervals(s: str, pieces: list[Piece], name: str = "") -> Reading:
    return Reading("intervals", s, ("intervals", *sorted(pieces, key=repr)), name=name)


def _relation(s: str, read: Read) -> tuple[str, list[Piece]] | None:
    parts = _COMPARED.split(s)
    operands, signs = parts[::2], [_SIGN.get(sign, sign) for sign in parts[1::2]]
    letters = [
        i
        for i, o in enumerate(operands)
        if _LETTER.fullmatch(o) and o not in ("e", "\\pi", "\\infty", "pi")
    ]
    if len(letters) != 1 or len(operands) < 2:
        return None
    at = letters[0]
    ends: dict[int, Key] = {}
    for i, operand in enumerate(operands):
        if i != at:
            end = read(operand)
            if end.key is None or end.key[0] not in ("number", "word"):
                return None
            ends[i] = end.key
    if len(operands) == 2:
        sign = signs[0] if at == 0 else _turned(signs[0])
        only = ends[1 - at]
        if sign == "!=":
            return operands[at], [("(", MINUS_INFINITY, only, ")"), ("(", only, INFINITY, ")")]
        if sign in ("<", "<="):
            return operands[at], [("(", MINUS_INFINITY, only, "]" if "=" in sign else ")")]
        return operands[at], [("[" if "=" in sign else "(", only, INFINITY, ")")]
    if len(operands) != 3 or at != 1 or {s[0] for s in signs} not in ({"<"}, {">"}):
        return None
    (low, low_sign), (high, high_sign) = (ends[0], signs[0]), (ends[2], signs[1])
    if signs[0][0] == ">":
        low, low_sign, high, high_sign = high, high_sign, low, low_sign
    left, right = "[" if "=" in low_sign else "(", "]" if "=" in high_sign else ")"
    return operands[at], [(left, low, high, right)]


def _turned(sign: str) -> str:
    return sign.replace("<", "\0").replace(">", "<").replace("\0", ">")


def _common(some: list[Piece], others: list[Piece]) -> list[Piece]:
    """What two unions of intervals have in common; of ends without an order nothing."""
    found: list[Piece] = []
    for a in some:
        for b in others:
            lows = [(_size(p[1]), p[0] == "(", p[1], p[0]) for p in (a, b)]
            highs = [(_size(p[2]), p[3] == "]", p[2], p[3]) for p in (a, b)]
            if any(end[0].is_nan() for end in (*lows, *highs)):
                continue
            low = max(lows, key=lambda end: end[:2])
            high = min(highs, key=lambda end: end[:2])
            if low[0] < high[0] or (low[0] == high[0] and (low[3], high[3]) == ("[", "]")):
                found.append((low[3], low[2], high[2], high[3]))
    return found


def _size(end: object) -> Decimal:
    """The order of an interval's end, from its key; NaN where it is no real number."""
    if end in (INFINITY, MINUS_INFINITY):
        return Decimal("Infinity" if end == INFINITY else "-Infinity")
    value = end[1] if isinstance(end, tuple) and len(end) == 2 else None
    if not (isinstance(value, tuple) and len(value) == 2 and value[0] == "0"):
        return Decimal("NaN")
    try:
        return Decimal(str(value[1]))
    except InvalidOperation:
        return Decimal("NaN")


def as_interval(reading: Reading) -> Piece | None:
    """Two entries in brackets as the interval that they may be."""
    if reading.kind != "entries" or len(reading.entries) != 2:
        return None
    low, high = (entry.key for entry in reading.entries)
    return (reading.shape[0], low, high, reading.shape[1]) if low and high else None


def read_union(s: str, read: Read) -> Reading | None:
    """Brackets joined by a cup, or the real numbers without some."""
    if (without := _WITHOUT.fullmatch(s)) is not None:
        gaps = [read(part).key for part in split_top(without[1], _COMMA)]
        if any(gap is None or _size(gap).is_nan() for gap in gaps):
            return None
        ends = [MINUS_INFINITY, *sorted((gap for gap in gaps if gap), key=_size), INFINITY]
        pairs = pairwise(ends)
        return _intervals(s, [("(", low, high, ")") for low, high in pairs])
    parts = split_top(s, _CUP)
    if len(parts) < 2 or ("\\cup" not in s and " U " not in s):
        return None
    pieces: list[Piece] = []
    for part in parts:
        inner = read(part)
        if (interval := as_interval(inner)) is not None:
            pieces.append(interval)
        elif inner.kind == "intervals" and inner.key is not None:
            pieces += [piece for piece in inner.key[1:] if isinstance(piece, tuple)]
        else:
            return None
    return _intervals(s, pieces)
