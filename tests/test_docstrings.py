"""What can be held of docstrings: whatever is public has one, and it names the errors raised."""

from __future__ import annotations

import ast
import importlib
import inspect
import textwrap
from collections.abc import Callable, Iterator

import ets.errors

FACES = (
    *("ets", "ets.answer", "ets.doctor", "ets.embed", "ets.engines", "ets.errors", "ets.memory"),
    *(
        "ets.policy",
        "ets.prm",
        "ets.problems",
        "ets.ray",
        "ets.search",
        "ets.strategy",
        "ets.tree_search",
    ),
)
"""The packages whose `__all__` is what users import."""


def public() -> Iterator[tuple[str, type | None, object]]:
    """All that is exported, by name: functions, classes and, with their class, its methods."""
    for face in FACES:
        module = importlib.import_module(face)
        for name in module.__all__:
            thing = getattr(module, name)
            if inspect.isclass(thing):
                yield f"{face}.{name}", None, thing
                for member, function in members(thing).items():
                    yield f"{face}.{name}.{member}", thing, function
            elif inspect.isroutine(thing):
                yield f"{face}.{name}", None, thing


def members(kind: type) -> dict[str, object]:
    """The public methods and properties that a class has of ours."""
    found: dict[str, object] = {}
    for base in kind.__mro__:
        if base.__module__.split(".")[0] == "ets":
            for name, value in vars(base).items():
                inner = getattr(value, "fget", None) or getattr(value, "__func__", value)
                if name[0] != "_" and inspect.isroutine(inner):
                    found.setdefault(name, inner)
    return found


def raised(function: Callable[..., object]) -> set[str]:
    """The errors of ours that its own lines raise, not those of what it calls."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    calls = (node.exc for node in ast.walk(tree) if isinstance(node, ast.Raise))
    names = (call.func for call in calls if isinstance(call, ast.Call))
    return {name.id for name in names if isinstance(name, ast.Name)} & set(ets.errors.__all__)


def test_what_is_public_says_what_it_is() -> None:
    for name, _, thing in public():
        text = inspect.getdoc(thing)
        assert text, name
        assert not text.startswith(f"{name.rpartition('.')[2]}("), name  # made up by `dataclass`


def test_functions_name_the_errors_that_they_raise() -> None:
    """In their docstrings, or in that of their class."""
    silent = {
        name
        for name, kind, thing in public()
        if inspect.isfunction(thing)
        for error in raised(thing)
        if f"`{error}`" not in f"{inspect.getdoc(thing)} {kind and kind.__doc__}"
    }
    assert not silent
