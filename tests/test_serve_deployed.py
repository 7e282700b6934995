"""What docs/serve.md says of production: a real nginx in front, the unit, the container file."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="the extra 'serve' is not installed")
pytest.importorskip("httpx", reason="httpx is not installed (the extra 'openai' brings it)")
import httpx

from ets.serve.settings import Settings
from ets.step import Prefix, Step
from served import PATIENCE, Running, asked, content_of, events_of, served, until
from test_docs import ROOT, check_arguments
from test_serve_hostile import Held
from vllm_server import _free_port

PAGE = (ROOT / "docs" / "serve.md").read_text("utf-8")
NGINX = shutil.which("nginx", path=os.pathsep.join((os.environ["PATH"], "/usr/sbin")))
ANALYZE = shutil.which("systemd-analyze")


def block(begin: str) -> str:
    (found,) = re.findall(rf"^```text\n({re.escape(begin)}.*?)^```$", PAGE, re.M | re.S)
    return str(found)


@dataclass
class Alike(Held):
    """Its first steps are alike and come at once, so that a stream shows them; the rest waits."""

    async def sample(self, prefix: Prefix, *, seed: int, max_tokens: int) -> Step:
        if not prefix.steps:
            return Step("thought 1\n\n", (seed % 97,), "step", 1)
        return await super().sample(prefix, seed=seed, max_tokens=max_tokens)


# -- nginx -----------------------------------------------------------------------------------------


@contextmanager
def behind_nginx(running: Running, folder: Path, locations: str = "") -> Iterator[Running]:
    """The same server at nginx's address, with the page's lines in its configuration."""
    if NGINX is None:
        pytest.skip("nginx is not installed (Debian: nginx)")
    port = _free_port()
    folder.mkdir()
    config = folder / "nginx.conf"
    written = (locations or block("location / {")).replace("http://127.0.0.1:8000", running.url)
    folders = "".join(
        f"    {kind}_temp_path {folder / kind};\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    config.write_text(
        ("user root;\n" if os.getuid() == 0 else "")
        + f"daemon off;\nworker_processes 1;\npid {folder / 'pid'};\nevents {{}}\n"
        + f"http {{\n    access_log off;\n{folders}"
        + f"    server {{\n        listen 127.0.0.1:{port};\n{written}    }}\n}}\n"
    )
    command = [NGINX, "-c", str(config), "-p", str(folder), "-e", str(folder / "errors")]
    process = subprocess.Popen(command, stderr=subprocess.PIPE)
    there = replace(running, url=f"http://127.0.0.1:{port}")
    try:
        until(lambda: process.poll() is not None or _listens(port))
        assert process.poll() is None, process.stderr and process.stderr.read().decode()
        yield there
    finally:
        process.terminate()
        process.communicate(timeout=PATIENCE)


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), PATIENCE).close()
    except ConnectionRefusedError:
        return False
    return True


def test_streams_and_events_pass_nginx_as_they_come(tmp_path: Path) -> None:
    with (
        served(Alike()) as running,
        behind_nginx(running, tmp_path / "nginx") as outside,
        outside.client() as client,
        outside.client() as other,
    ):
        with client.stream("POST", "/v1/chat/completions", json=asked(stream=True)) as streamed:
            assert streamed.headers["content-type"].startswith("text/event-stream")
            assert streamed.headers["cache-control"] == "no-store"
            key = streamed.headers["x-search-id"]
            lines = streamed.iter_lines()
            seen = next(line for line in lines if "thought 1" in line)
            assert "[DONE]" not in seen
            with other.stream("GET", f"/v1/searches/{key}/events") as events:
                names = list(_until(events.iter_lines(), "event: scored"))
                assert names[0] == "event: pruned"
            assert running.service.desk.open, "nothing was buffered until its end"
            running.policy.open = True
            assert list(lines)[-2:] == ["data: [DONE]", ""]
        whole = running.chat("a problem").json()["choices"][0]["message"]["content"]
        assert content_of(outside.chat("a problem", stream=True).text) == whole
        name, _ = events_of(other.get(f"/v1/searches/{key}/events").text)[-1]
        assert name == "answer"


def _until(lines: Iterator[str], wanted: str) -> Iterator[str]:
    for line in lines:
        yield line
        if line == wanted:
            return


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_leaves_nginx_takes_its_search_along(tmp_path: Path, stream: bool) -> None:
    with (
        served(Held()) as running,
        behind_nginx(running, tmp_path / "nginx") as outside,
        outside.client() as client,
        ThreadPoolExecutor(1) as threads,
    ):
        asking = threads.submit(
            lambda: client.post("/v1/chat/completions", json=asked(stream=stream), timeout=1.0)
        )
        until(lambda: running.policy.running == 4)
        assert isinstance(asking.exception(), httpx.TimeoutException)
        running.settled()
        assert running.policy.cancelled == 4
        (search,) = running.service.desk.all
        assert search.state == "cancelled"
        running.policy.open = True
        assert outside.chat().status_code == 200


def test_nginx_waits_as_long_as_a_search_may_take(tmp_path: Path) -> None:
    lines = block("location / {")
    (patience,) = re.findall(r"proxy_read_timeout (\d+)s;", lines)
    assert int(patience) > Settings().max_seconds
    (most,) = re.findall(r"client_max_body_size (\d+)m;", lines)
    assert int(most) << 20 == Settings().max_body_bytes
    short = lines.replace(f"{patience}s", "1s")
    assert short != lines
    with (
        served(Held()) as running,
        behind_nginx(running, tmp_path / "long") as outside,
        behind_nginx(running, tmp_path / "short", short) as hasty,
        ThreadPoolExecutor(1) as threads,
    ):
        waiting = threads.submit(outside.chat)
        assert hasty.chat().status_code == 504  # so it is this line that counts
        running.policy.open = True
        assert waiting.result().status_code == 200


def test_headers_and_refusals_pass_nginx(tmp_path: Path) -> None:
    with (
        served(keys={"ann": "key-a"}) as running,
        behind_nginx(running, tmp_path / "nginx") as outside,
        outside.client() as client,
    ):
        key = {"Authorization": "Bearer key-a"}
        refused = client.get("/v1/models")
        assert refused.status_code == 401
        assert refused.headers["www-authenticate"] == "Bearer"
        assert refused.json()["error"]["code"] == "invalid_api_key"
        answer = client.post("/v1/chat/completions", json=asked(), headers=key)
        path = f"/v1/searches/{answer.headers['x-search-id']}"
        assert client.get(path, headers=key).json()["state"] == "completed"
        assert client.get("/health").json()["status"] == "ok"
        assert client.get("/metrics").status_code == 403
        long = client.post("/v1/chat/completions", content=b"x" * (2 << 20), headers=key)
        assert long.status_code == 413
        running.service.desk.draining = True
        ending = client.post("/v1/chat/completions", json=asked(), headers=key)
        assert (ending.status_code, ending.json()["error"]["code"]) == (503, "shutting_down")
        assert ending.headers["retry-after"] == "5"


def test_the_server_sees_nothing_of_half_a_request(tmp_path: Path) -> None:
    with served() as running, behind_nginx(running, tmp_path / "nginx") as outside:
        port = int(outside.url.rpartition(":")[2])
        until(lambda: not running.server.server_state.connections)
        with socket.create_connection(("127.0.0.1", port), PATIENCE) as slow:
            slow.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n")
            assert outside.chat().status_code == 200  # nginx has read the half meanwhile
            slow.sendall(b'\r\n{"mess')
            assert outside.chat().status_code == 200
            until(lambda: not running.server.server_state.connections)


# -- systemd ---------------------------------------------------------------------------------------


def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    text = block("[Unit]")
    (command,) = re.findall(r"^ExecStart=(.*?[^\\])$", text, re.M | re.S)
    program, *arguments = shlex.split(command.replace("\\\n", ""))
    check_arguments(arguments)
    assert "SuccessExitStatus=143" in text  # tests/test_serve_hostile.py sees it
    if ANALYZE is None:
        pytest.skip("systemd-analyze is not there (Debian: systemd)")
    unit = tmp_path / "ets.service"
    unit.write_text(text.replace(program, str(Path(sys.executable).with_name("ets"))))
    done = subprocess.run(
        [ANALYZE, "verify", str(unit)], capture_output=True, text=True, timeout=PATIENCE
    )
    said = [line for line in done.stderr.splitlines() if unit.name in line]
    assert (done.returncode, said) == (0, [])


# -- the container ---------------------------------------------------------------------------------


def test_the_container_runs_a_command_and_asks_for_health() -> None:
    lines = block("FROM ").splitlines()
    (entry,) = [line for line in lines if line.startswith("ENTRYPOINT ")]
    program, *arguments = json.loads(entry.removeprefix("ENTRYPOINT "))
    assert program == "ets"
    check_arguments(arguments)
    config = arguments[arguments.index("--config") + 1]
    assert f"COPY serve.toml {config}" in lines
    (check,) = [line for line in lines if line.startswith("HEALTHCHECK ")]
    words = shlex.split(check.removeprefix("HEALTHCHECK CMD "))
    assert words[0] == "python"
    environment = {**os.environ, "no_proxy": "127.0.0.1"}
    with served() as running:
        code = [part.replace("http://127.0.0.1:8000", running.url) for part in words[1:]]
        for lost, status in ((None, 0), ("it went", 1)):
            running.service.desk.lost = lost
            done = subprocess.run(
                [sys.executable, *code], capture_output=True, env=environment, timeout=PATIENCE
            )
            assert done.returncode == status
