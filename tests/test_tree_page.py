"""The page of a tree: what it says of pruning, and what a browser makes of it."""

from __future__ import annotations

import html
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ets
from conftest import SAID
from ets.report.reasons import verdicts
from ets.report.tree_page import script_json, tree_page
from ets.tally import Tally
from ets.tree_search import Child, TreeSearch
from ets.usage import Usage
from scripted import World, play

HOSTILE = (
    "</script><script>window.hurt = 1</script>",
    '<img src=x onerror="window.hurt = 1">',
    "<!--<script>\u2028\u2029 {{data}} {{style}} ' \" \\ & \x00",
    "]]> <svg/onload=window.hurt=1>",
)


def page_of(search: TreeSearch, problem: str = "How many?") -> str:
    return tree_page(Tally().result(problem, search, Usage()))


def told(strategy: Any, *levels: list[tuple[float, list[float] | None, bool, str]]) -> TreeSearch:
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


# --- why a leaf was pruned ----------------------------------------------------------------------


def test_each_reason_where_it_is_due() -> None:
    """Two that say the same, one that says something else, one that is bad."""
    level = [
        (0.95, [1.0, 0.0, 0.0], False, "a"),
        (0.85, [1.0, 0.0, 0.0], False, "b"),
        (0.90, [0.0, 1.0, 0.0], False, "c"),
        (0.01, [0.0, 0.0, 1.0], False, "d"),
    ]
    search = told(ets.ETS(width=4, lambda_b=1.6, lambda_d=0.0), level)
    kept = [v for v in range(1, 5) if search.nodes.fate[v] == "kept"]
    assert 0 < len(kept) < 4
    found = verdicts(search)
    assert found[0].reason is None
    for v in range(1, 5):
        share = found[v].share
        assert share is not None
        if v in kept:
            assert found[v].reason is None
        else:
            assert found[v].reason == ("kv" if share else "reward")


def test_a_twin_goes_because_its_cluster_is_covered() -> None:
    """Two good ones that say the same, one that says something else, and a crowd of bad ones."""
    bad = [(0.01, [0.0, 0.0, 1.0], False, f"bad {k}") for k in range(5)]
    level = [
        (0.95, [1.0, 0.0, 0.0], False, "a"),
        (0.93, [1.0, 0.0, 0.0], False, "the same"),
        (0.90, [0.0, 1.0, 0.0], False, "other"),
        *bad,
    ]
    search = told(ets.ETS(width=8, lambda_b=4.0, lambda_d=1.0), level)
    nodes, found = search.nodes, verdicts(search)
    assert nodes.cluster[1] == nodes.cluster[2] != nodes.cluster[3]
    assert [nodes.fate[v] for v in (1, 2, 3)] == ["kept", "pruned", "kept"]
    assert [found[v].reason for v in (1, 2, 3)] == [None, "cluster", None]
    assert {found[v].reason for v in range(4, 9)} == {"reward"}


@settings(max_examples=40, deadline=None)
@given(
    width=st.integers(2, 40),
    lambda_b=st.sampled_from([0.5, 1.0, 2.0]),
    world=st.builds(World, seed=st.integers(0, 10**6), finish=st.sampled_from([0.0, 0.2])),
)
def test_reasons_follow_the_definition(width: int, lambda_b: float, world: World) -> None:
    search = play(TreeSearch(ets.ETS(width=width, lambda_b=lambda_b), 20, max_depth=6), world)
    nodes, found = search.nodes, verdicts(search)
    for v, verdict in enumerate(found):
        fate = nodes.fate[v]
        if fate == "left":
            assert verdict.reason == "ended"
        elif fate != "pruned":
            assert verdict.reason is None
        else:
            same = [
                u
                for u in nodes.levels[nodes.depth[v]]
                if nodes.cluster[u] == nodes.cluster[v] >= 0 and nodes.fate[u] == "kept"
            ]
            expected = "reward" if not verdict.share else "cluster" if same else "kv"
            assert verdict.reason == expected
    for step in search.kv:
        shares = [
            found[v].share or 0
            for v in nodes.levels[step.depth]
            if nodes.fate[v] in ("kept", "pruned")
        ]
        assert sum(shares) == step.width


def test_other_strategies_prune_by_reward() -> None:
    search = play(TreeSearch(ets.BeamSearch(width=9), 20, max_depth=5), World(finish=0.0))
    found = [v.reason for v, fate in zip(verdicts(search), search.nodes.fate, strict=True)
             if fate == "pruned"]  # fmt: skip
    assert found
    assert set(found) == {"reward"}


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
    assert "http" not in page.replace("http-equiv", "")


@given(st.recursive(st.text() | st.integers() | st.none(), lambda x: st.lists(x, max_size=3)))
def test_json_in_a_script_is_the_same_value(value: Any) -> None:
    text = script_json(value)
    assert json.loads(text) == value
    assert not set("<>&\u2028\u2029") & set(text)


def test_a_notebook_shows_the_tree_in_a_frame() -> None:
    search = hostile_search()
    for shown in (search._repr_html_(), Tally().result("?", search, Usage())._repr_html_()):
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
    result = Tally().result("How many?", hostile_search(), Usage())
    result.save_tree(tmp_path / "tree.html")
    assert (tmp_path / "tree.html").read_text("utf-8") == tree_page(result)
    with pytest.raises(OSError, match="absent"):
        result.save_tree(tmp_path / "absent" / "tree.html")


# --- in a browser -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A headless Chromium; where there is none the tests are named as skipped, but not in CI."""
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        words = "the tree page is looked at in Chromium: install chromium and chromium-driver"
        if os.environ.get("CI"):
            pytest.fail(words)
        pytest.skip(words)
    from selenium.webdriver import Chrome, ChromeOptions
    from selenium.webdriver.chrome.service import Service

    options = ChromeOptions()
    options.binary_location = chromium
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1280,900"):
        options.add_argument(argument)
    options.add_argument("--disable-dev-shm-usage")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    found = Chrome(options=options, service=Service(driver))
    yield found
    found.quit()


class Page:
    """What a user does with the page, and sees."""

    def __init__(self, browser: Any, file: Path, text: str) -> None:
        file.write_text(text, "utf-8")
        self.browser = browser
        browser.get(file.as_uri())

    def js(self, code: str) -> Any:
        return self.browser.execute_script(f"return {code}")

    def text(self, selector: str) -> str:
        return str(self.js(f"document.querySelector({selector!r}).innerText"))

    def keys(self, selector: str, *keys: str) -> None:
        from selenium.webdriver.common.by import By

        self.browser.find_element(By.CSS_SELECTOR, selector).send_keys(*keys)

    def click(self, selector: str) -> None:
        from selenium.webdriver.common.by import By

        self.browser.find_element(By.CSS_SELECTOR, selector).click()

    def picture(self) -> str:
        """The canvas as it is drawn now."""
        self.browser.execute_async_script(
            "const done = arguments[0]; requestAnimationFrame(() => requestAnimationFrame(done));"
        )
        return str(self.js("document.getElementById('tree').toDataURL()"))

    def errors(self) -> list[str]:
        return [entry["message"] for entry in self.browser.get_log("browser")]


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
