"""The tree page in a real browser: what a user does, and sees."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import ets
from browser import Page
from conftest import SAID
from ets.tree_search import TreeSearch
from scripted import World, play
from test_tree_page import HOSTILE, hostile_search, page_of


@pytest.fixture
def small(browser: Any, tmp_path: Path) -> Page:
    search = play(TreeSearch(ets.ETS(width=8), 20, max_depth=6), World(finish=0.2))
    page = Page(browser, tmp_path / "tree.html", page_of(search))
    assert page.errors() == []
    return page


def test_a_step_that_is_a_script_does_not_run(browser: Any, tmp_path: Path) -> None:
    page = Page(browser, tmp_path / "tree.html", page_of(hostile_search(), HOSTILE[1]))
    page.keys("#tree", "\ue011", "\ue014", "\ue015", "\ue015")  # home, right, down, down
    assert page.js("window.hurt") is None
    assert page.text("#problem") == HOSTILE[1]
    assert "Step 1 · node 3" in page.text("#detail")
    assert "{{data}} {{style}}" in page.text("#detail .text")
    page.keys("#tree", "\ue013")
    assert "onerror" in page.text("#detail .text")
    page.keys("#find", "</script>")
    page.keys("#find", "\ue007")
    assert "</script>" in page.text("#detail mark")
    assert page.js("document.images.length") == 0
    assert page.errors() == []


def test_the_keyboard_walks_the_tree(small: Page) -> None:
    assert "complete" in small.text("#detail .fate")
    small.keys("#tree", "\ue011")
    assert small.text("#detail h2") == "Problem"
    before = small.picture()
    small.keys("#tree", "\ue014")
    assert "Step 1" in small.text("#detail h2")
    assert "continued" in small.text("#detail .fate")
    assert small.picture() != before
    depth = small.js("N.depth[chosen]")
    small.keys("#tree", "\ue015")
    assert small.js("N.depth[chosen]") == depth
    small.keys("#tree", "\ue012")
    assert small.text("#detail h2") == "Problem"
    assert small.js("document.activeElement.id") == "tree"
    zoom = small.js("zoom")
    small.keys("#tree", "+")
    assert small.js("zoom") > zoom
    small.keys("#tree", "0")
    assert small.js("zoom") == zoom


def test_time_goes_back_to_what_the_search_knew(small: Page) -> None:
    last = small.js("last")
    whole = small.picture()
    small.keys("#tree", "[")
    assert small.js("time") == last - 1
    assert f"step {last - 1} of {last}" in small.text("#when")
    assert "KV" in small.text("#when")
    assert small.picture() != whole
    assert small.js("N.depth[chosen]") <= last - 1
    for _ in range(last):
        small.click("#back")
    assert small.js("time") == 0
    assert small.text("#detail h2") == "Problem"
    small.keys("#time", "\ue010")  # end
    assert small.js("time") == last


def test_search_finds_steps(small: Page) -> None:
    word = small.js("N.text.find((text) => text).trim().slice(0, 4)")
    count = small.js(
        f"N.text.filter((t) => (t || '').toLowerCase().includes({word.lower()!r})).length"
    )
    small.keys("#tree", "/")
    assert small.js("document.activeElement.id") == "find"
    small.keys("#find", word)
    assert small.text("#matches") == str(count)
    small.keys("#find", "\ue007")
    assert small.text("#matches") == f"1 of {count}"
    small.click("#previous")
    assert small.text("#matches") == f"{count} of {count}"
    assert small.text("#detail mark").lower() == word.lower()
    small.keys("#find", "nowhere to be found")
    assert small.text("#matches") == "none"


def test_light_and_dark(small: Page) -> None:
    seen = {}
    for mode in ("light", "dark", "auto"):
        small.click("#theme")
        assert small.text("#theme") == f"Theme: {mode}"
        seen[mode] = (small.js("getComputedStyle(document.body).backgroundColor"), small.picture())
    assert seen["light"][0] != seen["dark"][0]
    assert seen["light"][1] != seen["dark"][1]
    small.browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia",
        {"features": [{"name": "prefers-color-scheme", "value": "dark"}]},
    )
    small.picture()  # the browser tells the page before the next frame
    assert small.js("getComputedStyle(document.body).backgroundColor") == seen["dark"][0]
    small.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_the_mouse_shows_what_is_under_it(small: Page) -> None:
    from selenium.webdriver import ActionChains
    from selenium.webdriver.common.by import By

    canvas = small.browser.find_element(By.ID, "tree")
    x = small.js("X[1] * zoomX() + left - canvas.clientWidth / 2")
    y = small.js("Y[1] * zoom + top_ - canvas.clientHeight / 2")
    chosen = small.js("chosen")
    move = ActionChains(small.browser).move_to_element_with_offset(canvas, round(x), round(y))
    move.perform()
    assert "node 1" in small.text("#detail h2")
    assert small.js("chosen") == chosen
    move.click().perform()
    assert small.js("chosen") == 1


@pytest.mark.parametrize("size", [(1280, 900), (500, 900)])
def test_all_of_the_tree_is_in_sight(browser: Any, tmp_path: Path, size: tuple[int, int]) -> None:
    browser.set_window_size(*size)
    search = play(TreeSearch(ets.ETS(width=16), 20, max_depth=9), World(finish=0.1))
    page = Page(browser, tmp_path / "tree.html", page_of(search))
    assert page.js("document.documentElement.scrollWidth <= innerWidth")
    assert page.js("X.every((x, v) => x * zoomX() + left < canvas.clientWidth - 20)")
    assert page.js("Y.every((y, v) => y * zoom + top_ < canvas.clientHeight)")
    browser.set_window_size(1280, 900)


def test_five_thousand_nodes(
    browser: Any, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """All are there, can be walked and found; how long a frame takes is said, not asserted."""
    search = play(TreeSearch(ets.ETS(width=700, lambda_b=0.5), 30, max_depth=12), World(finish=0.1))
    assert len(search.nodes) >= 5000
    page = Page(browser, tmp_path / "tree.html", page_of(search))
    assert page.errors() == []
    assert page.js("count") == len(search.nodes)
    page.keys("#tree", "\ue011", "\ue014", "\ue014")
    assert "Step 2" in page.text("#detail h2")
    begin = "const begin = performance.now(); for (let i = 0; i < 10; i++) draw();"
    frame = page.js(
        f"(() => {{ {begin} pen.getImageData(0, 0, 1, 1); return performance.now() - begin }})()"
    )
    record_property(SAID, f"a tree page of {len(search.nodes)} nodes: {frame / 10:.0f} ms a frame")
