"""The tree page in a real browser: what a user does, and sees."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import ets
from browser import Page
from conftest import SAID
from ets.strategy.base import Decision, View
from ets.tree_search.search import Child, TreeSearch
from scripted import World, play
from test_tree_page import HOSTILE, hostile_search, page_of, told


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


def test_a_finger_chooses_and_moves_two_zoom(small: Page) -> None:
    small.keys("#tree", "\ue011")
    v = small.js("byHeight[2][0]")
    x, y = small.js(f"[X[{v}] * zoomX() + left, Y[{v}] * zoom + top_]")
    small.touch("start", (x + 3, y - 2))
    small.touch("end")
    assert small.js("chosen") == v
    assert "Step 2" in small.text("#detail h2")

    left, top = small.js("[left, top_]")
    small.touch("start", (300, 200))
    small.touch("move", (340, 200))
    small.touch("move", (360, 230))
    small.touch("end")
    assert small.js("[left, top_]") == pytest.approx([left + 60, top + 30])
    assert small.js("chosen") == v

    zoom, before = small.js("[zoom, (250 - top_) / zoom]")
    small.touch("start", (300, 250))
    small.touch("start", (300, 250), (400, 250))
    small.touch("move", (250, 250), (450, 250))
    small.touch("move", (200, 250), (500, 250))
    small.touch("end", (200, 250))
    small.touch("end")
    assert zoom * 1.4 < small.js("zoom") < zoom * 3.01
    assert small.js("(250 - top_) / zoom") == pytest.approx(before), "what is between them stays"
    assert small.js("held.size") == 0
    assert small.js("chosen") == v


def test_a_second_finger_that_does_not_move_chooses_nothing(small: Page) -> None:
    small.keys("#tree", "\ue011")
    v = small.js("byHeight[2][0]")
    x, y = small.js(f"[X[{v}] * zoomX() + left, Y[{v}] * zoom + top_]")
    small.touch("start", (x + 60, y + 60))
    small.touch("start", (x + 60, y + 60), (x, y))
    small.touch("end", (x + 60, y + 60))
    small.touch("end")
    assert small.js("chosen") == 0
    assert small.errors() == []


def test_a_page_opens_at_the_answer_not_at_an_outvoted_solution(
    browser: Any, tmp_path: Path
) -> None:
    samples = [(0.9, "The answer is 7"), (0.5, "The answer is 8"), (0.6, "So the answer is 8")]
    search = told(ets.BestOfN(width=3), [(reward, None, True, text) for reward, text in samples])
    page = Page(browser, tmp_path / "tree.html", page_of(search))
    assert page.text("#detail .text") == "So the answer is 8"


def test_reward_and_score_are_rounded_alike(browser: Any, tmp_path: Path) -> None:
    samples = [(0.595487, None, True, "The answer is 7")] * 2
    page = Page(browser, tmp_path / "tree.html", page_of(told(ets.BestOfN(width=2), samples)))
    assert page.text("#detail").count("0.595") == 3
    assert "0.596" not in page.text("#detail")


def test_bars_have_one_scale(small: Page) -> None:
    """A bar that is cut to its room says of a good solution that it is a bad one."""
    assert small.js("[barLength(1, 26), barLength(0.5, 26), barLength(0.5, 13)]") == [26, 13, 13]
    assert small.js("[barLength(1, 25), barLength(0.5, 12), barLength(0.1, -30)]") == [0, 0, 0]


def test_rebase_keeps_as_much_as_rebase(browser: Any, tmp_path: Path) -> None:
    search = play(TreeSearch(ets.REBASE(width=8), 20, max_depth=6), World(finish=0.2))
    page = Page(browser, tmp_path / "tree.html", page_of(search))
    assert "(as much)" in page.text("header")


def test_time_goes_back_to_what_the_search_knew(small: Page) -> None:
    last = small.js("last")
    whole = small.picture()
    small.keys("#tree", "[")
    assert small.js("time") == last - 1
    assert small.text("#when") == f"step {last - 1} of {last}"
    assert small.js("el('time').getAttribute('aria-valuetext')") == f"step {last - 1} of {last}"
    assert small.picture() != whole
    assert small.js("N.depth[chosen]") <= last - 1
    for _ in range(last):
        small.click("#back")
    assert small.js("time") == 0
    assert small.text("#detail h2") == "Problem"
    small.keys("#time", "\ue010")  # end
    assert small.js("time") == last


def test_a_moment_knows_nothing_of_later(browser: Any, tmp_path: Path) -> None:
    """At each step: its tokens, its selection, its complete solutions; and the next one's width."""
    search = play(TreeSearch(ets.ETS(width=8), 20, max_depth=6), World(finish=0.2))
    page = Page(browser, tmp_path / "tree.html", page_of(search))
    nodes, known = search.nodes, []
    for k in range(len(nodes.levels)):
        page.js(f"setTime({k})")
        tokens = sum(nodes.tokens[v] for v in range(1, nodes.levels[k].stop))
        complete = sum(nodes.fate[v] == "done" for v in range(nodes.levels[k].stop))
        said = page.text("#known")
        assert f"{tokens:,} tokens sampled" in said
        assert f"{complete} of 8 complete" in said
        step = next((step for step in search.kv if step.depth == k), None)
        assert ("KV" in said) == (step is not None)
        if step is not None:
            kv = f"KV {step.kv_before:,} → {step.kv_after:,} tokens (REBASE {step.kv_rebase:,})"
            assert kv in said
            v = next(v for v in nodes.levels[k] if nodes.fate[v] == "kept")
            page.js(f"choose({v})")
            if v:
                assert f"width given\t{nodes.requested[v]} of {step.width}" in page.text("#detail")
        known.append(said)
    assert len(set(known)) == len(known) > 3


