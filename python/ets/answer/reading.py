"""What an answer is: a number with its unit, an expression, a collection, a choice, words."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import lru_cache

from ets.answer.expression import fingerprint, fingerprint_of
from ets.answer.fold import fold
from ets.answer.numbers import Number, read_number
from ets.answer.tame import is_tame
from ets.answer.units import CURRENCY, Unit, currency_unit, read_unit

MAX_LENGTH = 300
"""Longer answers are compared as text; the longest of MATH-500 has 53 characters."""

Key = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Reading:
    """What one answer was read as."""

    kind: str
    """One of `number`, `value`, `base`, `clock`, `choice`, `words`, `ratio`, `amounts`, `entries`,
    `set`, `list`, `intervals`, `matrix`, `text` (compared as text) and `open` (math-verify's)."""
    text: str
    """The folded answer."""
    key: Key | None
    """Equal for equal answers, whoever reads them; None where pairs have to be compared."""
    number: Number | None = None
    unit: Unit | None = None
    name: str = ""
    """The left side of `x = 5`; the letter of an inequality."""
    entries: tuple[Reading, ...] = field(default=())
    shape: tuple[str, ...] = ()
    """The brackets of entries and intervals, the row lengths of a matrix, the parts of a clock."""

    def bare(self) -> Key | None:
        """The key without unit and name, under which one with and one without meet."""
        if self.kind == "number" and self.number is not None:
            return ("number", _value_key(self.number.scaled()))
        return unnamed(self.key)


def unnamed(key: Key | None) -> Key | None:
    """The key of what a name was given to."""
    if key is None or key[0] != "named" or not isinstance(key[2], tuple):
        return key
    return key[2]


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
    for reader in (_clock, _choice, _base, _word_table, _amount, _amounts):
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
    return _expression(s) or _words(s)


# --- one thing ------------------------------------------------------------------------------------

_TIME = re.compile(
    r"(\d{1,2})(?::(\d{2}))?(?::(\d{2}))? ?(a\.?m\.?|p\.?m\.?|o'clock)?", re.IGNORECASE
)
_DATE = re.compile(r"(\d{4})[/.-](\d{1,2})[/.-](\d{1,2})|(\d{1,2})[/.-](\d{1,2})[/.-](\d{4}|\d{2})")
_PHONE = re.compile(r"\+?\d{1,4}(?:-\d{2,4}){1,3}-\d{4}|\d{3}-\d{4}|\(\d{3}\) ?\d{3}-\d{4}")
_RATIO = re.compile(r"\d+(?:\.\d+)?(?::\d+(?:\.\d+)?)+")


def _clock(s: str) -> Reading | None:
    """A date, a time of day, a telephone number or a ratio: no arithmetic stands in them."""
    time = _TIME.fullmatch(s)
    if time is not None and (time[2] or (time[4] and time[4][0] not in "oO")):
        hour, minute, second = int(time[1]), int(time[2] or 0), int(time[3] or 0)
        if hour < 25 and minute < 60 and second < 60:
            half = (time[4] or "")[:1].lower().replace("o", "")
            if half and 1 <= hour <= 12:
                hour = hour % 12 + 12 * (half == "p")
            shape = (f"{hour % 12}:{minute:02}:{second:02}", half)
            key: Key = ("clock", f"{hour}:{minute:02}:{second:02}", bool(half) or hour > 12)
            return Reading("clock", s, key, shape=shape)
    if _DATE.fullmatch(s) or _PHONE.fullmatch(s):
        text = re.sub(r"(?<!\d)0+(?=\d)", "", re.sub(r"[/.]", "-", s)) if _DATE.fullmatch(s) else s
        return Reading("text", s, ("text", text))
    if _RATIO.fullmatch(s):
        parts = [Fraction(part) for part in s.split(":")]
        first = next((part for part in parts if part), Fraction(1))
        return Reading("ratio", s, ("ratio", *(part / first for part in parts)))
    return None


_CHOICE = re.compile(
    r"(?:(?:option|choice|answer) ?)?(?:"
    r"\(([A-Za-z])\)(?:(?![(^+*/=,_<>!\\-]|-\D).*|\\(?!cup|cap|in\b|times|cdot).*)?"
    r"|([A-J])(?:[):](?!=).*|\. .*))",
    re.IGNORECASE,
)
_OPTION = re.compile(r"(?:option|choice) ?\(?([A-Z])\)?", re.IGNORECASE)


def choice_letter(s: str) -> str | None:
    """The letter of a folded choice such as `(A) 5`, `C: 12` or `Option B`; None for others."""
    if (option := _OPTION.fullmatch(s)) is not None:
        return option[1].upper()
    match = _CHOICE.fullmatch(s)
    if match is None:
        return None
    letter: str = match[1] or match[2]
    return None if letter.islower() and s != f"({letter})" else letter


def _choice(s: str) -> Reading | None:
    letter = choice_letter(s)
    if letter is None and len(s) == 1 and s.isalpha() and s.isupper():
        letter = s
    if letter is None or letter.islower():
        return _expression(letter) if letter else None
    return Reading("choice", s, ("choice", letter))


_BASE_WORDS = {
    "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9,
    "ten": 10, "eleven": 11, "twelve": 12, "sixteen": 16,
}  # fmt: skip
_BASE = re.compile(
    r"(-?[\dA-F]*\d[\dA-F]*)(?:_\{? ?(\d+|[a-z]+) ?\}?| (?:in )?base[- ](\d+|[a-z]+))"
)


def _base(s: str) -> Reading | None:
    """Digits of a base: `52_8`. Equal where digits and base are."""
    match = _BASE.fullmatch(s)
    if match is None:
        return None
    written = match[2] or match[3]
    base = int(written) if written.isdigit() else _BASE_WORDS.get(written)
    if base is None or len(written) > 4:
        return None
    return Reading(
        "base", s, ("base", match[1].lstrip("0") or "0", base), shape=(match[1], str(base))
    )


_TABLE = {
    "all real numbers": "reals", "all reals": "reals", "real numbers": "reals", "\\mathbb{R}": "reals",
    "the real numbers": "reals", "all integers": "integers", "\\mathbb{Z}": "integers",
    "no solution": "empty", "no solutions": "empty", "empty set": "empty", "the empty set": "empty",
    "\\emptyset": "empty", "\\varnothing": "empty", "\\{\\}": "empty", "no real solution": "empty",
    "no real solutions": "empty", "undefined": "undefined", "does not exist": "undefined",
    "dne": "undefined", "infinity": "infinity", "\\infty": "infinity", "+\\infty": "infinity",
    "inf": "infinity", "+infinity": "infinity", "positive infinity": "infinity",
    "-\\infty": "-infinity", "-infinity": "-infinity", "negative infinity": "-infinity",
    "-inf": "-infinity",
}  # fmt: skip
_TABLE_FOLDED = {name.casefold(): meant for name, meant in _TABLE.items()}
INFINITY: Key = ("word", "infinity")
MINUS_INFINITY: Key = ("word", "-infinity")


def _word_table(s: str) -> Reading | None:
    meant = _TABLE.get(s) if s.startswith("\\") else _TABLE_FOLDED.get(s.casefold())
    if meant is None:
        return None
    if meant == "reals":
        key: Key = ("intervals", ("(", MINUS_INFINITY, INFINITY, ")"))
        return Reading("intervals", s, key)
    return Reading("words", s, ("word", meant))


_MULTIPLIERS = {
    "hundred": 10**2, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12,
    "dozen": 12,
}  # fmt: skip
_MULTIPLIER = re.compile(rf" ?({'|'.join(_MULTIPLIERS)})s?\b", re.IGNORECASE)
_COUNT_OF = re.compile(r" ?(?:of )?")


def read_amount(s: str, at: int = 0) -> tuple[Number, Unit | None, int] | None:
    """The number that begins at `at`, with the currency before and the unit behind it."""
    sign = re.compile(r"[-+] ?").match(s, at)
    begin = sign.end() if sign else at
    unit: Unit | None = None
    if (currency := CURRENCY.match(s, begin)) is not None:
        unit = currency_unit(currency[0])
        begin = currency.end()
    number = read_number(s, begin if unit is not None else at)
    if number is None:
        return None
    found, end = number
    if unit is not None and sign and sign[0][0] == "-":
        found = Number(-found.value, found.decimals, found.percent, "-" + found.plain)
    if unit is not None and re.compile(r" ?/ ?[A-Za-z]| per ").match(s, end):
        below = read_unit(s, end)
        if below is not None:
            powers = dict([*below[0].powers, *unit.powers])
            factor = unit.factor * below[0].factor
            return found, Unit(tuple(sorted(powers.items())), factor), below[1]
    if (multiplier := _MULTIPLIER.match(s, end)) is not None and not found.percent:
        value = found.value * _MULTIPLIERS[multiplier[1].lower()]
        plain = str(value) if value.denominator == 1 else found.plain
        found, end = Number(value, plain=plain), multiplier.end()
    gap = end + (s[end : end + 1] in (" ", "-"))
    unit_at = read_unit(s, gap)
    if unit_at is None and gap != end:
        unit_at = read_unit(s, end)
    if unit_at is not None and unit is None:
        if gap == end and unit_at[1] - end == 1 and s[end].isalpha():
            return found, None, end  # 5m is five times m
        if gap == end and s[end : end + 1].isalpha() and s[end + 1 : end + 2] in ("^", ""):
            return found, None, end
        return found, unit_at[0], unit_at[1]
    return found, unit, end


def _amount(s: str) -> Reading | None:
    read = read_amount(s)
    if read is None or read[2] != len(s):
        return None
    number, unit, _ = read
    return number_reading(s, number, unit)


def number_reading(s: str, number: Number, unit: Unit | None) -> Reading:
    """The reading of a number in a unit."""
    value = number.scaled()
    if unit is not None:
        key: Key = ("number", _value_key(value * unit.factor), unit.powers)
    else:
        key = ("number", _value_key(value))
    return Reading("number", s, key, number, unit)


def _value_key(value: Fraction) -> object:
    return fingerprint_of(value) or value


_AND = re.compile(r" ?, ?and | and | ?, ?| ")


def _amounts(s: str) -> Reading | None:
    """Several amounts: of one dimension their sum (2 hours 30 minutes), else a list of them."""
    parts: list[tuple[Number, Unit]] = []
    at = 0
    while at < len(s):
        read = read_amount(s, at)
        if read is None or read[1] is None:
            return None
        parts.append((read[0], read[1]))
        at = read[2]
        if at == len(s):
            break
        join = _AND.match(s, at)
        if join is None:
            return None
        at = join.end()
    if len(parts) < 2:
        return None
    units = {unit.powers for _, unit in parts}
    listed = "," in s and " and " not in s and len({unit for _, unit in parts}) < len(parts)
    if len(units) == 1 and not listed and len({unit.factor for _, unit in parts}) == len(parts):
        total = sum((n.scaled() * u.factor for n, u in parts), Fraction(0))
        unit = Unit(parts[0][1].powers)
        return number_reading(s, Number(total, plain=s), unit)
    entries = tuple(number_reading(s, n, u) for n, u in parts)
    return Reading("list", s, _collection_key("list", entries, ordered=False), entries=entries)


def _expression(s: str) -> Reading | None:
    """An expression that the grammar values, with a known unit behind it or none."""
    if re.fullmatch(r"[A-Z]{2,}", s):
        return None  # a segment, an angle, a word
    with_unit = _measured(s)
    if with_unit is not None:
        return with_unit
    values = fingerprint(s)
    if values is not None:
        if any(len(word) > 2 for word in _WORD.findall(s) if word.casefold() not in _KNOWN):
            return None
        return Reading("value", s, ("number", values))
    return None


def _measured(s: str) -> Reading | None:
    """A constant expression in a known unit: `2\\sqrt{5} cm`."""
    for match in _UNIT_AT.finditer(s):
        begin = match.start()
        if s[match.end()] == "\u00b0" and _TRIGONOMETRY.search(s):
            continue
        unit = read_unit(s, match.end())
        if unit is None or unit[1] != len(s):
            continue
        values = fingerprint(s[:begin])
        if values is not None and values[0] == "0":
            return Reading(
                "value", s, ("number", values, unit[0].powers, unit[0].factor), unit=unit[0]
            )
    return None


_TRIGONOMETRY = re.compile(r"sin|cos|tan|cot|sec|csc")
_UNIT_AT = re.compile(r"(?<=[\w)}]) |(?<=[\d)}])(?=[A-Za-z]{2})|(?<=[\d)}])(?=°)")
_WORD = re.compile(r"(?<![\\A-Za-z])[^\W\d_]{2,}")
_KNOWN = frozenset(
    [
        "sin",
        "cos",
        "tan",
        "cot",
        "sec",
        "csc",
        "log",
        "ln",
        "exp",
        "sqrt",
        "inf",
        "arcsin",
        "arccos",
        "arctan",
        "sinh",
        "cosh",
        "tanh",
        "pi",
        "abs",
        "asin",
        "acos",
        "atan",
    ]
)


def _words(s: str) -> Reading:
    """Words are compared as words: as mathematics they would be products of letters."""
    if re.fullmatch(r"[A-Z]{2}", s):
        return Reading("words", s, ("text", s))
    plain = re.sub(r"\\[A-Za-z]+", " ", s)
    words = [w for w in _WORD.findall(plain) if w.casefold() not in _KNOWN and len(w) > 2]
    if words or not is_tame(s):
        text = " ".join(s.casefold().split()) if words else s
        text = re.sub(r"^(?:the|an?) ", "", text)
        return Reading("words" if words else "text", s, ("text", text))
    if re.fullmatch(r"[A-Za-z]{2}", s):
        return Reading("words", s, ("text", s.casefold()))
    return Reading("open", s, None)


# --- things of several parts ----------------------------------------------------------------------


def _collection_key(kind: str, entries: tuple[Reading, ...], *, ordered: bool) -> Key | None:
    keys = [entry.key for entry in entries]
    if any(key is None for key in keys):
        return None
    return (kind, *(keys if ordered else sorted(keys, key=repr)))


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


_COMMA = re.compile(r" ?, ?(?:(?:and|or)\b ?)?| (?:and|or) |(?<=[\d}]) ?(?:and|or)(?![a-z]) ?|;")
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
    key = _collection_key("list", entries, ordered=False)
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
        key = _collection_key("set", tuple(entries), ordered=False)
        if key is not None:
            key = ("set", *sorted(set(key[1:]), key=repr))
        return Reading("set", s, key, entries=entries)
    key = _collection_key("entries", entries, ordered=True)
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
    r"\\begin ?\{([pbBvV]?)(?:small)?(?:matrix|array)\}(?:\{[lcr|]+\})?(.*)\\end ?\{[pbBvV]?(?:small)?(?:matrix|array)\}"
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
    key = _collection_key("matrix", entries, ordered=True)
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
        end = ends[1 - at]
        if sign == "!=":
            return operands[at], [("(", MINUS_INFINITY, end, ")"), ("(", end, INFINITY, ")")]
        if sign in ("<", "<="):
            return operands[at], [("(", MINUS_INFINITY, end, "]" if "=" in sign else ")")]
        return operands[at], [("[" if "=" in sign else "(", end, INFINITY, ")")]
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
