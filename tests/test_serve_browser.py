"""The page of `ets serve` in a real browser: what a user does, and sees."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="the extra 'serve' is not installed")
from browser import Page
from ets import demo
from ets.errors import EngineLostError
from ets.step import Prefix, Step
from scripted_engines import ScriptedPolicy
from served import Running, served, until
from test_serve_watch import HeldPolicy
from test_tree_page import HOSTILE

CONTROL, ENTER, TAB, HOME, RIGHT = "\ue009", "\ue007", "\ue004", "\ue011", "\ue014"
SIZES = {"phone": (390, 844), "tablet": (820, 1180), "desktop": (1400, 900)}
PROBLEM = str(demo.problems()[3]["problem"])


@pytest.fixture
def clean(browser: Any) -> Iterator[Any]:
    """A browser that remembers nothing, and has nothing open behind it."""
    browser.get_log("browser")
    yield browser
    for window in browser.window_handles[1:]:
        browser.switch_to.window(window)
        browser.close()
    browser.switch_to.window(browser.window_handles[0])
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    browser.get("about:blank")
    browser.get_log("browser")  # what a test brought about is not the next one's


@pytest.fixture(scope="module")
def bundled() -> Iterator[Running]:
    given: dict[str, Any] = {"prm": "demo", "embedder": "lexical"}
    given |= {"max_tokens": None, "max_step_tokens": None}
    searches = {
        "ets-8": {"strategy": {"name": "ets", "width": 8}},
        "rebase-4": {"strategy": {"name": "rebase", "width": 4}},
    }
    with served("demo", searches=searches, more=given) as running:
        yield running


class Live(Page):
    """The page of a server."""

    @classmethod
    def of(cls, browser: Any, running: Running) -> Live:
        page = cls.at(browser, f"{running.url}/")
        assert isinstance(page, Live)
        until(lambda: page.js("el('model').options.length > 0 || !el('trouble').hidden"))
        return page

    def ask(self, problem: str = PROBLEM) -> None:
        self.js("el('asked').value = ''")
        self.keys("#asked", problem)
        self.click("#go")

    @property
    def running(self) -> bool:
        return bool(self.js("document.body.classList.contains('running')"))

    def shows(self, nodes: int) -> None:
        """Wait until so many nodes are drawn."""
        until(lambda: self.js("X.length") == nodes)

    def over(self) -> None:
        until(lambda: self.js("!el('outcome').hidden") and not self.running)


@contextmanager
def before_each_page(browser: Any, script: str) -> Iterator[None]:
    """Something that every page meets before its own scripts run."""
    done = browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": script})
    try:
        yield
    finally:
        browser.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", done)


# -- a search --------------------------------------------------------------------------------------


def test_a_problem_goes_in_and_an_answer_comes_out(clean: Any, bundled: Running) -> None:
    page = Live.of(clean, bundled)
    assert page.js("[...el('model').options].map((o) => o.value)") == ["ets-8", "rebase-4"]
    page.ask()
    page.over()
    (search,) = [s for s in bundled.service.desk.all if s.key in page.js("location.hash")]
    result = search.result
    assert result is not None
    assert page.js("N.text") == result.tree.nodes.text
    assert page.js("N.fate") == result.tree.nodes.fate
    facts = page.text("#facts")
    assert f"answer\n{result.answer}" in facts
    assert f"{result.answer} × {result.votes[0].count}" in facts
    assert f"KV kept\n{result.kv.after.sum:,} tokens, REBASE {result.kv.rebase.sum:,}" in facts
    assert page.text("#solution").endswith(f"The answer is {result.answer}.")
    assert "width used up" in page.text("#state")
    assert "8 of 8 complete" in page.text("#state")
    assert page.text("#detail .fate") == f"complete: answer {result.answer}"
    rows = page.js(
        "[...el('steps').tBodies[0].rows].map((r) => [...r.cells].map((c) => c.innerText))"
    )
    assert len(rows) == result.tree.depth
    for row, step in zip(rows, list(result.kv)[1:], strict=False):
        assert row[0] == str(step.depth)
        assert row[2] == str(step.kept)
        assert row[5:] == [f"{step.kv_after:,}", f"{step.kv_rebase:,}"]
    assert page.errors() == []


def test_the_tree_grows_before_one_s_eyes(clean: Any) -> None:
    policy = HeldPolicy(slow=False, depth=1)
    with served(policy) as running:
        page = Live.of(clean, running)
        page.ask("a problem")
        page.shows(5)
        assert page.running
        assert page.text("#when") == "step 1 of 1"
        assert "searching" in page.text("#state")
        assert "not yet" in page.text("#facts")
        assert "thought" in page.text("#detail .text")
        assert set(page.js("N.fate.slice(1)")) <= {"kept", "pruned"}
        assert page.js("N.why.slice(1).some((why) => why)") == ("pruned" in page.js("N.fate"))
        before = page.picture()
        policy.depth = 2
        until(lambda: page.js("last") == 2)
        assert page.picture() != before
        assert page.text("#when") == "step 2 of 2"
        assert page.js("N.depth[chosen]") == 2
        page.keys("#tree", HOME)  # who has chosen a step stays there
        policy.free = True
        until(lambda: page.js("last") > 2)
        page.over()
        assert page.js("N.depth[chosen]") > 2, "at the end the answer is shown"
        assert page.errors() == []


def test_whoever_chose_a_step_stays_there_while_it_grows(clean: Any) -> None:
    policy = HeldPolicy(slow=False, depth=1)
    with served(policy) as running:
        page = Live.of(clean, running)
        page.ask("a problem")
        page.shows(5)
        page.keys("#tree", HOME)
        policy.depth = 2
        until(lambda: page.js("last") == 2)
        assert page.js("chosen") == 0
        page.keys("#tree", "[", "[")
        assert page.text("#when") == "step 0 of 2"
        policy.depth = 3
        until(lambda: page.js("levels.length") == 4 or not page.running)
        assert page.text("#when") == f"step 0 of {page.js('last')}"


def test_a_search_is_stopped_and_its_tree_stays(clean: Any) -> None:
    with served(HeldPolicy(slow=False, depth=1)) as running:
        page = Live.of(clean, running)
        page.ask("a problem")
        page.shows(5)
        page.click("#stop")
        page.over()
        running.settled()
        assert page.text("#state").startswith("stopped")
        assert page.js("count") == 5
        assert page.js("el('trouble').hidden")
        page.click("#page")
        clean.switch_to.window(clean.window_handles[-1])
        until(lambda: page.js("document.readyState") == "complete")
        assert page.js("count") == 5
        assert "not yet" in page.text("#facts")


def test_the_finished_tree_opens_as_a_page_of_its_own(clean: Any, bundled: Running) -> None:
    page = Live.of(clean, bundled)
    page.ask()
    page.over()
    texts = page.js("N.text")
    page.click("#page")
    clean.switch_to.window(clean.window_handles[-1])
    until(lambda: page.js("document.readyState") == "complete")
    assert page.js("location.pathname.endsWith('/tree')")
    assert page.js("N.text") == texts
    assert page.text("#problem") == PROBLEM
    assert page.errors() == []


def test_the_keyboard_alone_will_do(clean: Any, bundled: Running) -> None:
    from selenium.webdriver import ActionChains

    page = Live.of(clean, bundled)

    def press(*keys: str) -> None:
        ActionChains(clean).send_keys(*keys).perform()

    def focused() -> str:
        return str(page.js("document.activeElement.id || document.activeElement.tagName"))

    def tab_to(name: str) -> None:
        for _ in range(40):
            if focused() == name:
                return
            press(TAB)
        raise AssertionError(f"{name} is not reached, the last is {focused()}")

    assert focused() == "asked"
    press("A text with / and [ and ] in it. ")
    assert page.js("el('asked').value.includes('/ and [ and ]')")
    page.js("el('asked').value = ''")
    press(PROBLEM)
    press(TAB)
    assert focused() == "model"
    press("r")
    assert page.js("el('model').value") == "rebase-4"
    tab_to("go")
    press(ENTER)
    page.over()
    assert page.js("data.strategy") == "REBASE"
    tab_to("tree")
    press(HOME)
    assert page.text("#detail h2") == "Problem"
    press(RIGHT)
    assert "Step 1" in page.text("#detail h2")
    page.js("el('asked').focus()")
    ActionChains(clean).key_down(CONTROL).send_keys(ENTER).key_up(CONTROL).perform()
    until(lambda: page.running or page.js("past.all.length") >= 2)
    page.over()
    assert page.errors() == []


# -- texts -----------------------------------------------------------------------------------------

ODD = (
    r"\(\href{javascript:hurt=1}{x}\style{position:fixed;inset:0}{y}\) " + HOSTILE[1],
    r"$\text{</script><img src=x onerror=hurt=1>}$ costs $5 and $7",
    r"\[ \frac{1}{2} = \def\a{\a\a}\a \] \(" + "{" * 200 + r"\)" + HOSTILE[2],
    r"so \[x = \frac{-b \pm \sqrt{b^2-4ac}}{2a}\] and \(y_1\)" + HOSTILE[3],
)


@dataclass
class HostilePolicy(ScriptedPolicy):
    """Writes what would hurt a page that took it for markup."""

    async def sample(self, prefix: Prefix, *, seed: int, max_tokens: int) -> Step:
        step = await super().sample(prefix, seed=seed, max_tokens=max_tokens)
        said = step.text.startswith("The answer")
        text = r"The answer is \(\frac{1}{2}\)." if said else (*HOSTILE, *ODD)[seed % 8]
        return replace(step, text=text)


def test_texts_are_never_markup_and_formulas_are_formulas(clean: Any) -> None:
    more = {"embedder": "lexical"}
    searches = {"rebase-16": {"strategy": {"name": "rebase", "width": 16}}}
    with served(HostilePolicy(slow=False), searches=searches, more=more) as running:
        page = Live.of(clean, running)
        page.ask(HOSTILE[0] + r" and \(x^2\)")
        page.over()
        assert page.js("count") > 16
        for v in range(page.js("count")):
            page.js(f"choose({v})")
        assert page.js("window.hurt") is None
        assert page.js("document.images.length") == 0
        assert page.js("document.querySelectorAll('[style], [onerror], a[href*=java]').length") == 0
        assert page.js("document.querySelectorAll('#detail script, #left script').length") == 0
        assert page.text("#problem").startswith(HOSTILE[0])
        assert page.js("el('problem').querySelectorAll('math').length") == 1
        v = page.js("N.text.findIndex((t) => t && t.startsWith('so'))")
        page.js(f"choose({v})")
        assert page.js("document.querySelectorAll('#detail .text math').length") == 2
        assert page.js("document.querySelector('#detail math mfrac') !== null")
        assert page.js("document.querySelector('#facts math mfrac') !== null")
        page.click("#raw")
        assert r"\frac{-b \pm" in page.text("#detail .text")
        assert page.js("document.querySelectorAll('math').length") == 0
        assert page.js("el('raw').getAttribute('aria-pressed')") == "true"
        page.click("#raw")
        assert page.js("document.querySelectorAll('#detail .text math').length") == 2
        assert page.errors() == []


# -- sizes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_all_of_it_is_in_sight(clean: Any, bundled: Running, size: str, scheme: str) -> None:
    width, height = SIZES[size]
    page = Live.of(clean, bundled)
    page.resize(width, height, scheme)
    page.ask()
    page.over()
    page.picture()
    assert page.js("document.documentElement.dataset.theme") == scheme
    assert page.js("document.documentElement.scrollWidth") <= width
    narrow = "[...document.querySelectorAll('header *, footer *, #bar *')]"
    assert page.js(
        f"{narrow}.filter((e) => !e.closest('.unseen, .formula') && e.getBoundingClientRect().right"
        " > innerWidth + 1).map((e) => e.id || e.tagName)"
    ) == []  # fmt: skip
    assert page.js("canvas.clientWidth") >= 300
    assert page.js("canvas.clientHeight") >= 300
    assert page.js("X.every((x) => x * zoomX() + left < canvas.clientWidth - 20)")
    assert page.js("Y.every((y) => y * zoom + top_ > 20 && y * zoom + top_ < canvas.clientHeight)")
    assert page.js("[...document.querySelectorAll('button:not([hidden])')].every((b) => "
                   "!b.offsetParent || b.offsetHeight >= 28)")  # fmt: skip
    assert page.errors() == []


# -- what is kept ----------------------------------------------------------------------------------


def test_a_reload_finds_the_search_again(clean: Any) -> None:
    policy = HeldPolicy(slow=False, depth=1)
    with served(policy) as running:
        page = Live.of(clean, running)
        page.ask("a problem")
        page.shows(5)
        clean.refresh()
        page.shows(5)
        assert page.running
        policy.free = True
        page.over()
        answer = page.js("data.answer")
        assert answer is not None
        assert len(running.service.desk.all) == 1
        past = page.text("#past li")
        assert past.startswith("a problem")
        assert past.endswith(f"· {answer}")
        clean.get(f"{running.url}/")
        until(lambda: page.js("el('model').options.length > 0"))
        assert page.js("el('outcome').hidden")
        page.click("#past li button")
        page.over()
        assert page.js("data.answer") == answer
        assert page.js("el('asked').value") == "a problem"
        page.click("#forget")
        assert page.js("el('past').hidden")
        clean.refresh()
        until(lambda: page.js("el('model').options.length > 0"))
        assert page.js("el('outcome').hidden && el('past').hidden")


def test_a_search_that_the_server_has_forgotten(clean: Any) -> None:
    with served(kept_searches=0) as running:
        page = Live.of(clean, running)
        page.ask("a problem")
        page.over()
        until(lambda: not running.service.desk.all)
        page.click("#past li button")
        until(lambda: page.js("!el('trouble').hidden"))
        assert "does not know this search any more" in page.text("#trouble")
        assert page.js("el('asked').value") == "a problem"
        assert not page.running


BLOCKED = """
for (const name of ["localStorage", "sessionStorage"]) {
  Object.defineProperty(window, name, { get() { throw new DOMException("no", "SecurityError"); } });
}
"""


def test_a_browser_without_storage_searches_too(clean: Any, bundled: Running) -> None:
    with before_each_page(clean, BLOCKED):
        page = Live.of(clean, bundled)
        page.ask()
        page.over()
        assert page.js("data.answer") is not None
        assert page.errors() == []


# -- what goes wrong -------------------------------------------------------------------------------


def test_a_key_is_asked_for_and_opens_the_tree_too(clean: Any) -> None:
    with served(keys={"ann": "right"}) as running:
        page = Live.of(clean, running)
        assert page.text("#trouble") == "the server wants an API key"
        assert page.js("document.activeElement.id") == "key"
        page.keys("#key", "wrong", TAB)
        until(lambda: page.text("#trouble") == "the server does not know this API key")
        page.js("el('key').value = ''")
        page.keys("#key", "right", TAB)
        until(lambda: page.js("el('model').options.length > 0"))
        assert page.js("el('trouble').hidden")
        page.ask("a problem")
        page.over()
        texts = page.js("N.text")
        assert "right" not in page.js("JSON.stringify({ ...localStorage })")
        page.errors()  # the browser names each 401
        page.click("#page")
        until(lambda: len(clean.window_handles) == 2)
        clean.switch_to.window(clean.window_handles[-1])
        until(lambda: page.js("typeof N") == "object")
        assert page.js("N.text") == texts
        assert page.errors() == []


def test_a_full_queue_is_said_in_a_line(clean: Any) -> None:
    with served(HeldPolicy(slow=False), concurrency=1, queue=0) as running:
        page = Live.of(clean, running)
        page.ask("first")
        until(lambda: page.running)
        page.ask("second")
        until(lambda: page.js("!el('trouble').hidden"))
        assert "no more are taken now; try again in" in page.text("#trouble")
        assert page.running, "the first goes on"
        page.click("#stop")
        page.over()


class LostPolicy(HeldPolicy):
    """Its engine is lost once it is set free."""

    async def sample(self, prefix: Prefix, *, seed: int, max_tokens: int) -> Step:
        step = await super().sample(prefix, seed=seed, max_tokens=max_tokens)
        if self.free:
            raise EngineLostError("its words, which nobody outside shall read")
        return step


def test_a_lost_engine_is_said_in_a_line(clean: Any) -> None:
    policy = LostPolicy(slow=False, depth=1)
    with served(policy) as running:
        page = Live.of(clean, running)
        page.ask("a problem")
        page.shows(5)
        policy.free = True
        page.over()
        assert page.text("#trouble") == "an engine is lost"
        assert page.js("count") == 5
        page.ask("another")
        until(lambda: page.text("#trouble").startswith("an engine is lost"))


CUT = """
window.seen = [];
const fetched = window.fetch;
window.fetch = async (path, options) => {
  const answer = await fetched(path, options);
  if (!String(path).endsWith("/tree/events")) return answer;
  seen.push(options.headers["Last-Event-ID"] ?? null);
  if (seen.length > 1) return answer;
  const reader = answer.body.getReader();
  const body = new ReadableStream({ async pull(to) {
    const { value } = await reader.read();
    to.enqueue(value);
    window.cut = () => { reader.cancel(); to.error(new TypeError("network error")); };
    await new Promise(() => {});
  } });
  return new Response(body, { status: 200 });
};
"""


def test_a_connection_that_is_cut_is_taken_up_where_it_was(clean: Any) -> None:
    policy = HeldPolicy(slow=False, depth=1)
    with served(policy) as running, before_each_page(clean, CUT):
        page = Live.of(clean, running)
        page.ask("a problem")
        until(lambda: page.js("count > 0 && window.cut !== undefined"))
        page.js("window.cut()")
        until(lambda: page.js("seen.length") == 2)
        policy.free = True
        page.over()
        assert page.js("seen[1]") is not None
        (search,) = running.service.desk.all
        assert search.result is not None
        assert page.js("N.text") == search.result.tree.nodes.text
        assert page.js("data.kv.length") == len(search.result.kv)
        assert page.js("el('trouble').hidden")


def test_a_server_that_is_gone_is_said_in_a_line(clean: Any) -> None:
    with served(HeldPolicy(slow=False, depth=1), grace=0.1) as running:
        page = Live.of(clean, running)
        page.ask("a problem")
        page.shows(5)
    until(lambda: page.js("!el('trouble').hidden"))
    said = page.text("#trouble")
    assert "shutting down" in said or "connection is lost" in said
    page.ask("another")
    until(lambda: "does not answer" in page.text("#trouble") or "lost" in page.text("#trouble"))
    assert page.js("count") == 5
