"""Pages of one file: their parts put together, and what names them to the browser."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from hashlib import sha256
from importlib.resources import files

TREE_SCRIPTS = ("tree.js", "formulas.js", "tree_controls.js", "tree_panel.js")
"""What draws a tree, on any page that has `tree_body.html`."""
_PLACE = re.compile(r"\{\{(\w+)\}\}")


def asset(name: str, package: str = "ets.tree_page") -> str:
    """The text of a file beside the package's modules."""
    return files(package).joinpath(name).read_text("utf-8")


def joined(names: Sequence[str], package: str = "ets.tree_page") -> str:
    """Several, one behind the other."""
    return "\n".join(asset(name, package) for name in names)


def filled(template: str, places: Mapping[str, str]) -> str:
    """`template` with its places `{{name}}` filled in.

    In one pass: what a model wrote may look like one of the places.
    """
    return _PLACE.sub(lambda place: places[place[1]], template)


def source_hash(text: str) -> str:
    """What names a text in a Content-Security-Policy: the browser runs, or heeds, no other."""
    return "sha256-" + b64encode(sha256(text.encode("utf-8")).digest()).decode("ascii")
