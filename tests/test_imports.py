"""What a process imports: of what is installed, only what it needs."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

import ets

_EXTRAS = (
    *("torch", "transformers", "tokenizers", "sentencepiece", "safetensors", "peft", "vllm"),
    *("sentence_transformers", "openai", "aiohttp", "httpx", "datasets", "pyarrow", "tomli_w"),
    *("ray", "matplotlib", "jinja2", "scipy", "sklearn", "pandas", "highspy", "pulp"),
)
"""What optional features need, and what that brings."""
_TO_SEARCH = ("mpmath", "threadpoolctl")
"""What the base install has for searches and answers."""
_TO_VERIFY = ("math_verify", "sympy", "antlr4")
"""These are for a process of their own."""


def tops_after(code: str, folder: Path) -> set[str]:
    """The packages that a program has loaded when it ends, by their top-level names."""
    listed = folder / "loaded.json"
    program = (
        "import atexit, json, pathlib, sys\n"
        "def tops(): return sorted({name.partition('.')[0] for name in sys.modules})\n"
        f"atexit.register(lambda: pathlib.Path({str(listed)!r}).write_text(json.dumps(tops())))\n"
        f"{code}\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(listed.read_text()))


def test_the_package_loads_numpy_and_nothing_else_that_is_installed(tmp_path: Path) -> None:
    numpy = tops_after("import numpy, numpy.typing", tmp_path)
    loaded = tops_after("import ets", tmp_path)
    assert "ets" in loaded
    assert loaded - numpy - sys.stdlib_module_names == {"ets"}


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["--version"],
        *([command, "--help"] for command in ("solve", "demo", "bench", "tune", "report")),
        ["presets"],
        ["solve", "Tom has 2 apples and gets 3. How many?", "--width", "2"],
        ["demo", "--width", "2"],
        ["bench", "run", "--problems", "1", "--widths", "2", "--strategies", "rebase"],
    ],
    ids=" ".join,
)
def test_a_command_loads_what_it_needs(words: list[str], tmp_path: Path) -> None:
    code = f"import sys\nsys.argv = ['ets', *{words!r}]\nfrom ets.cli.main import main\nmain()"
    loaded = tops_after(code, tmp_path)
    assert "typer" in loaded
    assert not loaded & {*_EXTRAS, *_TO_VERIFY}
    if not {"--width", "--widths"} & set(words):
        assert not loaded & set(_TO_SEARCH)


def test_the_version_is_that_of_the_distribution() -> None:
    assert ets.__version__ == metadata.version("ets-search")
