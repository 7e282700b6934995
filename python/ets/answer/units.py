"""The one table of units, with their names, powers and quotients, and the reader of them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

_TABLE = """
m      1            m meter meters metre metres 米
m      1/1000       mm millimeter millimeters millimetre millimetres 毫米
m      1/100        cm cms centimeter centimeters centimetre centimetres 厘米
m      1000         km kms kilometer kilometers kilometre kilometres 千米 公里
m      0.0254       in inch inches '' "
m      0.3048       ft foot feet '
m      0.9144       yd yds yard yards
m      1609.344     mi mile miles
g      1            g gram grams gramme grammes 克
g      1/1000       mg milligram milligrams
g      1000         kg kgs kilogram kilograms kilo kilos 千克 公斤
g      453.59237    lb lbs pound pounds
g      28.349523125 oz ounce ounces
g      1000000      tonne tonnes
ton    1            ton tons
s      1            s sec secs second seconds 秒
s      1/1000       ms millisecond milliseconds
s      60           min mins minute minutes 分钟
s      3600         h hr hrs hour hours 小时
s      86400        day days 天
s      604800       week weeks wk wks
month  1            month months
month  12           yr yrs year years
m^3    1/1000       l L liter liters litre litres 升
m^3    1/1000000    ml mL milliliter milliliters millilitre millilitres 毫升
gallon 1            gal gallon gallons
gallon 1/4          qt quart quarts
gallon 1/8          pt pint pints
gallon 1/16         cup cups
usd    1            usd dollar dollars buck bucks
usd    1/100        ¢ cent cents
eur    1            € eur euro euros
gbp    1            £ gbp
gbp    1/100        pence
yen    1            ¥ jpy yen
cny    1            cny rmb yuan 元
inr    1            ₹ inr rs rs. rupee rupees
rub    1            ₽ rub ruble rubles rouble roubles
krw    1            ₩ krw won
degree 1            ° deg degs degree degrees 度
rad    1            rad radian radians
celsius 1           °C celsius
fahrenheit 1        °F fahrenheit
kelvin 1            K kelvin kelvins
bit    1            bit bits
bit    8            byte bytes
w      1            W watt watts
w      1000         kW kilowatt kilowatts
joule  1            J joule joules
newton 1            N newton newtons
volt   1            V volt volts
ampere 1            A ampere amperes amp amps
hertz  1            Hz hertz
mole   1            mol mole moles
"""
_QUOTIENTS = {"mph": ("mi", "h"), "kph": ("km", "h"), "kmh": ("km", "h"), "mpg": ("mi", "gal")}
_IRREGULAR = {
    "people": "person", "children": "child", "men": "man", "women": "woman", "mice": "mouse",
    "geese": "goose", "teeth": "tooth", "dice": "die", "halves": "half", "knives": "knife",
    "loaves": "loaf", "leaves": "leaf", "shelves": "shelf", "wolves": "wolf",
}  # fmt: skip
_NOT_UNITS = frozenset((
    "and", "or", "to", "half", "of", "over", "times", "less", "more", "from", "plus", "minus",
    "divided", "multiplied", "is", "are", "was", "were", "by", "if", "because", "since", "so",
    "as", "with", "without", "in", "at", "for", "on", "per", "which", "that", "than", "but",
    "not", "when", "while", "pi", "sqrt", "sin", "cos", "tan", "cot", "sec", "csc", "log", "ln",
    "exp", "mod", "choose", "where", "am", "pm", "a.m", "p.m",
))  # fmt: skip
"""Words that follow a number and name nothing that could be counted."""


@dataclass(frozen=True, slots=True)
class Unit:
    """A product of powers of base units, or a thing that is counted."""

    powers: tuple[tuple[str, int], ...]
    """The base units and their powers, in order of name."""
    factor: Fraction = Fraction(1)
    """How many of the base units one of these is."""


def _names() -> dict[str, tuple[str, int, Fraction]]:
    found: dict[str, tuple[str, int, Fraction]] = {}
    for line in _TABLE.splitlines():
        if line:
            written, factor, *names = line.split()
            base, _, power = written.partition("^")
            for name in names:
                found[name] = (base, int(power or 1), Fraction(factor))
    return found


_NAMES = _names()
_FOLDED = {name.casefold(): unit for name, unit in _NAMES.items() if len(name) > 2}
CURRENCIES = ("USD", "EUR", "GBP", "JPY", "INR", "CNY", "Rs.", "Rs", "\u20ac", "\u00a3", "\u00a5",
              "\u20b9", "\u20bd", "\u20a9")  # fmt: skip
"""What may stand before a number; the reader of texts makes `USD` of a dollar sign."""
CURRENCY = re.compile(
    "(?:(?:" + "|".join(re.escape(c) for c in CURRENCIES) + r")(?![A-Za-z]) ?)", re.IGNORECASE
)
_WORD = re.compile(
    r"''|['\"](?![^\W\d_])|\u00b0[CF]?|[\u20ac\u00a3\u00a5\u00a2\u20b9\u20bd\u20a9]"
    r"|[^\W\d_]+(?:['.-][^\W\d_]+)*"
)
_POWER = re.compile(r" ?\^ ?(?:\{ ?(-?\d) ?\}|(-?\d))|(?<=[A-Za-z])([23])(?![\d.])")
_BY = re.compile(r" ?/ ?| per | (?:a|an) (?=day\b|week\b|hour\b|minute\b|second\b|month\b|year\b)")
_TIMES = re.compile(r" ?(?:\\cdot|\\times|\*|\u00b7) ?|-(?=[A-Za-z])| (?=[A-Za-z\u00b0])")
_POWER_WORDS = {"square": 2, "sq": 2, "sq.": 2, "squared": 2, "cubic": 3, "cu": 3, "cubed": 3}
_POWER_GAP = re.compile(r"\.? ?-?")
_POWER_SIGNS = {"平方": 2, "立方": 3}


def currency_unit(sign: str) -> Unit:
    """The unit that a currency's sign or code before a number names."""
    base, power, factor = _NAMES.get(sign.strip().casefold()) or _NAMES[sign.strip()]
    return Unit(((base, power),), factor)


