"""Takes the picture in serve.md: the page of a running `ets serve`, at the end of a search.

ets serve --policy demo --prm demo --width 16 --port 8000 &
python docs/tools/draw_live_page.py http://127.0.0.1:8000/ --out docs/pictures/live-page.png
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

from draw_tree_page import opened, shoot

PROBLEM = (
    "At first Ana has 11 stamps. Ned has 6 more stamps than Ana. Ned sells 4 stamps. Then Ned "
    "drops 7 of the stamps. Then Ned triples the stamps. Ned drops 8 stamps. Ned buys 3 more "
    "stamps. How many stamps does Ned have now?"
)
ASK = "el('asked').value = arguments[0]; el('ask').requestSubmit();"


def wait(browser: Any, holds: str) -> None:
    while not browser.execute_script(f"return {holds}"):
        time.sleep(0.05)


def take(url: str, problem: str, out: Path, width: int, height: int, scheme: str) -> None:
    with opened(width, height, scheme) as browser:
        browser.get(url)
        wait(browser, "el('model').options.length > 0")
        browser.execute_script(ASK, problem)
        wait(browser, "!el('outcome').hidden && !document.body.classList.contains('running')")
        shoot(browser, out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("url")
    parser.add_argument("--problem", default=PROBLEM)
    parser.add_argument("--out", type=Path, default=Path("docs/pictures/live-page.png"))
    parser.add_argument("--size", type=int, nargs=2, default=(1400, 900), metavar=("W", "H"))
    parser.add_argument("--scheme", choices=["light", "dark"], default="light")
    args = parser.parse_args()
    take(args.url, args.problem, args.out, *args.size, args.scheme)
    print(args.out)


if __name__ == "__main__":
    main()
