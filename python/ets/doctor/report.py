"""What the doctor found: facts, prompts, and findings in plain words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from ets.shown.redaction import redacted, redacted_text

Level = Literal["good", "note", "bad"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is well, worth knowing, or wrong."""

    level: Level
    text: str
    help: str = ""
    """What to do about it."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Ids that belong together, and their text."""

    ids: tuple[int, ...]
    text: str
    reward: float | None = None
    """The PRM's verdict, where it is read at the last of these ids."""


@dataclass(frozen=True, slots=True)
class Shown:
    """Exactly what a model reads."""

    title: str
    pieces: tuple[Piece, ...]

    @property
    def tokens(self) -> int:
        """All its ids."""
        return sum(len(piece.ids) for piece in self.pieces)


@dataclass(slots=True)
class Report:
    """All about one engine."""

    part: Literal["policy", "PRM", "embedder", "memory"]
    name: str
    facts: dict[str, str] = field(default_factory=dict)
    shown: list[Shown] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.name = redacted(self.name)

    @property
    def healthy(self) -> bool:
        """Whether nothing is wrong."""
        return all(finding.level != "bad" for finding in self.findings)

    def find(self, level: Level, text: str, help: str = "") -> None:  # noqa: A002
        """Add a finding."""
        self.findings.append(Finding(level, redacted_text(text), redacted_text(help)))


def pieces(parts: Sequence[Sequence[int]], decode: Callable[[list[int]], str]) -> tuple[Piece, ...]:
    """Consecutive parts of one text, each with what it adds to the text before it."""
    ids: list[int] = []
    text = ""
    made = []
    for part in parts:
        ids += part
        longer = decode(ids)
        # Decoders may change the end of a text once more is known.
        added = longer[len(text) :] if longer.startswith(text) else decode(list(part))
        made.append(Piece(tuple(part), added))
        text = longer
    return tuple(made)
