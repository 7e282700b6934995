"""What an answer was read as."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

from ets.answer.expression import fingerprint_of
from ets.answer.numbers import Number
from ets.answer.units import Unit

Key = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Reading:
    """What one answer was read as."""

    kind: str
    """One of `number`, `value`, `base`, `clock`, `choice`, `words`, `ratio`, `amounts`, `entries`,
    `set`, `list`, `intervals`, `matrix`, `json`, `equation` (equal to its multiples, and to
    what math-verify says), `text` (compared as text) and `open` (math-verify's)."""
    text: str
    """The folded answer."""
    key: Key | None
    """Equal for equal answers, whoever reads them; None where pairs have to be compared."""
    number: Number | None = None
    unit: Unit | None = None
    name: str = ""
    """The left side of `x = 5`; the letter of an inequality."""
    named: Key | None = None
    """The key of what stands behind the name, where that is another."""
    entries: tuple[Reading, ...] = field(default=())
    shape: tuple[str, ...] = ()
    """The brackets of entries and intervals, the row lengths of a matrix, the parts of a
    clock, a value without its unit."""

    def bare(self) -> Key | None:
        """The key without unit and name, under which one with and one without meet."""
        if self.kind == "number" and self.number is not None:
            return ("number", value_key(self.number.scaled()))
        return self.named or self.key


def number_reading(s: str, number: Number, unit: Unit | None) -> Reading:
    """The reading of a number in a unit."""
    value = number.scaled()
    if unit is not None:
        key: Key = ("number", value_key(value * unit.factor), unit.powers)
    else:
        key = ("number", value_key(value))
    return Reading("number", s, key, number, unit)


def value_key(value: Fraction) -> object:
    """What equal numbers have in common, and an expression with that value."""
    return fingerprint_of(value) or value


def collection_key(kind: str, entries: tuple[Reading, ...], *, ordered: bool) -> Key | None:
    """The key of a collection; None if one of its entries has none."""
    keys = [entry.key for entry in entries]
    if any(key is None for key in keys):
        return None
    return (kind, *(keys if ordered else sorted(keys, key=repr)))
