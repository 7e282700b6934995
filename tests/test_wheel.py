"""The wheel as a user installs it: built, installed into a clean environment, used there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow  # they need the wheel that `make test-all` builds
ROOT = Path(__file__).parents[1]
BASE_USE = """
import sys
import numpy as np
import ets
import ets.demo

weights = ets.rebase_weights(np.array([0.9, 0.5, 0.1]), 16)
assert weights.sum() == 16, weights
kept = ets.select_leaves(
    np.array([-1, 0, 0]), np.array([1, 2]), np.array([3.0, 1.0]), lambda_b=1.0
)
assert kept.optimal, kept
with ets.Search(strategy=ets.REBASE(width=4)) as search:
    result = search.solve(ets.demo.problems()[0]["problem"])
assert result.answer == str(ets.demo.problems()[0]["answer"]), result
assert "torch" not in sys.modules
try:
    ets.Search(policy="demo?backend=transformers")
except ets.errors.MissingExtraError as error:
    print(error)
"""


def wheel() -> Path:
    found = sorted((ROOT / "dist").glob("ets_search-*.whl"))
    if len(found) != 1:
        pytest.fail(f"dist/ must hold the one wheel that `make wheel` builds, found {found}")
    return found[0]


def run(*command: str | Path, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(command, capture_output=True, text=True, env=env, timeout=500)
    assert done.returncode == 0, f"{command}:\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel and its base dependencies only."""
    uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv")
    if uv is None:
        pytest.fail("uv is not installed beside the interpreter that runs the tests")
    home = tmp_path_factory.mktemp("clean") / "env"
    run(uv, "venv", "--quiet", "--python", sys.executable, home)
    run(uv, "pip", "install", "--quiet", "--python", home / "bin" / "python", wheel())
    return home


def test_wheel_holds_the_bundled_pair_and_the_stub() -> None:
    names = set(zipfile.ZipFile(wheel()).namelist())
    for part in ("policy", "prm"):
        for file in ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"):
            assert f"ets/demo/{part}/{file}" in names
    assert {"ets/_core.pyi", "ets/py.typed", "ets/demo/test.jsonl"} <= names
    for folder in ("tree_page", "serve/assets"):
        files = [file.name for file in (ROOT / "python" / "ets" / folder).glob("*.[hcj]*")]
        assert len(files) >= 5
        assert {f"ets/{folder}/{file}" for file in files} <= names
    assert any(name.startswith("ets/_core") and name.endswith(".so") for name in names)


def test_wheel_serves_every_python_from_3_10() -> None:
    assert "-cp310-abi3-" in wheel().name


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a glibc")
def test_wheel_runs_on_old_linux() -> None:
    """RHEL 7 has glibc 2.17; Debian 11, Ubuntu 20.04 and RHEL 8 are newer."""
    assert "manylinux_2_17" in wheel().name
    with zipfile.ZipFile(wheel()) as archive:
        [extension] = [name for name in archive.namelist() if name.endswith(".so")]
        needed = re.findall(rb"\0GLIBC_(\d+)\.(\d+)", archive.read(extension))
    assert needed
    assert max((int(major), int(minor)) for major, minor in needed) <= (2, 17)


def test_base_install_searches_and_names_the_missing_extra(clean: Path) -> None:
    outside = {**os.environ, "PYTHONPATH": ""}
    said = run(clean / "bin" / "python", "-I", "-c", BASE_USE, env=outside)
    assert "ets-search[torch]" in said


def test_command_line_without_torch(clean: Path) -> None:
    assert run(clean / "bin" / "ets", "--version").strip()
    assert "kept" in run(clean / "bin" / "ets", "demo")
    name = "demo?backend=transformers"
    done = subprocess.run(
        [clean / "bin" / "ets", "solve", "What?", "--policy", name, "--prm", name],
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 2
    assert done.stderr.strip().count("\n") == 0, done.stderr
    assert "ets-search[torch]" in done.stderr


def test_installed_with_torch_it_searches(clean: Path) -> None:
    uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or "uv"
    python = clean / "bin" / "python"
    run(
        uv,
        "pip",
        "install",
        "--quiet",
        "--python",
        python,
        f"ets-search[torch] @ {wheel().as_uri()}",
    )
    problem = "import ets.demo; print(ets.demo.problems()[0]['problem'])"
    said = run(
        *(clean / "bin" / "ets", "solve", run(python, "-I", "-c", problem).strip(), "--json"),
        *("--policy", "demo?backend=transformers", "--prm", "demo?backend=transformers"),
    )
    assert '"answer"' in said
