"""Answers that are JSON: which texts are, and that equal values, and only those, have one form."""

from __future__ import annotations

import json
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ets.answer import extract_answer, pool, same_answer, vote
from ets.answer.structured import canonical_json, structured_answer

SCALARS = st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.text(max_size=4)
NUMBERS = st.decimals(-(10**18), 10**18, places=6)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)
OBJECTS = st.dictionaries(st.text(max_size=3), VALUES, min_size=1, max_size=4)


@given(OBJECTS, st.sampled_from([None, 2, "\t"]), st.booleans())
def test_dress_says_nothing(value: dict[str, Any], indent: Any, ascii_only: bool) -> None:
    """White space, the order of members, escapes."""
    backwards = dict(reversed(value.items()))
    one = json.dumps(value)
    other = json.dumps(backwards, indent=indent, ensure_ascii=ascii_only)
    assert canonical_json(one) == canonical_json(other) is not None
    assert json.loads(str(canonical_json(one))) == value
    assert canonical_json(str(canonical_json(one))) == canonical_json(one)


@given(OBJECTS, OBJECTS)
def test_other_values_have_other_forms(one: dict[str, Any], other: dict[str, Any]) -> None:
    forms = [canonical_json(json.dumps(value)) for value in (one, other)]
    assert (forms[0] == forms[1]) == _alike(one, other)


def _alike(one: Any, other: Any) -> bool:
    """Python's `==`, for which True is 1."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_alike(one[k], other[k]) for k in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_alike, one, other))
    return bool(one == other)


@given(NUMBERS, st.integers(-30, 30))
def test_numbers_of_one_value_have_one_form(number: Decimal, shift: int) -> None:
    """However they are written: exactly, by fractions."""
    spellings = [str(number), f"{number:f}", f"{number:E}", f"{number:f}00"]
    shifted = f"{number.scaleb(shift):f}e{-shift}"
    forms = {canonical_json(f'{{"x": {text}}}') for text in (*spellings, shifted)}
    (form,) = forms
    written = str(form).removeprefix('{"x":').removesuffix("}")
    assert Fraction(written) == Fraction(number)
    assert canonical_json(f'{{"x": {number + 1}}}') != form


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ('{"x": -0.0}', '{"x":0}'),
        ('{"x": 1E400}', '{"x":1e400}'),
        ('{"x": 1e23}', '{"x":100000000000000000000000}'),
        ('{"x": 1e-400}', '{"x":1e-400}'),
        ('{"x": 1e999999999}', '{"x":1e999999999}'),
        (f'{{"x": {"9" * 5000}}}', f'{{"x":{"9" * 5000}}}'),
        ('{"x": 0.1}', '{"x":0.1}'),
        ('{"x": 100}', '{"x":100}'),
        ('{"a": 1, "a": 2}', '{"a":2}'),
        ('{"x": "\\ud800"}', '{"x":"\\ud800"}'),
        ('{"x": "\\u00e9"}', '{"x":"é"}'),
        ('[{"a": 1}, {"a": 2}]', '[{"a":1},{"a":2}]'),
    ],
)
def test_forms(text: str, form: str) -> None:
    assert canonical_json(text) == form
    if len(form) < 4000:  # Python reads no longer integers
        assert json.loads(form) is not None


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "7",
            '"a"',
            "[1, 2]",
            "{}",
            "[]",
            "{1, 2}",
            "{x = 1}",
            '{"x": NaN}',
            '{"x": Infinity}',
        ),
        *(
            '{"x": 1',
            '{"x": 1} and',
            "[{]",
            "[{1,2},{3}]",
            '{"x": 01}',
            "{'x': 1}",
            '[{"a": 1}, 2]',
        ),
        *('{"x":' * 100_000, '{"x":' * 50_000 + "1" + "}" * 50_000),
        '{"x":' + "[" * 900 + "]" * 900 + "}" * 2,
    ],
    ids=lambda text: text[:12],
)
def test_what_is_no_object_is_none(text: str) -> None:
    assert canonical_json(text) is None


def test_what_is_nested_too_deep_is_no_error() -> None:
    for depth in (300, 900, 990, 1_100, 3_000, 100_000):
        text = '{"x":' * depth + "1" + "}" * depth
        assert canonical_json(text) in (None, text)
        assert structured_answer(text) in (None, text)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ('{"b": 1, "a": 2.0}', '{"a":2,"b":1}'),
        ('\n```json\n{"b": 1}\n```\n', '{"b":1}'),
        ('{"reasoning": "first 3, then 8", "answer": 7}', "7"),
        ('{"final_answer": " 7/2 ", "x": 1}', "7/2"),
        ('{"answer": true}', "true"),
        ('{"answer": {"b": 1, "a": 1}}', '{"a":1,"b":1}'),
        ('{"answer": [1, 2]}', "[1,2]"),
        ('{"answer": null, "x": 3}', None),
        ('{"answer": "", "x": 3}', None),
        ('<think>\n{"answer": 8}\n</think>\n\n{"answer": 7}', "7"),
        ('So {"answer": 8} it is: the answer is 7.', "7"),
        ('{"answer": 8}\n\nThe answer is 7.', "7"),
        ('The answer is 7.\n\n{"answer": 8', "7"),
    ],
)
def test_what_is_found(text: str, answer: str | None) -> None:
    assert extract_answer(text) == answer


def test_a_pattern_wins() -> None:
    text = '{"city": "Paris", "days": 2}'
    assert extract_answer(text, r'"city": *"([^"]*)"') == "Paris"


def call(name: str, arguments: Any, key: str = "1") -> dict[str, Any]:
    return {"id": key, "type": "function", "function": {"name": name, "arguments": arguments}}


def test_calls_of_tools() -> None:
    one = json.dumps([call("f", '{"b": 1, "a": [2.0]}'), call("e", "{}", "2")])
    same = json.dumps([call("e", " {} ", "7"), call("f", '{"a":[2],"b":1.0}', "8")])
    form = '[{"arguments":{"a":[2],"b":1},"name":"f"},{"arguments":{},"name":"e"}]'
    assert extract_answer(one) == extract_answer(f"I call both.\n\n{same}") == form
    assert extract_answer(json.dumps([call("f", "not JSON")])) == (
        '[{"arguments":"not JSON","name":"f"}]'
    )
    assert extract_answer(json.dumps([call("f", "7")])) != extract_answer(
        json.dumps([call("g", "7")])
    )


def test_equal_answers_pool_and_others_do_not() -> None:
    assert same_answer('{"a": 1, "b": "x"}', '{"b":"x","a":1.0}')
    for other in ('{"a":2,"b":"x"}', '{"a":1,"b":"X"}', '{"a":1}', "1", "{1}", "a = 1"):
        assert not same_answer('{"a": 1, "b": "x"}', other)
        assert not same_answer(other, '{"a": 1, "b": "x"}')
    assert not same_answer('{"x": 1}', '{"y": 1}')
    assert not same_answer('{"x": "1"}', '{"x": 1}')
    assert pool(['{"a":1}', '{"a": 1.0}', '{"a": 1.0}', "1", None]) == [
        *['{"a": 1.0}'] * 3,
        "1",
        None,
    ]
    votes = vote(['{"a": 1}', '{"a":1}', '{"a":2}'], [0.2, 0.2, 0.3])
    assert [(v.count, v.weight) for v in votes] == [(2, 0.4), (1, 0.3)]


@given(st.text(max_size=60))
def test_any_text_is_read(text: str) -> None:
    found = structured_answer(text)
    assert found is None or isinstance(found, str)
