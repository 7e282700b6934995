"""Which package may import which, and which may await: as CONTRIBUTING.md has it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "python" / "ets"
FILES = {
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}
ROW = re.compile(r"^\| ((?:`[\w/.]+`(?:, )?)+) \| ([^|]+?) \| (yes|no) \|$", re.M)


def floors() -> list[tuple[tuple[str, ...], bool]]:
    """The rows of the page, from the top down: packages and modules, and whether they await."""
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    return [
        (tuple(re.findall(r"`([\w/.]+)`", names)), awaits == "yes")
        for names, _, awaits in ROW.findall(text)
    ]


def room_of(module: str) -> str:
    """The package or module right below `ets` that a module is in; `ets` for the face."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else parts[0]


def imported(path: Path) -> Iterator[str]:
    """The modules of ours that a file imports, inside functions too."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "ets":
            for name in node.names:
                inner = f"{node.module}.{name.name}"
                yield inner if inner in FILES or inner == "ets._core" else str(node.module)
        elif isinstance(node, ast.Import):
            yield from (name.name for name in node.names if name.name.startswith("ets."))


def awaits(path: Path) -> bool:
    """Whether anything in a file waits for something; a protocol's coroutines do not."""
    kinds = (ast.Await, ast.AsyncFor, ast.AsyncWith)
    return any(isinstance(node, kinds) for node in ast.walk(ast.parse(path.read_text("utf-8"))))


def test_every_room_is_on_the_page_once() -> None:
    listed = [name.removesuffix(".py").rstrip("/") for names, _ in floors() for name in names]
    there = {room_of(module) for module in FILES} - {"ets", "__main__"} | {"_core"}
    assert sorted(listed) == sorted(there)


def test_imports_run_down_the_page() -> None:
    floor = {
        name.removesuffix(".py").rstrip("/"): at
        for at, (names, _) in enumerate(floors())
        for name in names
    }
    floor["ets"] = floor["__main__"] = -1
    upward = {
        f"{module} -> {target}"
        for module, path in FILES.items()
        for target in imported(path)
        if room_of(target) != room_of(module) and floor[room_of(target)] <= floor[room_of(module)]
    }
    assert upward == set()


def test_only_those_that_may_await_do() -> None:
    may = {name.rstrip("/") for names, yes in floors() if yes for name in names}
    found = {room_of(module) for module, path in FILES.items() if awaits(path)}
    assert found == may


def test_no_two_files_import_each_other() -> None:
    arrows = {
        module: {target for target in imported(path) if target in FILES and target != module}
        for module, path in FILES.items()
        if path.name != "__init__.py"
    }
    circles = {
        frozenset((module, target))
        for module in arrows
        for target in arrows[module]
        if module in arrows.get(target, ())
    }
    assert circles == set()
