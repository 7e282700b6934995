"""What an answer is: one thing, or a point, set, list, matrix, or intervals of others."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import lru_cache

from ets.answer.digits import read_base, read_clock
from ets.answer.fold import fold
from ets.answer.kinds import Key, Reading, collection_key, unnamed
from ets.answer.single import (
    INFINITY,
    MINUS_INFINITY,
    read_amounts,
    read_choice,
    read_expression,
    read_known_words,
    read_whole_amount,
    read_words,
)
from ets.answer.tame import is_tame

MAX_LENGTH = 300
"""Longer answers are compared as text; the longest of MATH-500 has 53 characters."""


@lru_cache(maxsize=16_384)
def read(answer: str) -> Reading:
    """What an answer is. Equal texts read equally; linear in the answer's length."""
    s = fold(answer)
    if len(s) > MAX_LENGTH:
        return Reading("text", s, ("text", s))
    return _read(s, 0)


_NAMED = re.compile(
    r"((?:\\?[A-Za-z]+|[A-Za-z])(?:_\{?\w+\}?)?(?:\([A-Za-z\d,]*\))?)(?:=|\\in\b ?|:=)(?!=)(.+)"
)
_POINT = re.compile(r"[A-Z]'?(\([^()]*,[^()]*\))")
_BUILDER = re.compile(
    r"\\\{ ?([a-z])(?: ?\\in ?\\mathbb\{R\})? ?(?:\\mid\b|\\vert\b|\||:|\\colon\b) ?(.*?) ?\\\}"
)
_MAX_NESTED = 6


def _read(s: str, depth: int) -> Reading:
    if not s or depth > _MAX_NESTED:
        return Reading("text", s, ("text", s))
    for reader in (
        read_clock,
        read_choice,
        read_base,
        read_known_words,
        read_whole_amount,
        read_amounts,
    ):
        if (found := reader(s)) is not None:
            return found
    if (builder := _BUILDER.fullmatch(s)) is not None:
        inner = _read(builder[2], depth + 1)
        if inner.kind == "intervals":
            return inner
    for nested in (_relation, _matrix, _bracketed, _union, _list):
        if (found := nested(s, depth + 1)) is not None:
            return found
    if (point := _POINT.fullmatch(s)) is not None:
        return _read(point[1], depth + 1)
    if (named := _NAMED.fullmatch(s)) is not None and "=" not in named[2]:
        inner = _read(named[2], depth + 1)
        name = named[1].removeprefix("\\")
        key = None if inner.key is None else ("named", name, inner.key)
        if inner.kind in ("open", "words"):
            return Reading("open", s, None) if is_tame(s) else Reading("text", s, ("text", s))
        return replace(inner, text=s, key=key, name=name)
    return read_expression(s) or read_words(s)


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


_COMMA = re.compile(r" ?, ?(?:(?:and|or)\b ?)?| (?:and|or) |(?<=[\d})\]]) ?(?:and|or)(?![a-z]) ?|;")
_ENTRY_COMMA = re.compile(r"[,;]")
_CUP = re.compile(r" ?(?:\\cup\b|\\bigcup\b) ?| U | or ")


def _plus_minus(parts: list[str]) -> list[str]:
    found = []
    for part in parts:
        if "\\pm" in part or "\\mp" in part:
            for plus, minus in (("+", "-"), ("-", "+")):
                made = re.sub(r" ?\\pm(?![A-Za-z]) ?", plus, part)
                made = re.sub(r" ?\\mp(?![A-Za-z]) ?", minus, made)
                found.append(made.removeprefix("+"))
        else:
            found.append(part)
    return found


def _list(s: str, depth: int) -> Reading | None:
    parts = _plus_minus(split_top(s, _COMMA))
    if len(parts) < 2 or not all(parts):
        return None
    entries = tuple(_read(part, depth) for part in parts)
    names = {entry.name for entry in entries}
    if any(
        entry.kind == "words" and entry.key and entry.key[0] == "text" for entry in entries
    ) and all(len(part.split()) > 3 for part in parts):
        return None
    if len(names) == 1 or (entries[0].name and not any(entry.name for entry in entries[1:])):
        name = entries[0].name
        entries = tuple(_nameless(entry) for entry in entries)
    else:
        name = ""
    key = collection_key("list", entries, ordered=False)
    if name and key is not None:
        key = ("named", name, key)
    return Reading("list", s, key, name=name, entries=entries)


def _nameless(entry: Reading) -> Reading:
    if not entry.name or entry.kind == "intervals":
        return entry
    return replace(entry, name="", key=unnamed(entry.key))


