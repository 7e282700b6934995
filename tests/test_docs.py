"""Every command and every Python block in README.md and docs/ runs here.

A fenced `console` block holds commands behind `$ `, then what they print; a fenced `python` block
is a whole program. A block that cannot run here is preceded by `<!-- not run: why -->`, and
the summary of the test run repeats the reason.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(
    r"(?:<!-- not run: (?P<why>.*?) -->\n+)?^```(?P<kind>console|python)\n(?P<body>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """A fenced block of a document."""

    place: str
    kind: str
    body: str
    why_not: str | None


def blocks() -> list[Block]:
    found = []
    for path in sorted(
        [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]
    ):
        text = path.read_text()
        for match in BLOCK.finditer(text):
            line = text.count("\n", 0, match.start("body"))
            place = f"{path.relative_to(ROOT)}:{line}"
            found.append(Block(place, match["kind"], match["body"], match["why"]))
    return found


def commands(body: str) -> list[str]:
    lines = re.sub(r"\\\n\s*", "", body).splitlines()
    return [line[2:] for line in lines if line.startswith("$ ")]


def run(command: list[str] | str, folder: Path, *, shell: bool) -> None:
    scripts = str(Path(sys.executable).parent)
    done = subprocess.run(
        command,
        shell=shell,
        cwd=folder,
        env={**os.environ, "PATH": scripts + os.pathsep + os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=500,
    )
    if done.returncode:
        pytest.fail(
            f"{command} exits {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-4000:]}"
        )


@pytest.mark.parametrize("block", blocks(), ids=lambda block: block.place)
def test_block_runs(block: Block, tmp_path: Path) -> None:
    if block.why_not is not None:
        warnings.warn(f"{block.place} did not run: {block.why_not}", stacklevel=1)
        return
    if block.kind == "python":
        script = tmp_path / "example.py"
        script.write_text(block.body)
        run([sys.executable, str(script)], tmp_path, shell=False)
        return
    found = commands(block.body)
    if not found:
        pytest.fail(f"{block.place}: a console block without a command")
    for command in found:
        if not command.startswith("make "):  # the targets are what runs this test
            run(command, tmp_path if command.startswith("ets ") else ROOT, shell=True)


def test_no_block_escapes_the_pattern() -> None:
    for path in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        fences = re.findall(r"^```(\w*)$", path.read_text(), re.MULTILINE)
        kinds = {fence for fence in fences if fence}
        assert kinds <= {"console", "python", "text", "toml", "json"}, f"{path.name}: {kinds}"


def test_every_make_target_in_the_docs_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for block in blocks():
        for command in commands(block.body):
            if command.startswith("make "):
                assert command.split()[1] in targets, f"{block.place}: {command}"
