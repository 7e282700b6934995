"""The vLLM servers of docs/servers.md, started by the very commands there, on the CPU."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.request import ProxyHandler, build_opener

import pytest

from ets import demo
from test_docs import commands
from vllm_server import _free_port

pytest.importorskip("openai", reason="openai is not installed (the extra 'openai' brings it)")
pytestmark = pytest.mark.vllm

PAGE = (Path(__file__).parents[1] / "docs" / "servers.md").read_text("utf-8")
SECTION = PAGE.partition("## A policy on a server\n")[2].partition("\n## ")[0]
POLICY, PRM = "Qwen/Qwen2.5-Math-1.5B-Instruct", "Qwen/Qwen2.5-Math-PRM-7B"
TAG = """ --pooler-config '{"tok_pooling_type": "STEP", "step_tag_id": 4}'"""
"""What the page says of a PRM whose step tag is another than Qwen's."""


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```$", SECTION, re.MULTILINE | re.DOTALL)


def for_the_pair(text: str, ports: dict[str, int]) -> str:
    """The same with the bundled pair in place of Qwen's models, at ports that are free."""
    text = text.replace(POLICY, str(demo.policy_path())).replace(PRM, str(demo.prm_path()))
    for port, free in ports.items():
        text = text.replace(port, str(free))
    return text


@contextmanager
def started(command: str, port: int, log: Path) -> Iterator[None]:
    """A server that answers, from its command until the end of the block."""
    words = shlex.split(command)
    given = dict(word.split("=", 1) for word in words if re.match(r"[A-Z_]+=", word))
    run = [sys.executable, *words[words.index("python") + 1 :]]
    # Beside the command's own settings, only what lets it share its cores with the tests.
    shared = {"OMP_WAIT_POLICY": "PASSIVE", "VLLM_CPU_OMP_THREADS_BIND": "nobind"}
    with log.open("wb") as output:
        process = subprocess.Popen(
            run,
            env={**os.environ, **shared, "HF_HUB_OFFLINE": "1", **given},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        while not answers(port):
            assert process.poll() is None, log.read_text(errors="replace")[-4000:]
            time.sleep(0.5)  # the test's own time-out ends this
        yield
    finally:
        process.terminate()
        try:
            process.wait(60)
        finally:
            with suppress(ProcessLookupError):  # it may have taken its children along
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def answers(port: int) -> bool:
    try:
        with build_opener(ProxyHandler({})).open(f"http://127.0.0.1:{port}/health", timeout=10):
            return True
    except OSError:  # of which urllib's errors are a kind
        return False


@pytest.mark.rare
def test_the_commands_for_a_cpu_serve_the_search_of_the_page(tmp_path: Path) -> None:
    ports = {"8000": _free_port(), "8001": _free_port()}
    (on_cpu,) = [block for block in blocks("console") if "VLLM_CPU" in block]
    policy, prm = (for_the_pair(command, ports) for command in commands(on_cpu))
    (program,) = blocks("python")
    problem = demo.problems()[2]
    question = re.search(r'solve\("(.*?)"\)', program)
    assert question is not None
    program = for_the_pair(program, ports).replace(question[1], str(problem["problem"]))
    with (
        started(policy, ports["8000"], tmp_path / "policy"),
        started(prm + TAG, ports["8001"], tmp_path / "prm"),
    ):
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=False
        )
    assert done.returncode == 0, done.stderr[-4000:]
    assert re.fullmatch(r"-?\d+", done.stdout.strip())


def test_two_servers_on_a_gpu_share_its_memory() -> None:
    (on_gpu, *_) = blocks("console")
    shares = re.findall(r"--gpu-memory-utilization (\S+)", on_gpu)
    assert len(commands(on_gpu)) == len(shares) == 2
    assert sum(map(float, shares)) <= 0.95
