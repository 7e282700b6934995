"""How figures look: colours, markers, fonts, and their two forms, PNG and inline SVG."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ets.bench.kept_file import write_whole
from ets.extras import needs

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, MUTED, RULE, PAPER = "#1b1f24", "#636c76", "#e1e4e8", "#fefefe"
_VARIABLES = MappingProxyType({INK: "ink", MUTED: "muted", RULE: "rule", PAPER: "paper"})
"""In a page these become its own colours, so that a figure is legible on dark ground, too."""
_DPI = 200


@dataclass(frozen=True, slots=True)
class Mark:
    """A strategy's colour and marker: the same in all figures."""

    colour: str
    marker: str


MARKS: Mapping[str, Mark] = MappingProxyType(
    {
        "rebase": Mark(INK, "o"),
        "ets": Mark("#d55e00", "D"),
        "ets-kv": Mark("#e69f00", "s"),
        "mpts": Mark("#882255", "*"),
        "beam": Mark("#cc79a7", "^"),
        "dvts": Mark("#56b4e9", "v"),
        "particle": Mark("#009e73", "P"),
        "dora": Mark("#0072b2", "X"),
        "best-of-n": Mark("#8b949e", "h"),
    }
)
"""The palette of Okabe and Ito (2008), which the colour-blind tell apart, and markers beside it."""
OTHER = Mark(MUTED, "p")


@dataclass(frozen=True, slots=True)
class Drawing:
    """A finished figure."""

    name: str
    """Of its file, without `.png`."""
    title: str
    caption: str
    svg: str
    """To stand inside a page; its colours are the page's variables."""
    png: bytes

    def write(self, folder: Path) -> Path:
        """The PNG file."""
        file = folder / f"{self.name}.png"
        write_whole(file, self.png)
        return file


@contextmanager
def canvas(width: float, height: float) -> Iterator[tuple[Figure, Axes]]:
    """A figure of so many inches with one set of axes.

    # Errors
    `MissingExtraError` without matplotlib.
    """
    with needs("matplotlib", "bench"):
        import matplotlib
        from matplotlib.figure import Figure
    with matplotlib.rc_context(_settings()):
        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure, figure.add_subplot()


def drawn(figure: Figure, name: str, title: str, caption: str) -> Drawing:
    """Both forms of a figure; inside of `canvas`."""
    png, svg = io.BytesIO(), io.StringIO()
    figure.savefig(png, format="png", dpi=_DPI, facecolor="white", metadata={"Software": None})
    metadata = {"Date": None, "Creator": None, "Type": None, "Format": None}
    figure.savefig(svg, format="svg", transparent=True, metadata=metadata)
    return Drawing(name, title, caption, _inline(svg.getvalue(), name), png.getvalue())


def _settings() -> Any:
    """Of matplotlib, whose stubs want a type of their own for it."""
    return {
        "font.family": "DejaVu Sans",  # comes with matplotlib
        "font.size": 9,
        "axes.titlesize": 10,
        "axes.edgecolor": MUTED,
        "axes.labelcolor": INK,
        "axes.linewidth": 0.8,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.axisbelow": True,
        "axes.grid": True,
        "grid.color": RULE,
        "grid.linewidth": 0.7,
        "text.color": INK,
        "xtick.color": MUTED,
        "ytick.color": MUTED,
        "xtick.labelcolor": INK,
        "ytick.labelcolor": INK,
        "xtick.minor.visible": False,
        "lines.linewidth": 1.6,
        "lines.markersize": 5.5,
        "legend.frameon": False,
        "svg.fonttype": "path",  # the same wherever it is looked at
        "svg.hashsalt": "ets",  # the same figure, the same text
    }


def _inline(svg: str, name: str) -> str:
    """The `<svg>` element alone, its ids told from those of other figures, its inks the page's."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r'(\bid="|href="#|url\(#)', rf"\1{name}-", svg)
    for colour, variable in _VARIABLES.items():
        svg = svg.replace(colour, f"var(--{variable})")
    return svg.strip()
