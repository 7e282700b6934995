"""Computed state of recent token prefixes, each shared prefix kept once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar, runtime_checkable

Data = TypeVar("Data")


@runtime_checkable
class ForgetsPrefixes(Protocol):
    """A backend whose prefix cache can be emptied, so that a measurement begins without it."""

    async def forget_prefixes(self) -> None:
        """Empty it, as if the engine had just started.

        # Errors
        `EngineError` if requests are running.
        """
        ...


@dataclass(eq=False, slots=True)
class Segment(Generic[Data]):
    """The tokens between two cuts of a sequence, after those of `parent`."""

    ids: tuple[int, ...]
    data: Data
    """The state computed for these tokens: a tensor, for the models here."""
    parent: Segment[Data] | None
    children: dict[tuple[int, ...], Segment[Data]] = field(default_factory=dict)


class PrefixCache(Generic[Data]):
    """A trie of segments. The least recently used go first, and never before their children.

    A sequence is cut at known places (the end of the prompt, the end of each step), so a look-up
    compares whole segments. Not safe for use from several threads at once.
    """

    def __init__(self, max_tokens: int) -> None:
        self.max_tokens = max_tokens
        self.tokens = 0
        """Tokens held; `trim` brings them down to `max_tokens`."""
        self._roots: dict[tuple[int, ...], Segment[Data]] = {}
        self._used: OrderedDict[int, Segment[Data]] = OrderedDict()  # by id(), oldest first

    def find(self, ids: Sequence[int], cuts: Sequence[int]) -> list[Segment[Data]]:
        """The longest known path along the cuts, from the first token on; marks it as used."""
        path: list[Segment[Data]] = []
        children, start = self._roots, 0
        for cut in cuts:
            segment = children.get(tuple(ids[start:cut]))
            if segment is None:
                break
            path.append(segment)
            children, start = segment.children, cut
        for segment in reversed(path):  # so that a parent is always newer than its children
            self._used.move_to_end(id(segment))
        return path

    def add(self, parent: Segment[Data] | None, ids: Sequence[int], data: Data) -> Segment[Data]:
        """Hang a segment below `parent`, which must not have been trimmed since it was found."""
        children = self._roots if parent is None else parent.children
        key = tuple(ids)
        segment = children.get(key)
        if segment is None:
            segment = Segment(key, data, parent)
            children[key] = segment
            self._used[id(segment)] = segment
            self.tokens += len(key)
        above: Segment[Data] | None = segment
        while above is not None:
            self._used.move_to_end(id(above))
            above = above.parent
        return segment

    def trim(self) -> None:
        """Forget the least recently used segments beyond `max_tokens`."""
        while self.tokens > self.max_tokens:
            _, segment = self._used.popitem(last=False)
            siblings = self._roots if segment.parent is None else segment.parent.children
            del siblings[segment.ids]
            self.tokens -= len(segment.ids)
