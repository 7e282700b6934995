"""From templates to HTML: one file, which needs no network."""

from __future__ import annotations

from importlib import metadata, resources
from typing import Any

from ets.errors import MissingExtraError


def render(template: str, **values: Any) -> str:
    """The HTML of a template in `ets/report/assets`; values are escaped.

    Templates call `asset(name)` for a style sheet or a script, which stands in the page as it is.

    # Errors
    `MissingExtraError` without jinja2.
    """
    try:
        from jinja2 import Environment, FunctionLoader, StrictUndefined
        from markupsafe import Markup
    except ImportError as error:
        raise MissingExtraError("jinja2", "bench") from error
    environment = Environment(
        loader=FunctionLoader(_asset),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["asset"] = lambda name: Markup(_asset(name))
    version = metadata.version("ets-search")
    return environment.get_template(template).render(version=version, **values)


def _asset(name: str) -> str:
    return (resources.files("ets.report") / "assets" / name).read_text("utf-8")
