"""Which tests run when: slow and rare ones only where asked for, long files before short ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadFileScheduling

LONGEST = (
    "test_vllm.py",
    "test_docs.py",
    "test_ray.py",
    "test_vllm_parallel.py",
    "test_vllm_workers.py",
    "test_server_docs.py",
    "test_serve_supervised.py",
    "test_pooling_vllm.py",
    "test_vllm_prm_formats.py",
    "test_ray_serve.py",
    "test_ray_bench.py",
    "test_wheel.py",
    "test_bench_kills.py",
    "test_doctor_memory.py",
    "test_extras.py",
    "test_source.py",
    "test_thinking.py",
    "test_vllm_lost.py",
    "test_worker_processes.py",
    "test_site.py",
    "test_content.py",
    "test_llamacpp.py",
    "test_cli_terminal.py",
    "test_cli.py",
    "test_bundled_engine.py",
    "test_demo_checker.py",
    "test_end_to_end.py",
    "test_report.py",
    "test_lora.py",
    "test_bench_replay.py",
    "test_pruner_promises.py",
    "test_prm_head.py",
    "test_select_masses.py",
    "test_serve_clients.py",
)
"""Files of half a minute and more; one of them at the end would leave the other workers idle."""
SHARING = (
    *("test_vllm.py", "test_vllm_kv.py", "test_memory.py", "test_vllm_embed.py"),
    *("test_openai_vllm.py", "test_chat_servers.py"),
    *("test_vllm_certainty.py", "test_vllm_generative.py"),
)
"""Files whose tests share the engines of `vllm_pair` or `tiny_server`: on one worker they start
once."""
_LEFT_OUT = pytest.StashKey[int]()


class Schedule(LoadFileScheduling):
    """A file is the work of one worker, and so are those that share engines."""

    def _split_scope(self, nodeid: str) -> str:
        file: str = super()._split_scope(nodeid)
        return "shared engines" if Path(file).name in SHARING else file


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--quick", action="store_true", help="leave out the tests marked slow or rare")
    parser.addoption("--usual", action="store_true", help="leave out the tests marked rare")


def pytest_configure(config: pytest.Config) -> None:
    for marker in (
        "slow: starts a vLLM engine or server of its own, installs a wheel, or tries more cases",
        "rare: starts several of them for what changes seldom, or tries very many cases",
    ):
        config.addinivalue_line("markers", marker)
    config.stash[_LEFT_OUT] = 0
    if config.pluginmanager.hasplugin("xdist"):
        config.option.loadscopereorder = False  # by number of tests, which says little of time


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Schedule | None:
    return Schedule(config, log) if config.option.dist == "loadfile" else None


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The long files first, then as they were."""
    ranks = {name: rank for rank, name in enumerate(LONGEST)}
    items.sort(key=lambda item: ranks.get(item.path.name, len(ranks)))
    option = config.option
    unwanted = {"slow", "rare"} if option.quick else {"rare"} if option.usual else set()
    left_out = [item for item in items if unwanted & {mark.name for mark in item.iter_markers()}]
    if left_out:
        gone = set(left_out)
        items[:] = [item for item in items if item not in gone]
        config.hook.pytest_deselected(items=left_out)
        config.stash[_LEFT_OUT] = len(left_out)


def pytest_sessionfinish(session: pytest.Session) -> None:
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["left out"] = session.config.stash[_LEFT_OUT]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    """A worker has collected what all have."""
    left_out = getattr(node, "workeroutput", {}).get("left out", 0)
    node.config.stash[_LEFT_OUT] = max(left_out, node.config.stash[_LEFT_OUT])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    number = terminalreporter.config.stash[_LEFT_OUT]
    if number:
        terminalreporter.section("left out")
        terminalreporter.line(f"{number} slow tests did not run: `make test-all` runs them")
