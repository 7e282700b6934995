"""Values of engines come out as plain Python, whatever class they came in."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import ets
from engine_value_cases import Writer, answer, solve
from ets.engines.values import checked_root, checked_score, checked_step
from ets.step import Prefix, Score, Step
from scripted_engines import ScriptedPolicy


class Text(str):
    """A text of another class, as libraries have them."""


@pytest.mark.parametrize(
    "ids",
    [[7, 8], np.array([7, 8]), np.array([7, 8], dtype=np.uint8), (np.int64(7), 8), range(7, 9)],
)
def test_values_come_out_as_plain_python(ids: Any) -> None:
    given = answer(
        text=Text("3 é"), token_ids=ids, finish=Text("answer"), prompt_tokens=np.int32(4)
    )
    step = checked_step(given, "anybody")
    assert step == Step("3 é", (7, 8), "answer", 4)
    plain = [
        type(step.text),
        type(step.finish),
        type(step.prompt_tokens),
        *map(type, step.token_ids),
    ]
    assert plain == [str, str, int, int, int]
    root = checked_root(Prefix("p", np.int64(2), ids), "anybody")
    assert root.extend(step).token_ids == (7, 8, 7, 8)
    assert json.dumps([root.token_ids, root.prompt_tokens]) == "[[7, 8], 2]"


ANYTHING = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.complex_numbers(),
    st.decimals(),
    st.fractions(),
    st.text(st.characters(codec=None)),
    st.binary(),
    st.lists(st.integers() | st.floats() | st.booleans()),
    st.tuples(st.integers()),
    st.dictionaries(st.integers(), st.integers()),
    st.sets(st.integers()),
    hnp.arrays(hnp.scalar_dtypes(), hnp.array_shapes(min_dims=0, max_dims=2, min_side=0)),
    st.sampled_from(["step", "answer", "end", len, int, object(), range(3)]),
)


def is_plain(record: Step | Score | Prefix) -> bool:
    """Whether JSON and UTF-8 hold it, and it comes back as it was."""
    values = [getattr(record, f.name) for f in fields(record)]
    text = json.dumps(values, allow_nan=False, ensure_ascii=False)
    text.encode()
    kinds: tuple[type, ...] = (str, int, float, bool, tuple)
    if isinstance(record, Step) and record.certainty is None:
        kinds = (*kinds, type(None))
    return all(type(value) in kinds for value in values) and json.loads(text) == [
        list(value) if type(value) is tuple else value for value in values
    ]


@given(st.data())
def test_whatever_comes_back_is_plain_or_refused(data: st.DataObject) -> None:
    records: list[tuple[Any, Callable[[object, object], Any]]] = [
        (answer(), checked_step),
        (Score(0.5), checked_score),
        (Prefix("p", 1, (1,)), checked_root),
    ]
    record, checked = data.draw(st.sampled_from(records))
    names = [f.name for f in fields(record)]
    wrong = data.draw(st.dictionaries(st.sampled_from(names), ANYTHING))
    made, said = None, ""
    try:
        made = checked(replace(record, **wrong), "anybody")
    except ets.EngineError as error:
        said = str(error)
    if made is not None:
        assert is_plain(made)
    else:
        assert any(name in said for name in [*wrong, "token_ids", "thinking"])
        assert "\n" not in said


def test_a_search_of_numpy_ids_is_the_search_of_plain_ones() -> None:
    class Arrays(ScriptedPolicy):
        seen: list[tuple[int, ...]]

        def start(self, problem: str) -> Prefix:
            self.seen = []
            return Prefix(problem, 5, np.arange(1, 6))  # type: ignore[arg-type]

        async def sample(self, prefix: Prefix, *, seed: int, max_tokens: int) -> Step:
            step = await super().sample(prefix, seed=seed, max_tokens=max_tokens)
            self.seen.append(prefix.token_ids)
            return Step(step.text, np.array(step.token_ids), step.finish, 5, 2)  # type: ignore[arg-type]

    policy = Arrays(slow=False)
    assert solve(policy).tree.to_json() == solve(ScriptedPolicy(slow=False)).tree.to_json()
    assert all(type(ids) is tuple and ids[:5] == (1, 2, 3, 4, 5) for ids in policy.seen)


def test_ids_of_arrays_are_joined_not_added() -> None:
    step = Step("a", np.array([1, 2]), "step")  # type: ignore[arg-type]
    assert Prefix("p", 2, (5, 6)).extend(step).token_ids == (5, 6, 1, 2)
    assert answer().then(step).token_ids == (1, 2, 1, 2)


@pytest.mark.parametrize(
    ("text", "right"),
    [("3 \ud83d", "3 \ufffd"), ("\udc80 3", "\ufffd 3"), ("\ud83d\ude00 3", "\U0001f600 3")],
)
def test_half_a_character_is_the_sign_for_it(text: str, right: str) -> None:
    assert checked_step(answer(text=text), "anybody").text == right
    result = solve(Writer(lambda: answer(text=f"The answer is {text}.")))
    json.dumps(result.to_dict(), ensure_ascii=False).encode()


def test_what_is_right_is_passed_on_as_it_is() -> None:
    """Also an object of a class of one's own, which the policy gets back in the prefix."""

    @dataclass(frozen=True)
    class Remembering(Step):
        state: object = None

    for step in (answer(), Remembering("so", (1,), "step", state=[1])):
        assert checked_step(step, "anybody") is step
    mended = checked_step(Remembering("so", [1], "step", state=7), "anybody")  # type: ignore[arg-type]
    assert mended == Remembering("so", (1,), "step", state=7)
