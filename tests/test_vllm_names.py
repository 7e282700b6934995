"""`docs/vllm-names.md` against the code that uses the names, and against the vLLM that is here."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from ets.extras import TESTED
from vllm_names import Row, Sources, every_row, rows

PACKAGE = Path(__file__).parents[1] / "python" / "ets"
MODULES = {str(path.relative_to(PACKAGE)): path for path in sorted(PACKAGE.rglob("*.py"))}
ON_VLLM = [*(name for name in MODULES if "vllm" in name), "memory/engine_shares.py"]
HELD = re.compile(
    r"(self\._config|config|cache|llm|\(await self\.ready\(\)\)|reply\.output|output|metrics"
    r"|scheduler|iteration|request|current_platform|AsyncLLM|AsyncEngineArgs(\(.*?\))?"
    r"|UsageContext|RequestOutputKind)((\.\w+)+)"
)
"""What holds an object of vLLM in those files, and what is reached on it."""
NOT_VLLM_S = {
    "argv",  # of a thread's own variables
    "cancel",  # of an asyncio task
    "engine",  # of a policy, PRM or embedder of ours
    "float",  # of a tensor
    "max_position_embeddings",  # of a configuration of transformers
    "prompt",  # of a policy
}


def parsed(file: str) -> ast.Module:
    return ast.parse(MODULES[file].read_text("utf-8"))


def imported(file: str) -> Iterator[str]:
    """What a file imports of vLLM, as the page writes it; `import vllm` alone is no name."""
    for node in ast.walk(parsed(file)):
        if isinstance(node, ast.ImportFrom):
            names = [f"{node.module}:{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        yield from (name for name in names if re.match(r"vllm[.:]", name))


def reached(file: str) -> Iterator[str]:
    """What a file reaches on objects of vLLM: attributes, and what it asks `getattr` for."""
    for node in ast.walk(parsed(file)):
        if isinstance(node, ast.Attribute):
            if found := HELD.fullmatch(ast.unparse(node)):
                yield from found[3].removeprefix(".").split(".")
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == "getattr":
            yield ast.literal_eval(node.args[1])


def said(file: str) -> set[str]:
    """Every identifier of a file, and every string."""
    found: set[str] = set()
    for node in ast.walk(parsed(file)):
        words = [getattr(node, field, None) for field in ("attr", "arg", "name", "id", "value")]
        found |= {word for word in words if isinstance(word, str)}
    return found


def listed(found: list[Row]) -> set[tuple[str, str]]:
    """The words of rows, each with the files that use it."""
    return {(word, file) for row in found for file in row.files for word in row.words}


def test_every_import_is_on_the_page_and_every_line_is_an_import() -> None:
    code = {(name, file) for file in MODULES for name in imported(file)}
    page = {(row.name, file) for row in rows("Imported") for file in row.files}
    by_getattr = {("vllm:__version__", "engines/vllm/options.py")}
    assert code - page == set(), "docs/vllm-names.md must list what the code imports"
    assert page - code == by_getattr, "docs/vllm-names.md lists what no code imports"


def test_what_is_reached_on_an_object_of_vllm_is_on_the_page() -> None:
    code = {(name, file) for file in ON_VLLM for name in reached(file)}
    assert len(code) > 50, "the scan must find what holds objects of vLLM"
    lacking = {(name, file) for name, file in code - listed(every_row()) if name not in NOT_VLLM_S}
    assert lacking == set(), "docs/vllm-names.md must list what the code reaches"
    assert {name for name, _ in code} >= NOT_VLLM_S, "an exception that is none any more"


def test_every_variable_of_the_environment_is_on_the_page() -> None:
    code = {(word, file) for file in MODULES for word in said(file) if re.match("VLLM_[A-Z]", word)}
    assert len(code) > 10
    assert code - listed(every_row()) == set(), "docs/vllm-names.md must list what the code sets"


def test_the_page_lists_nothing_that_no_code_uses() -> None:
    named = [row for row in every_row() if row.where is None or row.name.isupper()]
    assert len(named) > 90
    unused = [
        (row.name, file) for row in named for file in row.files if row.words[-1] not in said(file)
    ]
    # An import of a module alone says the whole of its name.
    assert unused == [("vllm.pooling_params", "engines/vllm/options.py")]


def test_the_page_speaks_of_the_newest_version_tested() -> None:
    for row in every_row():
        newest = list(row.versions)[-1]
        assert newest.startswith(f"{TESTED['vllm']}."), "TESTED of ets.extras is the newest one"


@pytest.fixture(scope="module")
def sources() -> Sources:
    """The vLLM that is installed; nothing of it is imported."""
    spec = find_spec("vllm")
    assert spec is not None
    assert spec.origin is not None
    return Sources(Path(spec.origin).parent)


@pytest.mark.vllm
def test_this_vllm_has_every_name(sources: Sources) -> None:
    version = re.search(
        r"^__version__ = .*'(.+)'", (sources.folder / "_version.py").read_text(), re.M
    )
    assert version is not None
    lacking = [row.name for row in every_row() if not sources.has(row)]
    assert lacking == [], f"vLLM {version[1]} does not have them"
    stated = [row.name for row in every_row() if not row.versions.get(version[1], True)]
    assert stated == [], f"docs/vllm-names.md says no of them for {version[1]}"


@pytest.mark.vllm
@pytest.mark.parametrize(
    "name",
    [
        "vllm.nowhere",
        "vllm.nowhere:AsyncLLM",
        "vllm.v1.engine.async_llm:AsyncLLMs",
        "vllm.v1.engine.async_llm:AsyncLLM.output_processors",
        "vllm.v1.engine.async_llm:AsyncLLM.generate(request_ids)",
        "vllm.pooling_params:PoolingParams(tasks)",
    ],
)
def test_a_name_that_there_is_not_is_missed(sources: Sources, name: str) -> None:
    assert not sources.has(Row(name, (), {}))


@pytest.mark.vllm
def test_what_is_imported_can_be() -> None:
    exported = importlib.import_module("vllm").__all__
    for row in rows("Imported"):
        module, _, name = row.name.partition(":")
        assert hasattr(importlib.import_module(module), name or "__name__"), row.name
        assert row.is_public == (name in exported), f"{row.name}: exported by vllm or not?"
