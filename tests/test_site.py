"""The site: `make docs` with every warning an error, so that links, anchors and the notebook hold.

It is built here, once, since building it runs the notebook and so needs the package as tests do.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
import zlib
from pathlib import Path
from types import ModuleType

import pytest

import ets
import ets.engines
import ets.errors
import ets.ray
import ets.tree_search
from test_docs import resolve

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
pytest.importorskip("mkdocs", reason="mkdocs is not installed (the extra 'docs' brings it)")


def build(config: Path, site: Path, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "-f", str(config), "-d", str(site)],
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1", **env},
        capture_output=True,
        text=True,
        timeout=500,
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = build(ROOT / "mkdocs.yml", folder, REPOSITORY_URL="https://code.example/ets-search")
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert "WARNING" not in said  # of the notebook's kernel too, which `strict` does not count
    return folder


def inventory(site: Path) -> dict[str, str]:
    """The names that the API reference documents, and what each is."""
    packed = (site / "objects.inv").read_bytes().split(b"\n", 4)[4]
    entries = (line.split() for line in zlib.decompress(packed).decode().splitlines())
    return {name: kind.removeprefix("py:") for name, kind, *_ in entries if "py:" in kind}


def test_the_reference_has_every_public_name(site: Path) -> None:
    """By its name there, or by another name of the same thing."""
    documented = inventory(site)
    things = [resolve(name) for name, kind in documented.items() if kind in ("class", "function")]
    for module in (ets, ets.engines, ets.ray, ets.tree_search, ets.errors):
        for name in module.__all__:
            if name[0] != "_" and f"{module.__name__}.{name}" not in documented:
                found = getattr(module, name)
                assert any(found is thing for thing in things), f"{module.__name__}.{name}"


def test_the_reference_has_the_docstrings_of_the_extension(site: Path) -> None:
    page = (site / "api" / "pruner.html").read_text("utf-8")
    assert "Choose the leaves that are worth their KV cache." in page
    assert re.search(r"<code>node_tokens</code>\s*</td>\s*<td>\s*<code>.*?int64", page, re.S)


def test_the_notebook_is_shown_with_its_outputs(site: Path) -> None:
    page = (site / "notebook.html").read_text("utf-8")
    assert re.search(r"61 with \d+% of the votes", page)
    assert "<iframe" in page  # the tree


def test_the_notebook_is_kept_without_outputs() -> None:
    for path in DOCS.glob("*.ipynb"):
        for cell in json.loads(path.read_text("utf-8"))["cells"]:
            assert not cell.get("outputs"), f"{path.name}: clear all outputs; the site makes them"
            assert cell.get("execution_count") is None, path.name


def test_files_of_the_repository_are_linked_where_it_lies(site: Path) -> None:
    page = (site / "reasoning.html").read_text("utf-8")
    assert 'href="https://code.example/ets-search/blob/HEAD/tests/test_thinking.py"' in page


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[there](nowhere.md)", "nowhere.md"),
        ("[there](#nowhere)", "#nowhere"),
        ("[there](other.md#nowhere)", "does not contain an anchor"),
        ("[there](../nowhere.py)", "../nowhere.py"),
        ("![there](nowhere.png)", "nowhere.png"),
    ],
)
def test_a_link_into_nothing_is_an_error(tmp_path: Path, text: str, complaint: str) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "index.md").write_text(f"# Home\n\n[other](other.md#words)\n\n{text}\n")
    (tmp_path / "docs" / "other.md").write_text("# Other\n\n## Words\n")
    ours = (ROOT / "mkdocs.yml").read_text("utf-8")
    kept = [part for part in re.split(r"\n(?=\w)", ours) if part.startswith(("strict", "valid"))]
    hooks = f"hooks: [{DOCS / 'tools' / 'hooks.py'}]"
    config = tmp_path / "mkdocs.yml"
    config.write_text("\n".join(["site_name: small", hooks, "plugins: []", *kept]))
    done = build(config, tmp_path / "site")
    assert done.returncode != 0
    assert complaint in done.stdout + done.stderr


# -- the pictures of concepts.md -------------------------------------------------------------------


@pytest.fixture(scope="module")
def draw_step() -> ModuleType:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    spec = importlib.util.spec_from_file_location("draw_step", DOCS / "tools" / "draw_step.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["draw_step"] = module
    spec.loader.exec_module(module)
    return module


def test_the_numbers_of_the_page_are_those_of_the_search(
    draw_step: ModuleType, tmp_path: Path
) -> None:
    step = draw_step.search()
    page = (DOCS / "concepts.md").read_text("utf-8")
    for line in draw_step.tables(step).splitlines():
        assert line in page
    kv = step.result.kv[draw_step.DEPTH]
    assert f"{kv.kv_after} of {kv.kv_before} tokens stay" in page
    assert f"would have kept {kv.kv_rebase}" in page
    assert step.objective(step.chosen) == pytest.approx((0.875, 1.5, 10 / 14))
    for draw in (
        draw_step.picture_of_candidates,
        draw_step.picture_of_worth,
        draw_step.picture_of_selection,
        draw_step.picture_of_search,
    ):
        draw(step, tmp_path / "picture.png")
        assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")


def test_no_other_choice_is_worth_as_much(draw_step: ModuleType) -> None:
    """The page says that the pruner's is the best of 255 sets."""
    import itertools

    import numpy as np

    step = draw_step.search()

    def worth(keep: object) -> float:
        share, covered, price = step.objective(keep)
        return float(share + covered - price)

    sets = [np.array(keep) for keep in itertools.product((False, True), repeat=len(step.leaves))]
    worths = [worth(keep) for keep in sets if keep.any()]
    assert len(worths) == 255
    assert max(worths) == pytest.approx(worth(step.chosen), abs=1e-12)