class Hesitant:
    """REBASE, until it is to choose among more than the root."""

    width = 4
    needs_embeddings = False

    def decide(self, view: View) -> Decision:
        if view.depth:
            raise RuntimeError("not now")
        return ets.REBASE(width=4).decide(view)


def test_a_cluster_has_its_mass_and_what_it_was_given(browser: Any, tmp_path: Path) -> None:
    steps = [(0.5, None, False, text) for text in "aaaaaabb"]
    strategy = ets.MPTS(width=8, clusters="text", rho=0.0, lambda_b=1.0)
    search = told(strategy, steps)
    search.ask()
    page = Page(browser, tmp_path / "tree.html", page_of(search))
    for node, mass in ((1, 6), (2, 6), (7, 2)):
        page.js(f"choose({node})")
        assert f"its mass\n{mass} of 8, {mass} given" in page.text("#detail").replace("\t", "\n")
    assert page.errors() == []


def test_a_search_that_is_not_over(browser: Any, tmp_path: Path) -> None:
    search = TreeSearch(Hesitant(), 20)
    level = [Child(0, 4, 0.5, text="So.", index=i) for i in range(4)]
    with pytest.raises(RuntimeError, match="not now"):
        search.tell(level)
    page = Page(browser, tmp_path / "tree.html", page_of(search))
    assert page.errors() == []
    assert "ended\nnot yet" in page.text("#facts")
    assert "answer\nnone" in page.text("#facts")
    page.keys("#tree", "\ue014")
    assert page.text("#detail .fate") == "waits for its selection"
    search.strategy = ets.REBASE(width=4)
    search.ask()
    page = Page(browser, tmp_path / "tree.html", page_of(search))
    page.keys("#tree", "\ue014")
    assert page.text("#detail .fate") == "continued 1 time"


def test_the_path_can_be_read_in_one_piece(small: Page) -> None:
    small.click("#detail summary")
    lines = small.js("[...document.querySelectorAll('#detail li span')].map((s) => s.innerText)")
    path = "[...onPath].sort((a, b) => a - b).slice(1)"
    assert lines == small.js(f"{path}.map((v) => N.text[v].trim())")
    assert len(lines) > 1
    small.keys("#tree", "\ue012")
    assert small.js("document.querySelector('#detail details').open") is (len(lines) > 2)


def test_no_script_but_the_page_s_own_runs(small: Page) -> None:
    """Should markup ever get in, the browser refuses it: its hash is not the page's."""
    add = "const s = document.createElement('script'); s.textContent = 'window.hurt = 1';"
    small.js(f"(() => {{ {add} document.body.append(s); }})()")
    small.js("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"hurt = 1\">')")
    small.picture()
    assert small.js("window.hurt") is None
    assert len(small.errors()) >= 2  # the browser says what it refused


def test_a_notebook_is_out_of_reach_of_the_page(browser: Any, tmp_path: Path) -> None:
    search = play(TreeSearch(ets.ETS(width=8), 20, max_depth=6), World(finish=0.2))
    notebook = f"<!doctype html><title>secret</title>{search._repr_html_()}"
    page = Page(browser, tmp_path / "notebook.html", notebook)
    browser.switch_to.frame(0)
    try:
        assert page.js("count") == len(search.nodes)
        page.keys("#tree", "\ue011", "\ue014")
        assert "Step 1" in page.text("#detail h2")
        reach = "(() => { try { return parent.document.title } catch (e) { return e.name } })()"
        assert page.js(reach) == "SecurityError"
    finally:
        browser.switch_to.default_content()
    assert page.errors() == []


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


