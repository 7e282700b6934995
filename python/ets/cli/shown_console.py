"""The console that all commands print through: nothing printed can command the terminal."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import accumulate
from typing import Any, TextIO

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.style import Style, StyleType
from rich.text import Span, Text

from ets.shown.text import shown_text


class ShownConsole(Console):
    """Shows control characters by their codes, and takes markup and `:emoji:` for plain text.

    Whatever is printed, tables and live views among it, comes through `render`. A `Text` of `rich`
    has lost some of the characters when it is made: the commands make a `ShownText`.
    """

    def __init__(
        self, file: TextIO | None = None, *, stderr: bool = False, soft_wrap: bool = False
    ) -> None:
        super().__init__(
            file=file,
            stderr=stderr,
            soft_wrap=soft_wrap,
            markup=False,
            emoji=False,
            highlight=False,
        )

    def render_str(self, text: str, **options: Any) -> Text:
        """As `Console.render_str`."""
        return super().render_str(shown_text(text), **options)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """As `Console.render`."""
        # Before the lines are laid out, so that these have the width of what is shown.
        if isinstance(renderable, Text):
            renderable = shown_rich(renderable)
        for segment in super().render(renderable, options):
            if segment.control is None and (text := shown_text(segment.text)) != segment.text:
                yield Segment(text, segment.style)
            else:
                yield segment


class ShownText(Text):
    """A text of `rich` that shows what it would drop: BEL, BS, VT, FF and CR."""

    def __init__(self, text: str = "", *options: Any, **named: Any) -> None:
        super().__init__(shown_text(text), *options, **named)

    @classmethod
    def assemble(cls, *parts: str | Text | tuple[str, StyleType], **named: Any) -> ShownText:
        """As `Text.assemble`."""
        made = super().assemble(*parts, **named)
        return made if isinstance(made, ShownText) else cls(made.plain)

    def append(self, text: Text | str, style: str | Style | None = None) -> Text:
        """As `Text.append`."""
        return super().append(shown_text(text) if isinstance(text, str) else text, style)


def shown_rich(text: Text) -> Text:
    """The same for a text with styles."""
    pieces = [shown_text(sign) for sign in text.plain]
    shown = "".join(pieces)
    if shown == text.plain:
        return text
    ends = [0, *accumulate(map(len, pieces))]
    made = text.blank_copy(shown)
    made.spans = [
        Span(ends[span.start], ends[min(span.end, len(pieces))], span.style) for span in text.spans
    ]
    return made
