"""A headless Chromium, and a page in it as a user sees it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

NEEDED = "the pages are looked at in Chromium: install chromium and chromium-driver"


def start_browser() -> Any:
    """A selenium driver of the system's Chromium; None where there is none."""
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        return None
    from selenium.webdriver import Chrome, ChromeOptions
    from selenium.webdriver.chrome.service import Service

    options = ChromeOptions()
    options.binary_location = chromium
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1280,900"):
        options.add_argument(argument)
    options.add_argument("--disable-dev-shm-usage")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    return Chrome(options=options, service=Service(driver))


class Page:
    """What a user does with the page, and sees."""

    def __init__(self, browser: Any, file: Path, text: str) -> None:
        file.write_text(text, "utf-8")
        self.browser = browser
        browser.get(file.as_uri())

    @classmethod
    def at(cls, browser: Any, url: str) -> Page:
        """The page of an address."""
        page = cls.__new__(cls)
        page.browser = browser
        browser.get(url)
        return page

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

    def touch(self, kind: str, *fingers: tuple[float, float]) -> None:
        """`start`, `move` or `end`, with where each finger is on the canvas now, in CSS pixels.

        At an `end` those are left out that are lifted.
        """
        box = self.js("(({left, top}) => [left, top])(canvas.getBoundingClientRect())")
        points = [{"x": box[0] + x, "y": box[1] + y, "id": i} for i, (x, y) in enumerate(fingers)]
        event = {"type": f"touch{kind.title()}", "touchPoints": points}
        self.browser.execute_cdp_cmd("Input.dispatchTouchEvent", event)

    def resize(self, width: int, height: int, scheme: str = "light") -> None:
        """Also to widths below that of the browser's own window; `scheme` is `light` or `dark`."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})

    def restore(self) -> None:
        """The browser's own size and scheme again."""
        self.browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        self.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})

    def picture(self) -> str:
        """The canvas as it is drawn now."""
        self.browser.execute_async_script(
            "const done = arguments[0]; requestAnimationFrame(() => requestAnimationFrame(done));"
        )
        return str(self.js("document.getElementById('tree').toDataURL()"))

    def errors(self) -> list[str]:
        return [entry["message"] for entry in self.browser.get_log("browser")]
