"""Options that several commands take, each declared once: what it is, and where its value goes."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from ets.rollout.options import OPTIONS, default_text

GRID_TABLE = "grid"
"""Where options go that are of a benchmark's grid, not of its searches."""


@dataclass(frozen=True, slots=True)
class Declared:
    """One option of the command line; without it nothing is said."""

    kind: Any
    """Its type as typer reads it."""
    table: str = ""
    """The table of a configuration that it goes into; empty: the top."""
    key: str = ""
    """Its key there, by default its name; `*`: it is several keys, over which others win."""
    read: Callable[[str, Any], Any] = lambda flag, value: value
    """From flag and text to the value; `InputError` for a text that is none."""


Said = dict[str, dict[str, Any]]
"""What a command line said: values by key, by table."""


def option(panel: str, text: str, *flags: str, **more: Any) -> Any:
    """An option that says in its help what holds without it, and is None then."""
    more.setdefault("show_default", False)
    return typer.Option(*flags, help=text, rich_help_panel=panel, **more)


def of_search(
    name: str,
    panel: str,
    kind: Any = str,
    *,
    default: str | None = None,
    read: Callable[[str, Any], Any] | None = None,
    **more: Any,
) -> Declared:
    """The option of `ets.Search` of that name; `default` says what else holds on a command line."""
    text = OPTIONS[name].meaning.replace("`", "").replace("[", "\\[")
    unless = default or default_text(name).replace("`", "")
    text = f"{text[:1].upper()}{text[1:]}." + (
        f" \\[default: {unless}]" if unless != "none" else ""
    )
    kind = Annotated[kind | None, option(panel, text, **more)]
    return Declared(kind) if read is None else Declared(kind, read=read)


def takes(**declared: Declared) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A command that takes these options where it has a parameter `said`, a `Said`."""

    def wrap(command: Callable[..., Any]) -> Callable[..., Any]:
        own = inspect.signature(command, eval_str=True)

        @functools.wraps(command)
        def run(**given: Any) -> Any:
            values = {name: given.pop(name) for name in declared}
            return command(said=_sorted(declared, values), **given)

        parameters: list[inspect.Parameter] = []
        for parameter in own.parameters.values():
            keyword = parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
            if parameter.name == "said":
                parameters += [
                    keyword.replace(name=name, annotation=one.kind, default=None)
                    for name, one in declared.items()
                ]
            else:
                parameters.append(keyword)
        run.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {one.name: one.annotation for one in parameters}
        return run

    return wrap


def _sorted(declared: Mapping[str, Declared], values: Mapping[str, Any]) -> Said:
    said: Said = {}
    several_first = sorted(declared.items(), key=lambda item: item[1].key != "*")
    for name, one in several_first:
        if values[name] is None:
            continue
        value = one.read(f"--{name.replace('_', '-')}", values[name])
        said.setdefault(one.table, {}).update(value if one.key == "*" else {one.key or name: value})
    return said