def read_unit(s: str, at: int = 0) -> tuple[Unit, int] | None:
    """The unit that begins at `at` of a folded text, and where it ends.

    Known units multiply, divide (`/`, `per`) and have powers (`m^2`, `square meters`). Otherwise up
    to four words name what is counted, in the singular: `red apples`.
    """
    known = _known(s, at)
    if known is not None:
        return known
    if (fraction := _FRACTION.match(s, at)) is not None:
        above, below = (_known(part, 0) for part in fraction.groups())
        if above and below and (above[1], below[1]) == tuple(map(len, fraction.groups())):
            powers = dict(above[0].powers)
            for base, power in below[0].powers:
                powers[base] = powers.get(base, 0) - power
            unit = Unit(tuple(sorted(powers.items())), above[0].factor / below[0].factor)
            return unit, fraction.end()
    return _counted(s, at)


_FRACTION = re.compile(r"\\frac\{([^{}]+)\}\{([^{}]+)\}")


def _known(s: str, at: int) -> tuple[Unit, int] | None:
    powers: dict[str, int] = {}
    factor = Fraction(1)
    end, direction, is_owed = at, 1, False  # whether a quotient waits for what is below
    if (over := re.compile(r" ?/ ?| ?per ").match(s, at)) is not None:
        at, direction = over.end(), -1
    while (read := _factor(s, at)) is not None:
        name_powers, name_factor, at = read
        for base, power in name_powers:
            powers[base] = powers.get(base, 0) + direction * power
        factor *= name_factor**direction
        end, is_owed = at, False
        if (by := _BY.match(s, at)) is not None:
            direction, at, is_owed = -1, by.end(), True
        elif (times := _TIMES.match(s, at)) is not None:
            at = times.end()
        else:
            break
    if end == at and not powers:
        return None
    if not powers or is_owed:
        # a quotient of a known unit and something counted: meters per student
        return None
    if s[end : end + 1].isalpha():
        return None
    return Unit(tuple(sorted((b, p) for b, p in powers.items() if p)), factor), end


def _factor(s: str, at: int) -> tuple[list[tuple[str, int]], Fraction, int] | None:
    word = _WORD.match(s, at)
    if word is None:
        return None
    power = _POWER_WORDS.get(word[0].casefold())
    if power is not None:
        gap = _POWER_GAP.match(s, word.end())
        at = gap.end() if gap is not None else word.end()
        word = _WORD.match(s, at)
        if word is None:
            return None
    name, end = word[0], word.end()
    if name[:2] in _POWER_SIGNS:
        name, power = name[2:], _POWER_SIGNS[name[:2]]
    if name in ("degree", "degrees", "\u00b0"):
        scale = re.compile(r" ?(celsius|fahrenheit|C|F)\b", re.IGNORECASE).match(s, end)
        if scale is not None:
            name, end = {"c": "celsius", "f": "fahrenheit"}[scale[1][0].lower()], scale.end()
    if name in _QUOTIENTS:
        above, below = (_NAMES[part] for part in _QUOTIENTS[name])
        return [(above[0], above[1]), (below[0], -below[1])], above[2] / below[2], end
    unit = _NAMES.get(name) or _FOLDED.get(name.casefold())
    if unit is None:
        return None
    written = _POWER.match(s, end)
    if written is not None:
        power, end = int(written[1] or written[2] or written[3]), written.end()
    elif s[end : end + 8].casefold() == " squared":
        power, end = 2, end + 8
    elif s[end : end + 6].casefold() == " cubed":
        power, end = 3, end + 6
    power = 1 if power is None else power
    return [(unit[0], unit[1] * power)], unit[2] ** power, end


_COUNTED = re.compile(r"[^\W\d_]{2,}(?:['-][^\W\d_]+)*(?: [^\W\d_]+(?:['-][^\W\d_]+)*){0,3}")


def _counted(s: str, at: int) -> tuple[Unit, int] | None:
    per = re.compile(r" ?/ ?| ?per ").match(s, at)
    match = _COUNTED.match(s, per.end() if per else at)
    if match is None:
        return None
    words = match[0].split(" ")
    kept = []
    for word in words:
        if word.casefold() in _NOT_UNITS:
            break
        kept.append(word)
    if not kept:
        return None
    end = match.start() + len(" ".join(kept))
    if s[end : end + 1] in ("(", "_", "^", "="):
        return None
    name = " ".join([*(w.casefold() for w in kept[:-1]), singular(kept[-1])])
    powers = {name: -1 if per else 1}
    if per is None and (over := re.compile(r" ?/ ?| per ").match(s, end)) is not None:
        below = read_unit(s, over.end())
        if below is not None:
            for base, power in below[0].powers:
                powers[base] = powers.get(base, 0) - power
            return Unit(tuple(sorted(powers.items())), 1 / below[0].factor), below[1]
    return Unit(tuple(sorted(powers.items()))), end


def singular(word: str) -> str:
    """One of what a word names: `apples` and `apple` are the same unit."""
    word = word.casefold()
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if len(word) > 4 and word.endswith(("ches", "shes", "sses", "xes", "zes", "oes")):
        return word[:-2]
    return word[:-1] if len(word) > 2 and word.endswith("s") and not word.endswith("ss") else word
