"""Every command and every Python block in README.md and docs/ runs here, and every name is one.

A fenced `console` block holds commands behind `$ `, then what they print; a fenced `python` block
is a whole program. A block that cannot run here is preceded by `<!-- not run: why -->`: it is
skipped, so that the summary of the test run counts it and repeats the reason. What it names must be
there all the same: modules, functions, files, options of commands.
"""

from __future__ import annotations

import ast
import importlib
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from ets.cli.app import app

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


def pages() -> list[Path]:
    return sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])


def blocks() -> list[Block]:
    found = []
    for path in pages():
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


SLOW = {"docs/bench.md": pytest.mark.slow}
"""Pages whose commands search for a while; tests/test_bench_*.py try the same on smaller ones."""


@pytest.mark.parametrize(
    "block",
    [
        pytest.param(block, id=block.place, marks=SLOW.get(block.place.partition(":")[0], ()))
        for block in blocks()
    ],
)
def test_block_runs(block: Block, tmp_path: Path) -> None:
    if block.why_not is not None:
        pytest.skip(f"{block.place} is not run: {block.why_not}")
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


# -- what is not run is read -----------------------------------------------------------------------


def unrun(kind: str) -> list[Block]:
    return [block for block in blocks() if block.why_not is not None and block.kind == kind]


@pytest.mark.parametrize("block", unrun("console"), ids=lambda block: block.place)
def test_commands_that_are_not_run_are_commands(block: Block) -> None:
    """`ets` takes their options; modules and files of others are there."""
    for command in commands(block.body):
        words = shlex.split(command, comments=True)
        while "=" in words[0]:
            del words[0]
        match words:
            case ["ets", *arguments]:
                check_arguments(arguments)
            case ["python", "-m", module, *_]:
                assert find_spec(module.split(".")[0]) or module.startswith("vllm"), command
            case ["python", file, *_]:
                assert (ROOT / file).is_file(), command
            case [program, *_]:
                assert program in PROGRAMS, command


PROGRAMS = {
    *("pip", "llama-server", "export", "make", "curl", "lm_eval", "opentelemetry-instrument"),
    *("ray", "serve", "helm", "kubectl", "until"),
}
"""Those of others."""


def check_arguments(arguments: list[str]) -> None:
    """Parse them as `ets` does, without running anything."""
    command: Any = get_command(app)
    context = command.context_class(command, info_name="ets")
    while hasattr(command, "resolve_command"):
        name, command, arguments = command.resolve_command(context, arguments)
        context = command.context_class(command, parent=context, info_name=name)
    command.parse_args(context, arguments)


@pytest.mark.parametrize("block", unrun("python"), ids=lambda block: block.place)
def test_programs_that_are_not_run_name_what_is_there(block: Block) -> None:
    tree = ast.parse(block.body)
    for node in ast.walk(tree):
        match node:
            case ast.ImportFrom(module=str(module), names=names):
                for alias in names:
                    resolve(f"{module}.{alias.name}")
            case ast.Import(names=names):
                for alias in names:
                    if alias.name != "ray" or find_spec("ray"):  # tests do without it
                        resolve(alias.name)
            case ast.Attribute(value=ast.Name(id="ets"), attr=name):
                resolve(f"ets.{name}")


# -- names -----------------------------------------------------------------------------------------


def resolve(name: str) -> object:
    """What a dotted name stands for: modules as far as there are any, then attributes."""
    parts = name.split(".")
    for split in range(len(parts), 0, -1):
        try:
            found: object = importlib.import_module(".".join(parts[:split]))
        except ModuleNotFoundError:
            continue
        for part in parts[split:]:
            found = getattr(found, part)
        return found
    raise AttributeError(name)


LOGGERS = {"ets.vllm", "ets.transformers"}
"""Names in the docs that are no modules."""
MADE = {"tests/fuzz/artifacts/select/"}
"""Paths in the docs that a command makes."""


@pytest.mark.parametrize("path", pages(), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_name_in_backticks_is_there(path: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", path.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    for name in sorted(set(re.findall(r"`(ets(?:\.\w+)+)[`(\[]", text)) - LOGGERS):
        resolve(name)
    paths = set(re.findall(r"`((?:python|tests|benches|docs|rust)/[\w./-]+)`", text)) - MADE
    assert [name for name in sorted(paths) if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_links_of_pages_outside_the_site_lead_somewhere(name: str) -> None:
    """Those inside are checked where the site is built (`test_site.py`)."""
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)", read(name)):
        path = ROOT / (target or name)
        assert path.exists(), f"{name} links to {target}"
        if anchor:
            headings = re.findall(r"^#+ (.*)$", path.read_text("utf-8"), re.MULTILINE)
            assert anchor in {slug(heading) for heading in headings}, f"{name}: {target}#{anchor}"


def read(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


def slug(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def test_no_block_escapes_the_pattern() -> None:
    for path in pages():
        fences = re.findall(r"^```(\w*)$", path.read_text("utf-8"), re.MULTILINE)
        kinds = {fence for fence in fences if fence}
        # `yaml` is read by a test of its own.
        assert kinds <= {"console", "python", "text", "toml", "json", "yaml", "dockerfile"}, (
            f"{path.name}: {kinds}"
        )


def test_every_make_target_in_the_docs_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", read("Makefile"), re.MULTILINE))
    for path in pages():
        for target in re.findall(r"(?:`|^\$ )make ([a-z][a-z-]*)", read(str(path)), re.MULTILINE):
            assert target in targets, f"{path.name}: make {target}"
