"""The page of the server: a problem goes in, its tree grows before one's eyes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ets.tree_page.assets import TREE_SCRIPTS, asset, filled, joined, source_hash
from ets.tree_page.page import tree_script

_PACKAGE = "ets.serve"
_STYLES = ("assets/live.css",)
_SCRIPTS = ("assets/live_server.js", "assets/live_past.js", "assets/live.js")
_POLICY = (
    "default-src 'none'; style-src {styles}; script-src {scripts}; connect-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@dataclass(frozen=True, slots=True)
class PageFile:
    """An HTML page and the headers that it goes with."""

    html: str
    headers: Mapping[str, str]


def live_page() -> PageFile:
    """The page, which is the same for everybody and has no data in it."""
    style = asset("tree.css") + joined(_STYLES, _PACKAGE)
    script = joined(TREE_SCRIPTS) + "\n" + joined(_SCRIPTS, _PACKAGE)
    places = {"style": style, "script": script, "body": asset("tree_body.html")}
    page = filled(asset("assets/live.html", _PACKAGE), places)
    # A tree page that it opens as a file of its own (`blob:`) goes by this policy as well.
    return PageFile(page, _headers([style, asset("tree.css")], [script, tree_script()]))


def tree_page_headers() -> Mapping[str, str]:
    """Those of a finished tree's page."""
    return _headers([asset("tree.css")], [tree_script()])


def _headers(styles: list[str], scripts: list[str]) -> Mapping[str, str]:
    named = [" ".join(f"'{source_hash(text)}'" for text in texts) for texts in (styles, scripts)]
    return {
        "Content-Security-Policy": _POLICY.format(styles=named[0], scripts=named[1]),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-store",
    }