def _bracketed(s: str, depth: int) -> Reading | None:
    is_set = s.startswith("\\{") and s.endswith("\\}")
    if s[:1] == "{" and s[-1:] == "}":
        s, is_set = f"\\{s[:-1]}\\}}", True
    if not is_set and not (s[:1] in ("(", "[", "\\") and s[-1:] in (")", "]", "\\")):
        return None
    begin, end = (2, -2) if is_set else (1, -1)
    if not _closes_at_end(s):
        return None
    parts = split_top(s[begin:end], _ENTRY_COMMA)
    if is_set:
        parts = _plus_minus(parts)
    if (len(parts) < 2 and not is_set) or not all(parts):
        return None
    entries = tuple(_read(part, depth) for part in parts)
    if is_set:
        key = collection_key("set", tuple(entries), ordered=False)
        if key is not None:
            key = ("list", *sorted(set(key[1:]), key=repr))
        return Reading("set", s, key, entries=entries)
    key = collection_key("entries", entries, ordered=True)
    shape = (s[0], s[-1])
    return Reading("entries", s, key and (*key, *shape), entries=entries, shape=shape)


def _closes_at_end(s: str) -> bool:
    depth, at = 0, 0
    while at < len(s):
        width = 2 if s[at] == "\\" and at + 1 < len(s) and not s[at + 1].isalpha() else 1
        sign = s[at : at + width][-1]
        depth += (sign in "([{") - (sign in ")]}")
        at += width
        if depth == 0:
            return at == len(s)
    return False


_MATRIX = re.compile(
    r"\\begin ?\{([pbBvV]?)(?:small)?(?:matrix|array)\}(?:\{[lcr|]+\})?(.*)"
    r"\\end ?\{[pbBvV]?(?:small)?(?:matrix|array)\}"
)


def _matrix(s: str, depth: int) -> Reading | None:
    match = _MATRIX.fullmatch(s)
    if match is None or "\\begin" in match[2]:
        return None
    rows = [row for row in re.split(r" ?\\\\ ?", match[2].strip()) if row.strip()]
    cells = [[cell.strip() for cell in row.split("&")] for row in rows]
    entries = tuple(_read(cell, depth) for row in cells for cell in row)
    kind = "determinant" if match[1] in ("v", "V") and match[1] else "matrix"
    shape = (kind, *(str(len(row)) for row in cells))
    key = collection_key("matrix", entries, ordered=True)
    return Reading("matrix", s, key and (*key, *shape), entries=entries, shape=shape)


_COMPARED = re.compile(
    r" ?(\\le(?![a-z])|\\ge(?![a-z])|<=|>=|=<|<|>|\\lt\b|\\gt\b|\\ne(?![a-z])|!=) ?"
)
_LETTER = re.compile(r"\\?[a-zA-Z]+(?:_\{?\w\}?)?")
_SIGN = {"\\le": "<=", "=<": "<=", "\\ge": ">=", "\\lt": "<", "\\gt": ">", "\\ne": "!="}


def _relation(s: str, depth: int) -> Reading | None:
    """`x > 3`, `0 < x <= 2`, `x < 1 or x > 2` as the intervals that they describe."""
    if _COMPARED.search(s) is None:
        return None
    pieces: list[tuple[object, ...]] = []
    name = ""
    for part in split_top(s, re.compile(r" ?, ?or | or | ?\\cup ?| ?\\lor\b ?| ?\\vee\b ?")):
        found = _one_relation(part, depth)
        if found is None or (name and found[0] != name):
            return None
        name = found[0]
        pieces += found[1]
    key: Key = ("intervals", *sorted(pieces, key=repr))
    return Reading("intervals", s, key, name=name)


def _one_relation(s: str, depth: int) -> tuple[str, list[tuple[object, ...]]] | None:
    parts = _COMPARED.split(s)
    operands, signs = parts[::2], [_SIGN.get(sign, sign) for sign in parts[1::2]]
    letters = [
        i
        for i, o in enumerate(operands)
        if _LETTER.fullmatch(o) and o not in ("e", "\\pi", "\\infty", "pi")
    ]
    if len(letters) != 1:
        return None
    at = letters[0]
    ends: dict[int, Key] = {}
    for i, operand in enumerate(operands):
        if i != at:
            end = _read(operand, depth)
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


def as_interval(reading: Reading) -> tuple[object, ...] | None:
    """Two entries in brackets as the interval that they may be."""
    if reading.kind != "entries" or len(reading.entries) != 2:
        return None
    low, high = (entry.key for entry in reading.entries)
    return (reading.shape[0], low, high, reading.shape[1]) if low and high else None


def _union(s: str, depth: int) -> Reading | None:
    parts = split_top(s, _CUP)
    if len(parts) < 2 or ("\\cup" not in s and " U " not in s):
        return None
    pieces: list[tuple[object, ...]] = []
    for part in parts:
        inner = _read(part, depth)
        if (interval := as_interval(inner)) is not None:
            pieces.append(interval)
        elif inner.kind == "intervals" and inner.key is not None:
            pieces += [piece for piece in inner.key[1:] if isinstance(piece, tuple)]
        else:
            return None
    return Reading("intervals", s, ("intervals", *sorted(pieces, key=repr)))
