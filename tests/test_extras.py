"""What the extras bring, missing, broken or newer than tested: fake packages, real imports."""

from __future__ import annotations

import copy
import pickle
import re
import subprocess
import sys
import warnings
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from ets.errors import BrokenExtraError, EngineError, MissingExtraError
from ets.extras import TESTED, needs, warn_if_newer

ROOT = Path(__file__).parents[1]

DEMO = "from ets import demo; policy, prm = str(demo.policy_path()), str(demo.prm_path())\n"
USES = {
    "torch": "import ets.engines.local.torch_loading; ets.engines.local.torch_loading.need_torch()",
    "transformers": "import ets.checkpoint.tokenizer; ets.checkpoint.tokenizer.load_config('x')",
    "safetensors": DEMO + "from ets.prm import load_prm; load_prm('transformers:' + prm)",
    "sentence_transformers": (
        "from ets.embed import load_embedder; load_embedder('sentence-transformers:/x')"
    ),
    "vllm": DEMO + "from ets.policy import load_policy; load_policy('vllm:' + policy)",
    "openai": ("from ets.policy import load_policy; load_policy('openai:m@http://127.0.0.1:9/v1')"),
    "ray": "import ets.ray; ets.ray.RayWorkers(1).start(print)",
    "peft": "from ets.policy.lora import Adapter; Adapter('x', 1).merged(None)",
    "datasets": "from ets.bench.dataset import load_dataset; load_dataset('hf:x/y')",
    "matplotlib": "from ets.report.style import canvas\nwith canvas(1, 1): pass",
    "jinja2": "from ets.report.pages import render; render('tree.html')",
    "filelock": (
        "from pathlib import Path; from ets.bench.run_folder import _alone\n"
        "with _alone(Path('.')): pass"
    ),
    "fastapi": "import ets.serve",
    "uvicorn": "import ets.serve.server",
    "prometheus_client": "import ets.serve.metrics",
    "opentelemetry": "import ets.serve.traces",
    "tomli_w": "from ets.bench.tune import toml_writer; toml_writer()",
}
"""What first imports each of them. It runs in a process of its own."""
EXTRAS = {"vllm": "vllm", "openai": "openai", "ray": "ray", "peft": "lora"} | dict.fromkeys(
    ("torch", "transformers", "safetensors", "sentence_transformers"), "torch"
)
EXTRAS |= dict.fromkeys(("fastapi", "uvicorn", "prometheus_client", "opentelemetry"), "serve")


