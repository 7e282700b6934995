"""The tree of one search as an interactive page: one HTML file, no network."""

from __future__ import annotations

import html
import json
from typing import Any

from ets.answer.tally import Outcome
from ets.tree_page.assets import TREE_SCRIPTS, asset, filled, joined, source_hash
from ets.tree_page.data import PageData
from ets.tree_page.mathml import Convert, mathml
from ets.tree_page.searched import Searched

NOTEBOOK_HEIGHT = 640
"""Pixels of the frame in a notebook."""


def tree_page(
    search: Searched,
    outcome: Outcome,
    *,
    problem: str = "",
    title: str | None = None,
    convert: Convert = mathml,
) -> str:
    """The page as HTML text. What models and users wrote is data in it, never markup.

    `title` is the page's, the problem's beginning unless given. `convert` makes its formulas, for
    whoever makes several pages one that is `remembering`.
    """
    words = " ".join((title or problem or "search tree").split())[:80]
    style, script = asset("tree.css"), tree_script()
    places = {
        # Half a surrogate pair, which a command line may hold, has no UTF-8.
        "title": html.escape(words.encode("utf-8", "replace").decode("utf-8")),
        "body": asset("tree_body.html"),
        "style": style,
        "style_hash": source_hash(style),
        "script": script,
        "script_hash": source_hash(script),
        "data": script_json(PageData(problem, convert=convert).whole(search, outcome)),
    }
    return filled(asset("tree.html"), places)


def tree_script() -> str:
    """The script of every such page."""
    return joined((*TREE_SCRIPTS, "tree_start.js"))


def tree_frame(search: Searched, outcome: Outcome, *, problem: str = "") -> str:
    """The page inside a frame of its own, for notebooks, whose cells it cannot reach."""
    page = html.escape(tree_page(search, outcome, problem=problem), quote=True)
    return (
        f'<iframe srcdoc="{page}" style="width:100%;height:{NOTEBOOK_HEIGHT}px;border:0" '
        'sandbox="allow-scripts" title="search tree"></iframe>'
    )


def script_json(value: Any) -> str:
    """JSON that can stand inside a `<script>`: nothing in it can end the element or begin a tag."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