def formulas_on(page: Page, selector: str) -> int:
    return int(page.js(f"document.querySelectorAll('{selector} math').length"))


def test_formulas_are_drawn_and_shown_as_they_were_written(browser: Any, tmp_path: Path) -> None:
    long = "+".join(f"x_{{{n}}}" for n in range(60))
    texts = [
        r"so \(\frac{1}{2}\) is half, $5 and $6 are not",
        rf"\({long}\)",
        r"\(\foo\) $y$",
        "no",
    ]
    first = [(0.9, None, False, text) for text in texts]
    second = [(0.8, None, True, rf"it is \boxed{{\frac{{1}}{{{n}}}}}") for n in (2, 2, 3, 3)]
    search = told(ets.REBASE(width=4), first, second)
    page = Page(browser, tmp_path / "tree.html", page_of(search, "Find $x$."))
    assert formulas_on(page, "#problem") == 1
    assert formulas_on(page, "#facts") == 3  # the answer, and both in the votes
    page.js("choose(1)")
    assert formulas_on(page, "#detail .text") == 1
    assert page.text("#detail .text").endswith("is half, $5 and $6 are not")
    assert page.js("document.querySelector('#detail mfrac').childElementCount") == 2
    page.keys("#find", "frac{1}")
    page.js("choose(1)")
    assert page.text("#detail mark") == "frac{1}"
    assert formulas_on(page, "#detail .text") == 0
    page.keys("#find", "\ue00c")  # escape
    page.js("choose(2)")
    assert page.js("document.querySelector('#detail .formula').classList.contains('block')")
    assert page.js("document.documentElement.scrollWidth <= innerWidth")
    page.js("choose(3)")
    assert page.text("#detail .text").startswith(r"\(\foo\)")
    assert formulas_on(page, "#detail .text") == 1
    page.click("#raw")
    assert page.text("#detail .text") == texts[2]
    assert page.text("#problem") == "Find $x$."
    assert formulas_on(page, "body") == 0
    page.click("#raw")
    assert formulas_on(page, "#problem") == 1
    assert page.errors() == []


def test_a_page_without_formulas_has_no_switch_for_them(small: Page) -> None:
    assert not small.js("el('raw').offsetParent")


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


def test_the_mouse_moves_and_zooms_the_tree(small: Page) -> None:
    from selenium.webdriver import ActionChains
    from selenium.webdriver.common.actions.wheel_input import ScrollOrigin
    from selenium.webdriver.common.by import By

    canvas = small.browser.find_element(By.ID, "tree")
    left, top, zoom = small.js("[left, top_, zoom]")
    chosen = small.js("chosen")
    ActionChains(small.browser).click_and_hold(canvas).move_by_offset(40, 25).release().perform()
    assert small.js("[left, top_, zoom]") == [left + 40, top + 25, zoom]
    assert small.js("chosen") == chosen
    origin = ScrollOrigin.from_element(canvas)
    ActionChains(small.browser).scroll_from_origin(origin, 0, -200).perform()
    assert small.js("zoom") > zoom
    small.click("#fit")
    assert small.js("[left, top_, zoom]") == [left, top, zoom]


@pytest.mark.parametrize("size", [(1280, 800), (420, 900)])
def test_all_of_the_tree_is_in_sight(browser: Any, tmp_path: Path, size: tuple[int, int]) -> None:
    """Also after the window changes, as long as nobody moved the tree."""
    resize(browser, 900, 700)
    search = play(TreeSearch(ets.ETS(width=16), 20, max_depth=9), World(finish=0.1))
    page = Page(browser, tmp_path / "tree.html", page_of(search))
    resize(browser, *size)
    page.picture()
    assert page.js("innerWidth") == size[0]
    assert page.js("document.documentElement.scrollWidth <= innerWidth")
    assert page.js("X.every((x, v) => x * zoomX() + left < canvas.clientWidth - 20)")
    assert page.js("Y.every((y, v) => y * zoom + top_ < canvas.clientHeight)")
    assert page.js("Y.every((y, v) => y * zoom + top_ > 20)")
    page.keys("#tree", "+")
    zoom = page.js("zoom")
    resize(browser, 900, 700)
    page.picture()
    assert page.js("zoom") == zoom
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def resize(browser: Any, width: int, height: int) -> None:
    """Also to widths below that of the browser's own window."""
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False},
    )


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
