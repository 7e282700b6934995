"""Answers that are one thing: a number with its unit, an expression, a choice, a clock, words."""

from __future__ import annotations

import re
from fractions import Fraction

from ets.answer.expression import fingerprint, relation_fingerprint
from ets.answer.kinds import Key, Reading, collection_key, number_reading
from ets.answer.number_words import CHINESE_SCALES
from ets.answer.numbers import Number, read_number
from ets.answer.tame import is_tame
from ets.answer.units import CURRENCY, Unit, currency_unit, read_unit

_CHOICE = re.compile(
    r"(?:(?:option|choice|answer) ?)?(?:"
    r"\(([A-Za-z])\)(?:(?![(^+*/=,_<>!\\-]|-\D).*|\\(?!cup|cap|in\b|times|cdot).*)?"
    r"|([A-J])(?:[):](?!=).*|\. .*))",
    re.IGNORECASE,
)
_CHOICES = re.compile(r"(?:,|\band|\bor|&) ?\(?[A-J]\)?$")
_OPTION = re.compile(r"(?:option|choice) ?\(?([A-Z])\)?", re.IGNORECASE)


def choice_letter(s: str) -> str | None:
    """The letter of a folded choice such as `(A) 5`, `C: 12` or `Option B`; None for others."""
    if (option := _OPTION.fullmatch(s)) is not None:
        return option[1].upper()
    match = _CHOICE.fullmatch(s)
    if match is None or _CHOICES.search(s):
        return None
    letter: str = match[1] or match[2]
    return None if letter.islower() and s != f"({letter})" else letter


def read_choice(s: str) -> Reading | None:
    letter = choice_letter(s)
    if letter is None and len(s) == 1 and s.isalpha() and s.isupper():
        letter = s
    if letter is None or letter.islower():
        return read_expression(letter) if letter else None
    return Reading("choice", s, ("choice", letter))


_TABLE = {
    "all real numbers": "reals", "all reals": "reals", "real numbers": "reals",
    "\\mathbb{R}": "reals",
    "the real numbers": "reals", "all integers": "integers", "\\mathbb{Z}": "integers",
    "no solution": "empty", "no solutions": "empty", "empty set": "empty", "the empty set": "empty",
    "\\emptyset": "empty", "\\varnothing": "empty", "\\{\\}": "empty", "no real solution": "empty",
    "no real solutions": "empty", "undefined": "undefined", "does not exist": "undefined",
    "dne": "undefined", "infinity": "infinity", "\\infty": "infinity", "+\\infty": "infinity",
    "inf": "infinity", "+infinity": "infinity", "positive infinity": "infinity",
    "-\\infty": "-infinity", "-infinity": "-infinity", "negative infinity": "-infinity",
    "-inf": "-infinity", "oo": "infinity", "-oo": "-infinity", "+oo": "infinity",
}  # fmt: skip
_TABLE_FOLDED = {name.casefold(): meant for name, meant in _TABLE.items()}
INFINITY: Key = ("word", "infinity")
MINUS_INFINITY: Key = ("word", "-infinity")


def read_known_words(s: str) -> Reading | None:
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
_MULTIPLIER = re.compile(
    rf" ?(?:(?P<word>{'|'.join(_MULTIPLIERS)})s?\b|(?P<chinese>[{''.join(CHINESE_SCALES)}]))",
    re.IGNORECASE,
)
_PART_OF = re.compile(r"(?<=[a-z])(?: of)? an? (?=[^\W\d_])", re.IGNORECASE)
"""Between the fraction in words and what it is of: half an hour, a quarter of a million."""


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
    if found.value.denominator > 1 and (of := _PART_OF.match(s, end)) is not None:
        end = of.end() - 1
    if (multiplier := _MULTIPLIER.match(s, end)) is not None and not found.percent:
        word = multiplier["word"]
        value = found.value * (
            _MULTIPLIERS[word.lower()] if word else CHINESE_SCALES[multiplier["chinese"]]
        )
        plain = str(value) if value.denominator == 1 else found.plain
        found, end = Number(value, plain=plain), multiplier.end()
    gap = end + (s[end : end + 1] in (" ", "-"))
    unit_at = read_unit(s, gap)
    if unit_at is None and gap != end:
        unit_at = read_unit(s, end)
    if unit_at is not None and unit is None:
        if gap == end and unit_at[1] - end == 1 and s[end].isascii() and s[end].isalpha():
            return found, None, end  # 5m is five times m
        if gap == end and re.match(r"[A-Za-z](?:\^|$)", s[end:]):
            return found, None, end
        return found, unit_at[0], unit_at[1]
    return found, unit, end


