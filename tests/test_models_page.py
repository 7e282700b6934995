"""docs/models.md: every format and backend has a row, and a test here holds each row's figure."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

from ets.prm.formats import FORMATS
from models_page import Row, hold_difference, hold_equal_steps, rows
from prm_cases import CASES

TESTS = Path(__file__).parent
POOLING = ("qwen", "math-shepherd")
"""The two ways in which a server answers."""


@cache
def calls_in(file: str) -> dict[str, set[str]]:
    """By function of a file: the names of what it calls."""
    tree = ast.parse((TESTS / file).read_text("utf-8"))
    return {
        function.name: {
            node.func.id
            for node in ast.walk(function)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        }
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef)
    }


@pytest.mark.parametrize("row", rows(), ids=lambda row: f"{row.name} {row.backend}")
def test_the_test_of_a_row_holds_its_figure(row: Row) -> None:
    calls = calls_in(row.file)[row.test]
    if row.figure == "-":
        return
    if row.figure.endswith("steps equal"):
        equal, _, total, *_ = row.figure.split()
        assert equal == total
        assert "hold_equal_steps" in calls
    else:
        assert float(row.figure) <= 1e-5
        assert "hold_difference" in calls


def test_another_figure_than_the_measured_one_fails() -> None:
    measured, expected = [0.5, 0.25 + 3e-6], [0.5, 0.25]
    hold_difference(measured, expected, "qwen", "vllm")
    with pytest.raises(AssertionError, match="qwen vllm: measured 3e-04, printed 4e-06"):
        hold_difference([0.5, 0.25 + 3e-4], expected, "qwen", "vllm")
    with pytest.raises(AssertionError, match="23 of 24"):
        hold_equal_steps([True] * 23 + [False], "bundled policy", "vllm")


def test_every_format_has_a_row_on_every_backend_that_takes_it() -> None:
    expected = {
        (name, backend)
        for name, kind in FORMATS.items()
        for backend in ("transformers", "vllm", "pooling")
        if backend != "vllm" or kind.not_on_vllm is None
        if backend != "pooling" or name in POOLING
    }
    assert {(row.name, row.backend) for row in rows()} >= expected
    assert {case.format for case in CASES} == set(FORMATS)
    backends = {row.backend for row in rows() if row.name == "bundled policy"}
    assert backends == {"transformers", "vllm", "openai", "chat"}
