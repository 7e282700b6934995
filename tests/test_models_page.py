"""docs/models.md: every format and backend has a row, and every row a test that runs here."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from ets.prm.formats import FORMATS
from prm_cases import CASES

TESTS = Path(__file__).parent
PAGE = (TESTS.parent / "docs" / "models.md").read_text("utf-8")
ROW = re.compile(r"^\| (.*?) \| (.*?)?(?: \| )?`(test_\w+\.py)(?:::(test_\w+))?` \| (.*) \|$", re.M)
POOLING = ("qwen", "math-shepherd")
"""The two ways in which a server answers."""


@cache
def names_in(file: str) -> set[str]:
    tree = ast.parse((TESTS / file).read_text("utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def rows() -> list[tuple[str, ...]]:
    found = [match.groups(default="") for match in ROW.finditer(PAGE)]
    assert len(found) == PAGE.count("| `test_"), "a row of another form"
    return found


@pytest.mark.parametrize("row", rows(), ids=lambda row: f"{row[0]} {row[1]}")
def test_a_row_names_a_test_that_holds_what_it_says(row: tuple[str, ...]) -> None:
    _, _, file, test, figures = row
    assert test in names_in(file)
    difference, *_ = figures.split(" | ")
    if re.fullmatch(r"\de[+-]\d\d", difference):
        assert float(difference) <= 1e-4, "what the tests allow"
    else:
        assert re.fullmatch(r"(\d+) of \1 steps equal|-", difference)


def test_every_format_has_a_row_on_every_backend_that_takes_it() -> None:
    expected = {
        (name, backend)
        for name, kind in FORMATS.items()
        for backend in ("transformers", "vllm", "pooling")
        if backend != "vllm" or kind.not_on_vllm is None
        if backend != "pooling" or name in POOLING
    }
    assert {(name.strip("`"), backend) for name, backend, *_ in rows()} >= expected
    assert {case.format for case in CASES} == set(FORMATS)
    backends = {backend for name, backend, *_ in rows() if name == "bundled policy"}
    assert backends == {"transformers", "vllm", "openai"}
