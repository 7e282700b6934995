"""A prompt as a sequence of pieces, and the ids that it becomes.

A piece is a string that we or the checkpoint's template wrote, `Content` that somebody else wrote,
or a `Tag` at which a PRM speaks.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Content:
    """Text that is never control: a problem, a step."""

    text: str


@dataclass(frozen=True, slots=True)
class Tag:
    """Text that is one given token, whatever stands in front of it: a PRM's step tag."""

    text: str
    token: int


Piece: TypeAlias = str | Content | Tag
"""A part of a prompt; a plain string may hold control tokens."""


def text_of(pieces: Iterable[Piece]) -> str:
    """The text that the pieces make together."""
    return "".join(piece if isinstance(piece, str) else piece.text for piece in pieces)


@dataclass(frozen=True, slots=True)
class Encoded:
    """The ids of a text."""

    ids: tuple[int, ...]
    ends: tuple[int, ...]
    """Characters of the text up to which each id reaches; 0 for what stands for no text."""

    def parts(self, cuts: Sequence[int]) -> list[tuple[int, ...]]:
        """The ids in parts that end after `cuts[i]` characters; the last cut is the text's end.

        A token that reaches over a cut belongs to the part after it.
        """
        places = [0, *(bisect_right(self.ends, cut) for cut in cuts)]
        return [self.ids[start:end] for start, end in pairwise(places)]


@dataclass(frozen=True, slots=True)
class PlacedToken:
    """A token and the characters of the text that it stands for."""

    id: int
    start: int
    end: int


def stretches(pieces: Sequence[Piece]) -> list[tuple[str, bool]]:
    """Neighbours of one kind put together: the text, and whether it is content."""
    found: list[tuple[str, bool]] = []
    for piece in pieces:
        is_content = isinstance(piece, Content)
        text = text_of([piece])
        if found and found[-1][1] == is_content:
            found[-1] = (found[-1][0] + text, is_content)
        elif text:
            found.append((text, is_content))
    return found


def spans_of(pieces: Sequence[Piece]) -> list[tuple[int, int]]:
    """The characters at which the contents stand."""
    spans: list[tuple[int, int]] = []
    position = 0
    for text, is_content in stretches(pieces):
        if is_content:
            spans.append((position, position + len(text)))
        position += len(text)
    return spans


def tags_of(pieces: Sequence[Piece]) -> list[PlacedToken]:
    """The tags, as the tokens that they have to become."""
    tags: list[PlacedToken] = []
    position = 0
    for piece in pieces:
        end = position + len(text_of([piece]))
        if isinstance(piece, Tag):
            tags.append(PlacedToken(piece.token, position, end))
        position = end
    return tags


def missing_tags(tokens: list[PlacedToken], tags: list[PlacedToken]) -> list[PlacedToken]:
    """The tags that are no token of their own."""
    if not tags:
        return []
    made = {(token.id, token.end) for token in tokens}
    return [tag for tag in tags if (tag.id, tag.end) not in made]
