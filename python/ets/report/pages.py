"""From templates to HTML: one file, which needs no network."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import resources
from pathlib import Path
from typing import Any

from ets._core import __version__
from ets.bench.kept_file import write_whole
from ets.extras import needs
from ets.report.style import Drawing


def render(template: str, **values: Any) -> str:
    """The HTML of a template in `ets/report`; values are escaped.

    Templates call `asset(name)` for a style sheet or a script, which stands in the page as it is.

    # Errors
    `MissingExtraError` without jinja2.
    """
    with needs("jinja2", "bench"):
        from jinja2 import Environment, FunctionLoader, StrictUndefined
        from markupsafe import Markup
    environment = Environment(
        loader=FunctionLoader(_asset),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["asset"] = lambda name: Markup(_asset(name))
    return environment.get_template(template).render(version=__version__, **values)


def write_page(folder: Path, html: str, drawings: Iterable[Drawing]) -> Path:
    """`report.html` and a PNG file for each figure, in a folder that is made; the page's path.

    The page comes last: where it is, all that it shows and links to is.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for drawing in drawings:
        drawing.write(folder)
    page = folder / "report.html"
    # What no encoding has, half of a surrogate pair, is shown as a question mark.
    write_whole(page, html.encode("utf-8", "replace"))
    return page


def _asset(name: str) -> str:
    return resources.files("ets.report").joinpath(name).read_text("utf-8")
