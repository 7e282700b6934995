"""What the API reference reads beside the sources: docstrings of the Rust extension, whose stub has
none, and the values of defaults that are options of a search."""

from __future__ import annotations

import importlib
import inspect
from typing import Any

from griffe import Class, Docstring, Extension, Module, Parser

EXTENSION = "_core"


class ExtensionDocs(Extension):
    """Fills in what `help()` says, object by object, and what a default stands for."""

    def on_package(self, *, pkg: Module, **_: Any) -> None:
        fill(pkg[EXTENSION], importlib.import_module(f"{pkg.path}.{EXTENSION}"))
        options = pkg["rollout.options.SearchOptions"]
        for parameter in pkg["search.search.Search.__init__"].parameters:
            owner, _, name = str(parameter.default).rpartition(".")
            if owner == options.name:
                parameter.default = options[name].value


def fill(documented: Module | Class, living: object) -> None:
    for name, member in documented.members.items():
        found = getattr(living, name, None)
        if member.is_alias or found is None or name.startswith("__"):
            continue
        text = inspect.getdoc(found)
        if text and not member.docstring:
            member.docstring = Docstring(text, parent=member, parser=Parser.numpy)
        if isinstance(member, Class):
            if "__new__" in member.members:  # what a class of Rust has in the place of __init__
                member.set_member("__init__", member.members["__new__"])
            fill(member, found)
