"""Values of wrong types at every public argument: an `InputError` of one line that names it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

import ets
from argument_targets import PATH, TARGETS
from conftest import DEMO
from ets.checks import shown
from ets.embed import load_embedder
from ets.engines.vllm.options import check_kind
from ets.errors import InputError
from ets.policy import load_policy
from ets.prm import load_prm
from scripted_engines import ScriptedPolicy, ScriptedPRM


class Unshowable:
    """Whose repr fails, as that of a half-made object can."""

    def __repr__(self) -> str:
        raise RuntimeError("no repr")


def odd() -> list[Any]:
    """What nothing here takes."""
    return [
        object(),
        Unshowable(),
        b"x",
        [1],
        [],
        {1: 2},
        {1},
        1j,
        Decimal(1),
        np.array([1, 2]),
        np.ones((2, 2)),
        np.array("x"),
        len,
        int,
        iter([]),
    ]


BESIDE: dict[str, list[Any]] = {
    "int": [1.5, math.nan, True, "1", None, np.float32(1), np.bool_(True)],
    "count": [1.5, math.nan, True, "1", None, -1, 10**5000],
    "number": [True, "1", None, math.nan, math.inf, 10**400],
    "real": [True, "1", None, math.nan, 10**400],
    "text": [1, 1.5, True, None, "half \ud83d a sign"],
    "texts": [1, None, [None], ("x", 1), ["\ud83d"]],
    "flag": [0, 1, "true", None, np.bool_(True)],
    "choice": [1, True, None, "no such"],
    "path": [1, 1.5, True, None, "", "a\0b", b"x"],
    "name": [1, 1.5, True, None],
    "options": [1, "x", [("a", 1)], True],
    "strategy": [1, "ets", ets.REBASE, True],
    "engine": [1, 1.5, True, None, ScriptedPolicy],
    "prm": [1, 1.5, True, None, ScriptedPRM],
    "children": [1, None, "x"],
    "values": [1, None, "x", ["x"], [True], [math.nan], [{}], [object()], [np.ones(2)]],
    "pattern": [1, True, "(", b"x", "a{99999999999999}"],
    "budget": [1, "x", 1.5, {"tokens": 3}],
    "until": [1, "x", 0.05, {"error": 0.1}, ets.Certain],
    "shared": [1, "x", 1.5, {"tokens": 3}, ets.Budget(tokens=3)],
    "interrupt": [1, True, "x", ets.tree_search.Interrupt],
    "problems": [1, 1.5, None, "a problem", b"x"],
    "array": [1, 1.5, "x", None, np.array([1j]), np.array(["x"])],
    "ids": [1, 1.5, "x", None, np.array([1.5, 2.0]), np.array(["x"])],
}
TAKEN: dict[str, tuple[type, ...]] = {
    "children": (list, dict, set, np.ndarray, Iterator),
    "ids": (np.ndarray,),
    "options": (dict,),
    "pattern": (bytes,),
    "prm": (type(len),),
    "problems": (list, dict, set, np.ndarray, Iterator),
    "real": (Decimal,),
    "texts": (list, dict, set, Iterator),
    "values": (list,),
}
"""Of the odd values, what is taken or refused elsewhere, if with other things in it."""


def wrong(kind: str) -> list[Any]:
    """Values that an argument of this kind does not take; with `?` it may be None."""
    name = kind.rstrip("?")
    values = [value for value in odd() if not isinstance(value, TAKEN.get(name, ()))]
    return [v for v in (*values, *BESIDE[name]) if v is not None or kind == name]


SAID = {"data": "TreeSearch", "model": "", "name": "strategy", "widths": "width"}
"""What an error calls an argument, where that is not its name."""
CASES = [
    pytest.param(name, argument, kind, id=f"{name}-{argument}")
    for name, (_, arguments) in TARGETS.items()
    for argument, kind in arguments.items()
]


@pytest.mark.parametrize(("name", "argument", "kind"), CASES)
def test_a_value_of_a_wrong_type_is_refused(name: str, argument: str, kind: str) -> None:
    call = TARGETS[name][0]
    assert [
        (shown(value), fault)
        for value in wrong(kind)
        if (fault := fault_of(call, argument, value)) is not None
    ] == []


def fault_of(call: Callable[..., Any], argument: str, value: Any) -> str | None:
    """What is wrong with the refusal of a value; None if it is right."""
    try:
        call(**{argument: value})
    except InputError as error:
        said = str(error)
        right = SAID.get(argument, argument) in said and "\n" not in said and len(said) < 700
        return None if right else said
    except Exception as error:  # noqa: BLE001 - any other is what this looks for
        return repr(error)
    return "taken"


@pytest.mark.parametrize(
    ("load", "name", "options"),
    [
        (load_policy, "demo", {"colour": 1}),
        (load_policy, "demo?colour=1", {}),
        (load_policy, "demo", {"path": "elsewhere"}),
        (load_policy, "openai:m@http://127.0.0.1:9/v1?url=x", {}),
        (load_policy, "openai:m@http://127.0.0.1:9/v1", {"colour": 1}),
        (load_policy, f"vllm:{PATH}", {"self": 1}),
        (load_prm, "demo", {"colour": 1}),
        (load_prm, "none", {"colour": 1}),
        (load_prm, "demo-checker?colour=1", {}),
        (load_prm, "demo", {"path": "elsewhere"}),
        (load_embedder, "lexical", {"colour": 1}),
        (load_embedder, "lexical?dim=8&colour=1", {}),
        (load_embedder, "sentence-transformers:nowhere?colour=1", {}),
        (load_embedder, "sentence-transformers:nowhere", {"name_or_path": "elsewhere"}),
    ],
)
def test_an_option_that_there_is_not(
    load: Callable[..., Any], name: str, options: dict[str, Any]
) -> None:
    with pytest.raises(InputError, match=r"colour|path|url|self") as error:
        load(name, **options)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("no", bool),
        (1, bool),
        ([True], bool),
        ("2", int),
        (True, int),
        (1.5, int),
        ("0.5", float),
        (True, float),
        (math.nan, float),
        (object(), float),
    ],
)
def test_options_of_vllm_are_of_its_kind(value: Any, kind: Any) -> None:
    with pytest.raises(InputError, match="some_option must be"):
        check_kind("some_option", value, kind)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (False, bool),
        (2, int),
        (1, float),
        (0.5, float),
        (None, int),
        ("4k", int | None),
        (1, "int"),
    ],
)
def test_other_options_of_vllm_are_left_to_it(value: Any, kind: Any) -> None:
    check_kind("some_option", value, kind)


@pytest.mark.parametrize("value", [3, None, b"x", ["x"], "half \ud83d a sign"])
def test_options_of_prm_formats_are_texts(value: Any) -> None:
    with pytest.raises(InputError, match="after_problem must be a text"):
        load_prm(f"transformers:{DEMO / 'prm'}", format="rlhflow", after_problem=value)
