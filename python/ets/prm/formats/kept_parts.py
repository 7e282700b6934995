"""Sections of what PRMs read, tokenised once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import TypeAlias

from ets.fork_lock import ForkLock

Parts: TypeAlias = list[tuple[int, ...]]
"""Ids, cut where other solutions may go on differently."""
Section: TypeAlias = tuple[str | int, ...]
"""The texts that a section consists of, and what else its ids follow from."""

_MOST_IDS = 1 << 21
"""Some 60 MB."""


class KeptParts:
    """The parts of the sections asked for last. Safe to use from several threads.

    `encode` makes them; where it gives None, that is kept too.
    """

    def __init__(self, encode: Callable[[Section], Parts | None]) -> None:
        self._encode = encode
        self._kept: OrderedDict[Section, Parts | None] = OrderedDict()
        self._ids = 0
        self._lock = ForkLock()

    def of(self, section: Section) -> Parts | None:
        """The parts of a section; not to be changed."""
        with self._lock:
            if section in self._kept:
                self._kept.move_to_end(section)
                return self._kept[section]
        parts = self._encode(section)  # without the lock: others need not wait
        with self._lock:
            if section not in self._kept:
                self._kept[section] = parts
                self._ids += _size(parts)
            while self._ids > _MOST_IDS and len(self._kept) > 1:
                self._ids -= _size(self._kept.popitem(last=False)[1])
        return parts

    def missing(self, sections: Iterable[Section]) -> int:
        """The characters that are still to be tokenised: of all sections, if one has no parts."""
        missing = total = 0
        whole = False
        with self._lock:
            for section in sections:
                length = sum(len(text) for text in section if isinstance(text, str))
                total += length
                if section not in self._kept:
                    missing += length
                else:
                    whole = whole or self._kept[section] is None
        return total if whole else missing


def _size(parts: Parts | None) -> int:
    return 64 + sum(map(len, parts or ()))  # with what the texts take
