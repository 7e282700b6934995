"""What an answer is: one thing, or a point, set, list, matrix, or intervals of others."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import lru_cache

from ets.answer.digits import read_base, read_clock
from ets.answer.fold import fold
from ets.answer.intervals import read_relations, read_union, split_top
from ets.answer.kinds import Key, Reading, collection_key
from ets.answer.single import (
    read_amounts,
    read_choice,
    read_equation,
    read_expression,
    read_known_words,
    read_whole_amount,
    read_words,
)
from ets.answer.structured import canonical_json
from ets.answer.tame import is_tame

MAX_LENGTH = 300
"""Longer answers are compared as text; the longest of MATH-500 has 53 characters."""


@lru_cache(maxsize=16_384)
def read(answer: str) -> Reading:
    """What an answer is. Equal texts read equally; linear in the answer's length."""
    if (said := canonical_json(answer)) is not None:
        return Reading("json", said, ("json", said))
    s = fold(answer)
    if len(s) > MAX_LENGTH:
        return Reading("text", s, ("text", s))
    return _read(s, 0)


_NAMED = re.compile(
    r"((?:m? ?\\(?:angle|triangle) ?[A-Z]+|\\?[A-Za-z]+'*|\|[A-Z]{2}\||\[[A-Z]{3,}\]"
    r"|\\frac\{d[^{}]*\}\{d[^{}]*\})(?:_\{?\w+\}?)?(?:\([^()=]*\))?)(?:=| ?\\in\b ?|:=)(?!=)(.+)"
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
    for intervals in (read_relations, read_union):
        if (pieces := intervals(s, lambda part: _read(part, depth + 1))) is not None:
            return pieces
    for nested in (_matrix, _bracketed, _list):
        if (found := nested(s, depth + 1)) is not None:
            return found
    if (point := _POINT.fullmatch(s)) is not None:
        return _read(point[1], depth + 1)
    if (named := _NAMED.fullmatch(s)) is not None and "=" not in named[2]:
        inner = _read(named[2], depth + 1)
        name = named[1].removeprefix("\\")
        if inner.kind in ("open", "words"):
            return Reading("open", s, None) if is_tame(s) else Reading("text", s, ("text", s))
        key: Key | None = None if inner.key is None else ("named", name, inner.key)
        if key is not None and _is_plain(inner) and (equation := read_equation(s)) is not None:
            key = equation.key
        return replace(inner, text=s, key=key, name=name, named=inner.key)
    return read_expression(s) or read_equation(s) or read_words(s)


def _is_plain(inner: Reading) -> bool:
    """Whether a value is one that an equation can say of a letter: without unit or per cent."""
    is_percent = inner.number is not None and inner.number.percent
    return inner.kind in ("number", "value") and inner.unit is None and not is_percent


_COMMA = re.compile(r" ?, ?(?:(?:and|or)\b ?)?| (?:and|or) |(?<=[\d})\]]) ?(?:and|or)(?![a-z]) ?|;")
_ENTRY_COMMA = re.compile(r"[,;]")


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
    key = named = collection_key("list", entries, ordered=False)
    if name and key is not None:
        key = ("named", name, key)
    return Reading("list", s, key, name=name, named=named, entries=entries)


def _nameless(entry: Reading) -> Reading:
    if not entry.name or entry.kind == "intervals":
        return entry
    return replace(entry, name="", key=entry.named or entry.key, named=None)


def _bracketed(s: str, depth: int) -> Reading | None:
    is_set = s.startswith("\\{") and s.endswith("\\}")
    is_group = s[:1] == "{" and s[-1:] == "}"
    if is_group:
        s, is_set = f"\\{s[:-1]}\\}}", True
    if not is_set and not (s[:1] in ("(", "[", "\\") and s[-1:] in (")", "]", "\\")):
        return None
    begin, end = (2, -2) if is_set else (1, -1)
    if not _closes_at_end(s):
        return None
    parts = split_top(s[begin:end], _ENTRY_COMMA)
    if len(parts) == 1 and (is_group or "\\begin" in parts[0]):
        return _read(parts[0], depth)
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