def read_whole_amount(s: str) -> Reading | None:
    read = read_amount(s)
    if read is None or read[2] != len(s):
        return None
    number, unit, _ = read
    return number_reading(s, number, unit)


_AND = re.compile(r" ?, ?and | and | ?, ?| |(?<=')(?=\d)")


def read_amounts(s: str) -> Reading | None:
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
    return Reading("list", s, collection_key("list", entries, ordered=False), entries=entries)


def read_expression(s: str) -> Reading | None:
    """An expression that the grammar values, with a known unit behind it or none."""
    if re.fullmatch(r"[A-Z]{2,}", s):
        return None  # a segment, an angle, a word
    with_unit = _measured(s)
    if with_unit is not None:
        return with_unit
    values = fingerprint(s)
    if values is not None and not _has_words(s):
        return Reading("value", s, ("number", values))
    return None


def _has_words(s: str) -> bool:
    return any(len(word) > 2 for word in _WORD.findall(s) if word.casefold() not in _KNOWN)


_RELATION = re.compile(r" ?(=|<=|>=|<|>|\\le(?![a-z])|\\ge(?![a-z])|\\ne(?![a-z])|!=) ?")
_TURNED = {">": "<", ">=": "<=", "\\ge": "<="}


def read_equation(s: str) -> Reading | None:
    """An equation or inequality of two sides that the grammar values: `2x - y + 1 = 0`."""
    sides = _RELATION.split(s)
    if len(sides) != 3 or _has_words(s):
        return None
    left, sign, right = sides
    if sign in _TURNED:
        left, sign, right = right, _TURNED[sign], left
    sign = {"\\le": "<=", "\\ne": "!="}.get(sign, sign)
    values = relation_fingerprint(left, right, directed=sign[0] == "<")
    return None if values is None else Reading("equation", s, ("equation", sign, *values))


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
            key: Key = ("number", values, unit[0].powers, unit[0].factor)
            return Reading("value", s, key, unit=unit[0], shape=(s[:begin],))
    return None


_TRIGONOMETRY = re.compile(r"sin|cos|tan|cot|sec|csc")
_UNIT_AT = re.compile(r"(?<=[\w)}]) |(?<=[\d)}])(?=[A-Za-z]{2}|\\frac\{[A-Za-z])|(?<=[\d)}])(?=°)")
_WORD = re.compile(r"(?<![\\A-Za-z])[^\W\d_]{2,}")
_KNOWN = frozenset((
    "sin", "cos", "tan", "cot", "sec", "csc", "log", "ln", "exp", "sqrt", "inf", "arcsin",
    "arccos", "arctan", "sinh", "cosh", "tanh", "pi", "abs", "asin", "acos", "atan", "cbrt",
    "floor", "ceil",
))  # fmt: skip


_CROSS_PRODUCT = re.compile(r"\\(?:vec|hat|overrightarrow)\b.*\\times")


def read_words(s: str) -> Reading:
    """Words are compared as words: as mathematics they would be products of letters."""
    if re.fullmatch(r"[A-Z]{2}", s):
        return Reading("words", s, ("text", s))
    plain = re.sub(r"\\[A-Za-z]+", " ", s)
    words = [w for w in _WORD.findall(plain) if w.casefold() not in _KNOWN and len(w) > 2]
    if words or not is_tame(s) or _CROSS_PRODUCT.search(s):
        text = " ".join(s.casefold().split()) if words else s
        text = re.sub(r"^(?:the|an?) ", "", text)
        return Reading("words" if words else "text", s, ("text", text))
    if re.fullmatch(r"[A-Za-z]{2}", s):
        return Reading("words", s, ("text", s.casefold()))
    return Reading("open", s, None)
