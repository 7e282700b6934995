"""The names of vLLM that `docs/vllm-names.md` lists, looked up in a version's Python sources.

Reading the sources needs no import, so a version that cannot run here can be asked too.

    pip download --no-deps vllm==0.33.0 -d build && unzip build/vllm-*.whl 'vllm/*.py' -d build
    python tests/vllm_names.py build/vllm        # prints the names that are not there
"""

from __future__ import annotations

import ast
import functools
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).resolve().parents[1] / "docs" / "vllm-names.md"
_NAME = re.compile(r"(vllm[\w.]*)(?::(\w+)(?:\.(\w+))?(?:\((\w+)\))?)?")
"""`module`, `module:NAME` or `module:Class.member`, the last two perhaps with a `(parameter)`."""


@dataclass(frozen=True, slots=True)
class Row:
    """A line of one of the page's tables."""

    name: str
    files: tuple[str, ...]
    """Of `python/ets`, those that use it."""
    versions: dict[str, bool]
    """Whether a version has it."""
    where: str | None = None
    """Of a text, the file of vLLM that holds it."""
    is_public: bool = False

    @property
    def words(self) -> list[str]:
        """The names in it, the one that is meant last."""
        return re.findall(r"\w+", self.name.rpartition(":")[2])


def rows(heading: str) -> list[Row]:
    """The table under a heading of the page."""
    text = PAGE.read_text("utf-8").partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    head, _, *lines = (_cells(line) for line in text.splitlines() if line.startswith("|"))
    return [_row(dict(zip(head, cells, strict=True))) for cells in lines]


def _cells(line: str) -> list[str]:
    return [cell.strip().replace("`", "") for cell in line.strip("|").split("|")]


def _row(cells: dict[str, str]) -> Row:
    answers = {"yes": True, "no": False}
    return Row(
        name=cells["name"],
        files=tuple(cells["used in"].split(", ")),
        versions={k: answers[v] for k, v in cells.items() if re.fullmatch(r"[\d.]+", k)},
        where=cells.get("file of vLLM"),
        is_public=cells.get("exported by vllm") == "yes",
    )


def every_row() -> list[Row]:
    """Those of all tables."""
    return [*rows("Imported"), *rows("Reached on its objects"), *rows("Environment and texts")]


@dataclass(frozen=True, slots=True)
class Sources:
    """A version of vLLM: the folder `vllm` of its Python files."""

    folder: Path

    def has(self, row: Row) -> bool:
        """Whether the version has what a row names."""
        if row.where is not None:
            file = self.folder / row.where
            return file.exists() and row.name in file.read_text("utf-8")
        found = _NAME.fullmatch(row.name)
        if found is None:
            raise ValueError(f"{row.name!r} must be written module:Name.member(parameter)")
        module, name, member, parameter = found.groups()
        if name is None:
            return self._file(module).exists()
        nodes = list(self._members(module, name, member) if member else self._tops(module, name))
        return bool(nodes) and (parameter is None or any(_takes(n, parameter) for n in nodes))

    def _members(self, module: str, name: str, member: str) -> Iterator[ast.AST]:
        """What a class, or one that it inherits from, calls `member`."""
        for made in self._tops(module, name):
            if isinstance(made, ast.ImportFrom):
                yield from self._members(str(made.module), name, member)
            if not isinstance(made, ast.ClassDef):
                continue
            for node in ast.walk(made):
                own = isinstance(node, ast.Attribute) and ast.unparse(node.value) == "self"
                if own and member == getattr(node, "attr", None):
                    yield node
            yield from (node for node in made.body if member in _names(node))
            for base in made.bases:
                yield from self._members(module, ast.unparse(base), member)

    def _tops(self, module: str, name: str) -> list[ast.AST]:
        """What a module calls `name`, but in its functions and classes."""
        file = self._file(module)
        if not file.exists():
            return []
        return [node for node in _statements(_parsed(file).body) if name in _names(node)]

    def _file(self, module: str) -> Path:
        path = self.folder.joinpath(*module.split(".")[1:])
        return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


@functools.cache
def _parsed(file: Path) -> ast.Module:
    return ast.parse(file.read_text("utf-8"))


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    for node in body:
        yield node
        if isinstance(node, (ast.If, ast.Try)):
            yield from _statements([*node.body, *node.orelse])


def _names(node: ast.AST) -> set[str]:
    """The names that a statement makes."""
    if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
        return {node.name}
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        return {alias.asname or alias.name for alias in node.names}
    targets = getattr(node, "targets", [getattr(node, "target", None)])
    return {target.id for target in targets if isinstance(target, ast.Name)}


def _takes(node: ast.AST, parameter: str) -> bool:
    """Whether a function has a parameter, or a class whose fields are its parameters."""
    if isinstance(node, ast.ClassDef):
        return any(parameter in _names(field) for field in node.body)
    given = getattr(node, "args", None)
    if not isinstance(given, ast.arguments):
        return False
    return any(arg.arg == parameter for arg in [*given.args, *given.kwonlyargs])


if __name__ == "__main__":
    asked = Sources(Path(sys.argv[1]))
    lacking = [row.name for row in every_row() if not asked.has(row)]
    print(f"{len(every_row())} names, {len(lacking)} are not in {asked.folder}", *lacking, sep="\n")