def run_use(module: str, before: str) -> str:
    """The error of a use, as the command line words it, after `before`."""
    code = (
        f"{before}\n"
        "import ets\n"
        "try:\n"
        + "".join(f"    {line}\n" for line in USES[module].splitlines())
        + "except (ets.errors.MissingExtraError, ets.EngineError) as error:\n"
        "    print(type(error).__name__, error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.strip()


# Where vLLM is there but for its own module, all that it needs is imported first.
SLOW = {"vllm": pytest.mark.rare}


@pytest.mark.parametrize("module", [pytest.param(m, marks=SLOW.get(m, ())) for m in USES])
def test_missing_is_missing(module: str) -> None:
    said = run_use(module, f"import sys; sys.modules[{module!r}] = None")
    extra = EXTRAS.get(module, "bench")
    assert said == (
        f"MissingExtraError the module '{module}' is not installed: "
        f"pip install 'ets-search[{extra}]'"
    )


CAUSES = (
    (
        "raise ImportError('libcudart.so.13: cannot open\\n shared object file')",
        "libcudart.so.13: cannot open shared object file",
    ),
    ("import a_module_that_is_not_there", "No module named 'a_module_that_is_not_there'"),
    ("raise OSError('libcublas.so.12: not found')", "OSError: libcublas.so.12: not found"),
)


@pytest.mark.parametrize(
    ("module", "fails", "cause"),
    [
        pytest.param(module, *CAUSES[i % len(CAUSES)], marks=SLOW.get(module, ()))
        for i, module in enumerate(USES)
    ],
)
def test_broken_is_not_missing(tmp_path: Path, module: str, fails: str, cause: str) -> None:
    (tmp_path / module).mkdir()
    (tmp_path / module / "__init__.py").write_text(fails + "\n")
    said = run_use(module, f"import sys; sys.path.insert(0, {str(tmp_path)!r})")
    assert said == (
        f"BrokenExtraError the module '{module}' is installed but cannot be imported: {cause}"
    )


def fake(folder: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    monkeypatch.syspath_prepend(str(folder))


def test_a_part_that_is_missing_of_a_package_that_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake(tmp_path, monkeypatch, {"halfway_a/__init__.py": ""})
    with (
        pytest.raises(BrokenExtraError, match=r"No module named 'halfway_a\.part'"),
        needs("halfway_a", "bench"),
    ):
        import halfway_a.part  # type: ignore[import-not-found]  # noqa: F401
    assert issubclass(BrokenExtraError, EngineError)  # who catches the one catches the other


def test_a_folder_of_that_name_is_no_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clone beside the script, or what an uninstalled package left behind."""
    fake(tmp_path, monkeypatch, {"leftover_b/kernels.bin": ""})
    with (
        pytest.raises(MissingExtraError, match="'leftover_b' is not installed"),
        needs("leftover_b", "bench"),
    ):
        import leftover_b.part  # type: ignore[import-not-found]  # noqa: F401


def test_a_name_that_only_begins_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake(tmp_path, monkeypatch, {"alike_c.py": "import alike_c_core"})
    with (
        pytest.raises(BrokenExtraError, match="No module named 'alike_c_core'"),
        needs("alike_c", "bench"),
    ):
        import alike_c  # type: ignore[import-not-found]  # noqa: F401


def test_the_reason_behind_the_reason_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Packages that import lazily say little themselves."""
    fake(
        tmp_path,
        monkeypatch,
        {
            "lazy_d.py": (
                "try:\n    raise RuntimeError('operator torchvision::nms does not exist')\n"
                "except RuntimeError as error:\n"
                "    raise ModuleNotFoundError('Could not import AutoModel') from error\n"
            )
        },
    )
    why = r"imported: Could not import AutoModel: RuntimeError: operator torchvision::nms does not"
    with pytest.raises(BrokenExtraError, match=why), needs("lazy_d", "bench"):
        import lazy_d  # type: ignore[import-not-found]  # noqa: F401


def test_a_long_or_an_empty_cause() -> None:
    with pytest.raises(BrokenExtraError) as raised, needs("x", "bench"):
        raise ImportError("y" * 10_000)
    assert len(str(raised.value)) < 400
    with pytest.raises(BrokenExtraError, match=r"imported: ValueError$"), needs("x", "bench"):
        raise ValueError


def test_what_is_no_failure_of_an_import_passes() -> None:
    with pytest.raises(KeyboardInterrupt), needs("x", "bench"):
        raise KeyboardInterrupt


def test_errors_survive_a_process() -> None:
    for error in (MissingExtraError("vllm", "vllm"), BrokenExtraError("why")):
        for again in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
            assert type(again) is type(error)
            assert str(again) == str(error)


def test_an_old_python_is_told_which_one_vllm_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ets.errors.sys", SimpleNamespace(version_info=(3, 10, 12)))
    assert str(MissingExtraError("vllm", "vllm")) == (
        "the module 'vllm' is not installed: it needs Python 3.11 or newer, this is 3.10; "
        "there, pip install 'ets-search[vllm]'"
    )
    assert "3.11" not in str(MissingExtraError("torch", "torch"))


@pytest.mark.parametrize(
    ("version", "tested", "is_newer"),
    [
        ("5.24.9", "5.24", False),
        ("5.25.0", "5.24", True),
        ("6.0.0.dev0", "5.24", True),
        ("2.15.1+cpu", "2.15", False),
        ("2.9.1", "2.15", False),
        ("3.99.0", "3", False),
        ("4.0.0", "3", True),
        ("0.34.0rc1", "0.33", True),
        ("None", "0.33", False),
        ("dev", "0.33", False),
    ],
)
def test_only_what_is_newer_than_tested_is_warned_of(
    version: str, tested: str, is_newer: bool
) -> None:
    warn_if_newer.cache_clear()
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        warn_if_newer("lib", version, tested)
        warn_if_newer("lib", version, tested)
    assert len(shown) == is_newer  # and that once
    if is_newer:
        assert f"lib {version} is newer" in str(shown[0].message)
        assert f"lib {tested}:" in str(shown[0].message)


def test_an_import_warns_once_whatever_libraries_do_to_the_filters(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module = ModuleType("vllm")
    module.__version__ = "99.1"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "vllm", module)
    warn_if_newer.cache_clear()
    with warnings.catch_warnings(record=True) as shown:
        for _ in range(3):
            warnings.simplefilter("always")
            with needs("vllm", "vllm"):
                import vllm  # noqa: F401
    assert [str(w.message)[:23] for w in shown] == ["vllm 99.1 is newer than"]


def test_pyproject_ends_at_what_is_tested() -> None:
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    for name, tested in TESTED.items():
        numbers = [int(number) for number in tested.split(".")]
        numbers[-1] += 1
        end = ".".join(map(str, numbers))
        asked = re.findall(rf'^    "{name}(?:\[\w+\])?>=[\d.]+,<([\d.]+)[";]', text, re.MULTILINE)
        assert set(asked) == {end}, f"pyproject.toml must ask for {name}<{end}, tested is {tested}"
