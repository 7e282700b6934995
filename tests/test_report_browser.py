"""The page of a run in a browser: hostile text, lists, tables, widths."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from browser import Page
from ets.bench.run_folder import RunFolder
from ets.report.bench_page import bench_page
from run_cases import CELLS, write_run
from test_report import hostile_run


def open_page(browser: Any, tmp_path: Path, run: RunFolder) -> Page:
    return Page(browser, tmp_path / "report.html", bench_page(run).html)


def test_a_script_in_a_problem_does_not_run(browser: Any, tmp_path: Path) -> None:
    page = open_page(browser, tmp_path, hostile_run(tmp_path / "run"))
    page.click(".key")
    assert page.js("window.hurt") is None
    assert page.js("document.images.length") == 0
    assert "<script>window.hurt" in page.text("td.open .whole")
    assert "<script>window.hurt" in page.text("h1")
    assert page.errors() == []


def test_the_list_of_problems_filters_sorts_and_finds(browser: Any, tmp_path: Path) -> None:
    page = open_page(browser, tmp_path, write_run(tmp_path / "run"))
    shown = "[...document.querySelectorAll('.key')].map((key) => key.textContent)"
    assert page.js(shown) == [str(i) for i in range(20)]
    page.click('.filter[data-kind="wrong"]')
    assert page.js(shown) == ["17", "19"]
    page.click('.filter[data-kind="disagree"]')
    assert len(page.js(shown)) == 16
    page.click('.filter[data-kind="all"]')
    page.keys("#find", "is 1")
    assert page.js(shown) == ["1", *(str(i) for i in range(10, 20))]
    page.keys("#find", "?")
    assert page.js(shown) == ["1"]
    page.keys("#find", "?")
    assert page.js(shown) == []
    assert "no such problem" in page.text("#problem-table")
    page.keys("#find", *["\ue003"] * 6)  # backspace
    heads = "[...document.querySelectorAll('#problem-table > thead th')]"
    right = page.js(f"{heads}.findIndex((head) => head.textContent === 'right')")
    page.click(f"#problem-table > thead th:nth-child({right + 1}) button")
    assert page.js(shown)[:2] == ["17", "19"]
    page.click(f"#problem-table > thead th:nth-child({right + 1}) button")
    assert page.js(shown)[:2] == ["0", "6"]
    page.click(".key")
    assert page.js("document.querySelectorAll('td.open tbody tr').length") == len(CELLS)
    assert "best-of-n 4" in page.text("td.open tbody tr")
    page.click("td.open thead th:nth-child(6) button")  # KV
    assert page.text("td.open tbody tr").startswith("ets 4, λb 2")
    page.click(".key")
    assert page.js("document.querySelector('td.open')") is None
    assert page.errors() == []


def test_a_table_sorts_by_number(browser: Any, tmp_path: Path) -> None:
    page = open_page(browser, tmp_path, write_run(tmp_path / "run"))
    table = 'table[aria-label="accuracy and KV cache"]'
    column = (
        f"[...document.querySelectorAll('{table} tbody tr')].map((r) => r.cells[6].textContent)"
    )
    page.click(f"{table} thead tr:last-child th:nth-child(7) button")
    values = [int(text) for text in page.js(column)]
    assert values == sorted(values)
    page.click(f"{table} thead tr:last-child th:nth-child(7) button")
    assert [int(text) for text in page.js(column)] == values[::-1]
    assert page.errors() == []


@pytest.mark.parametrize("width", [420, 1280])
def test_the_page_is_never_wider_than_the_window(browser: Any, tmp_path: Path, width: int) -> None:
    page = open_page(browser, tmp_path, write_run(tmp_path / "run"))
    browser.set_window_size(width, 900)
    page.click(".key")
    assert page.js("document.documentElement.scrollWidth <= window.innerWidth")
    browser.set_window_size(1280, 900)
