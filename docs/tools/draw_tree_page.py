"""Takes the picture in tree-page.md: a page of `ets solve --tree` as a browser shows it.

ets solve "..." --tree tree.html  # the problem is in tree-page.md
python docs/tools/draw_tree_page.py tree.html --out docs/pictures/tree-page.png
"""

from __future__ import annotations

import argparse
import shutil
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service


@contextmanager
def opened(width: int, height: int, scheme: str) -> Iterator[Chrome]:
    """A browser of this size, in which nothing is open yet."""
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        raise SystemExit("needs a browser: install chromium and chromium-driver")
    options = ChromeOptions()
    options.binary_location = chromium
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"):
        options.add_argument(argument)
    browser = Chrome(options=options, service=Service(driver))
    try:
        browser.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False},
        )
        feature = {"name": "prefers-color-scheme", "value": scheme}
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
        yield browser
    finally:
        browser.quit()


def shoot(browser: Chrome, out: Path) -> None:
    """A picture of what the browser shows, once that is drawn."""
    browser.execute_async_script(
        "const done = arguments[0]; requestAnimationFrame(() => requestAnimationFrame(done));"
    )
    shot = browser.execute_cdp_cmd("Page.captureScreenshot", {"format": "png"})
    out.write_bytes(b64decode(shot["data"]))


def take(page: Path, out: Path, width: int, height: int, scheme: str) -> None:
    with opened(width, height, scheme) as browser:
        browser.get(page.resolve().as_uri())
        shoot(browser, out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("page", type=Path)
    parser.add_argument("--out", type=Path, default=Path("docs/pictures/tree-page.png"))
    parser.add_argument("--size", type=int, nargs=2, default=(1280, 800), metavar=("W", "H"))
    parser.add_argument("--scheme", choices=["light", "dark"], default="light")
    args = parser.parse_args()
    take(args.page, args.out, *args.size, args.scheme)
    print(args.out)


if __name__ == "__main__":
    main()
