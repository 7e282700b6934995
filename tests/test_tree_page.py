"""The page of a tree: what it says of pruning, and what a browser makes of it."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ets
from ets.answer.tally import Tally
from ets.tree_page.page import script_json, tree_page
from ets.tree_search.search import Child, TreeSearch

HOSTILE = (
    "</script><script>window.hurt = 1</script>",
    '<img src=x onerror="window.hurt = 1">',
    "<!--<script>\u2028\u2029 {{data}} {{style}} ' \" \\ & \x00",
    "]]> <svg/onload=window.hurt=1>",
)


def page_of(search: TreeSearch, problem: str = "How many?") -> str:
    return tree_page(search, Tally().count(search.trajectories), problem=problem)


Told = tuple[float, list[float] | None, bool, str]
"""Reward, embedding, whether it is finished, text."""


def told(strategy: Any, *levels: Sequence[Told]) -> TreeSearch:
    """A search whose children of each step are, in the order of the asks, as listed."""
    search = TreeSearch(strategy, 30)
    for level in levels:
        slots = [(ask.node, index) for ask in search.ask() for index in ask.indices]
        assert len(slots) == len(level)
        search.tell(
            Child(
                node,
                5,
                reward,
                finished=finished,
                text=text,
                index=index,
                embedding=None if vector is None else np.array(vector, np.float32),
            )
            for (node, index), (reward, vector, finished, text) in zip(slots, level, strict=True)
        )
    return search


# --- the text of the page -----------------------------------------------------------------------


def hostile_search() -> TreeSearch:
    first = [(0.9, None, False, text) for text in HOSTILE]
    second = [(0.8, None, True, f"{HOSTILE[0]} The answer is {k}.") for k in (1, 1, 2, 2)]
    return told(ets.REBASE(width=4), first, second)


def test_nothing_that_a_model_wrote_is_markup() -> None:
    page = page_of(hostile_search(), HOSTILE[0])
    assert page.count("<script") == page.count("</script>") == 2
    assert "onerror" in page
    assert "<img" not in page
    data = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)
    assert data is not None
    said = json.loads(data[1])
    assert tuple(said["nodes"]["text"][1:5]) == HOSTILE
    assert said["problem"] == HOSTILE[0]
    assert html.escape(HOSTILE[0]) in page  # the title
    namespace = '"http://www.w3.org/1998/Math/MathML"'  # a name, which nobody fetches
    assert "http" not in page.replace("http-equiv", "").replace(namespace, "", 1)


@given(st.recursive(st.text() | st.integers() | st.none(), lambda x: st.lists(x, max_size=3)))
def test_json_in_a_script_is_the_same_value(value: Any) -> None:
    text = script_json(value)
    assert json.loads(text) == value
    assert not set("<>&\u2028\u2029") & set(text)


def test_half_a_character_is_no_reason_to_fail(tmp_path: Path) -> None:
    """A command line may hold bytes that are no UTF-8."""
    result = ets.SearchResult.of(hostile_search(), problem="How \udce4 many?")
    result.save_tree(tmp_path / "tree.html")
    page = (tmp_path / "tree.html").read_text("utf-8")
    assert "<title>How ? many?</title>" in page
    assert "How \\udce4 many?" in page


def test_a_leaf_shows_the_votes_of_what_equals_it() -> None:
    level = [(0.9, None, True, f"The answer is {a}.") for a in ("1/2", "3", "0.5", "3.0")]
    level[1] = (0.2, None, True, "The answer is 3.")
    page = page_of(told(ets.REBASE(width=4), level))
    said = re.search(r'id="data">(.*?)</script>', page, re.S)
    assert said is not None
    data = json.loads(said[1])
    assert [vote[2] for vote in data["votes"]] == [2, 2]
    assert data["nodes"]["vote"] == [None, 0, 1, 0, 1]


def test_a_notebook_shows_the_tree_in_a_frame() -> None:
    search = hostile_search()
    for shown in (search._repr_html_(), ets.SearchResult.of(search, problem="?")._repr_html_()):
        assert shown.startswith('<iframe srcdoc="')
        assert shown.count("<") == 2  # the frame's own tags: the page inside is escaped
        inner = html.unescape(shown[len('<iframe srcdoc="') : shown.index('" style=')])
        assert inner.startswith("<!doctype html>")


@pytest.mark.parametrize("steps", [0, 1, 3])
def test_a_search_that_is_not_over_has_a_page(steps: int) -> None:
    search = TreeSearch(ets.ETS(width=6, lambda_d=0.0), 20)
    for _ in range(steps):
        search.tell(
            Child(ask.node, 4, 0.5, text="So.", index=i)
            for ask in search.ask()
            for i in ask.indices
        )
    assert "How many?" in page_of(search)


def test_a_tree_is_saved(tmp_path: Path) -> None:
    search = hostile_search()
    result = ets.SearchResult.of(search, problem="How many?")
    result.save_tree(tmp_path / "tree.html")
    assert (tmp_path / "tree.html").read_text("utf-8") == page_of(search, "How many?")
    with pytest.raises(OSError, match="absent"):
        result.save_tree(tmp_path / "absent" / "tree.html")
