"""A server whose engine is killed amid requests, and whoever starts it again."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="the extra 'serve' is not installed")
pytest.importorskip("httpx", reason="httpx is not installed (the extra 'openai' brings it)")
import httpx

from ets import demo
from on_vllm import remove_log
from served import asked
from test_docs import commands
from vllm_server import _free_port

pytestmark = [pytest.mark.vllm, pytest.mark.rare]
PAGE = (Path(__file__).parents[1] / "docs" / "serve.md").read_text("utf-8")
PATIENCE = 300.0
AT_ONCE = 32


def loop_of_the_page(port: int) -> str:
    """The page's loop, around a server of the bundled policy on vLLM."""
    (block,) = [
        body
        for body in re.findall(r"^```console\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
        if "until ets serve" in body
    ]
    (line,) = commands(block)
    policy = f"vllm:{demo.policy_path()}?gpu_memory_utilization=0.2"
    ets = shlex.join([sys.executable, "-m", "ets"])
    serve = f"{ets} serve --policy {shlex.quote(policy)} --prm demo --port {port} --width 16"
    return line.replace("ets serve --config serve.toml", serve)


@contextmanager
def supervised(port: int, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A shell with the page's loop, and all that it starts, until the end of the block."""
    with log.open("wb") as output:
        shell = subprocess.Popen(
            ["bash", "-c", loop_of_the_page(port)],
            env={**os.environ, "VLLM_CPU_OMP_THREADS_BIND": "nobind"},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield shell
    finally:
        # The shell ends at once, the server when it has put its engine away.
        with suppress(ProcessLookupError):
            os.killpg(shell.pid, signal.SIGTERM)
            shell.wait()
            deadline = time.monotonic() + PATIENCE
            while time.monotonic() < deadline:
                os.killpg(shell.pid, 0)
                time.sleep(0.1)
            os.killpg(shell.pid, signal.SIGKILL)


def engines_of(group: int) -> list[int]:
    """The vLLM engines that processes of a group have started."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            name, _, rest = stat.read_text().partition("(")[2].rpartition(")")
            if name.startswith("VLLM::Engine") and os.getpgid(int(rest.split()[1])) == group:
                found.append(int(stat.parent.name))
    return found


def test_an_engine_is_killed_amid_requests_and_the_server_comes_back(tmp_path: Path) -> None:
    port, log = _free_port(), tmp_path / "log"
    limits = httpx.Limits(max_connections=2 * AT_ONCE)
    with (
        supervised(port, log) as shell,
        httpx.Client(
            base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE, trust_env=False, limits=limits
        ) as client,
        ThreadPoolExecutor(AT_ONCE) as threads,
    ):

        def status() -> str:
            try:
                return str(client.get("/health").json()["status"])
            except httpx.TransportError:
                return "away"

        def wait_until(wanted: str) -> None:
            deadline = time.monotonic() + PATIENCE
            while status() != wanted:
                assert shell.poll() is None, log.read_text(errors="replace")[-4000:]
                assert time.monotonic() < deadline, log.read_text(errors="replace")[-4000:]
                time.sleep(0.2)

        def ask(number: int) -> tuple[httpx.Response, float]:
            problem = str(demo.problems()[number]["problem"])
            answer = client.post("/v1/chat/completions", json=asked(problem))
            return answer, time.monotonic()

        wait_until("ok")
        waiting = [threads.submit(ask, number) for number in range(AT_ONCE)]
        while client.get("/health").json()["in_flight"] < AT_ONCE:
            assert not any(one.done() for one in waiting), "none must be over yet"
        (engine,) = engines_of(shell.pid)
        os.kill(engine, signal.SIGKILL)
        killed = time.monotonic()
        answers = [one.result() for one in waiting]
        for answer, _ in answers:
            assert answer.status_code == 503
            assert answer.json()["error"]["code"] == "engine_lost"
        print(f"{AT_ONCE} errors within {max(at for _, at in answers) - killed:.2f} s")
        wait_until("ok")
        print(f"ready again after {time.monotonic() - killed:.1f} s")
        assert ask(0)[0].status_code == 200
        (other,) = engines_of(shell.pid)
        assert other != engine
        # And one that dies while nobody asks. That the loop starts the server again was seen.
        os.kill(other, signal.SIGKILL)
        deadline = time.monotonic() + PATIENCE
        while log.read_text(errors="replace").count("an engine is lost") < 2:
            assert shell.poll() is None
            assert time.monotonic() < deadline, log.read_text(errors="replace")[-4000:]
            time.sleep(0.2)
    said = log.read_text(errors="replace")
    for words in re.findall(r"an engine is lost: (.*)", said):
        remove_log(words)
    assert said.count("an engine is lost: the vLLM engine of") == 2
