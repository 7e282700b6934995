"""A real vLLM server in a process of its own, for the time of a `with` block."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.request import ProxyHandler, build_opener

_CONTEXT = 4096
_ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "VLLM_LOGGING_LEVEL": "WARNING",
    "VLLM_NO_USAGE_STATS": "1",
}
_ON_CPU = {
    # A test shares its cores with the server and the server's engine; none may spin or be bound.
    "OMP_WAIT_POLICY": "PASSIVE",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    # On a CPU the engine has its worker in a process of its own otherwise, which imports all again.
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
}
_LAST_LINES = 30


@dataclass(frozen=True, slots=True)
class VLLMServer:
    """A server that answers."""

    url: str
    """The base of the API, such as `http://127.0.0.1:8000/v1`."""
    model: str
    """The name that requests have to give."""
    log: Path

    def get(self, path: str) -> str:
        """The body of a path beside the API, such as `/metrics`."""
        return _get(self.url.removesuffix("/v1") + path)


@contextmanager
def vllm_server(
    checkpoint: str | os.PathLike[str],
    *options: str,
    name: str | None = None,
    cpu: bool = True,
    block_size: int | None = 32,
    timeout: float = 600.0,
) -> Iterator[VLLMServer]:
    """Serve a checkpoint folder with vLLM; the server and its processes end with the block.

    `options` are command-line options of the server, which win over those chosen here. `name`: what
    requests call the model, by default the folder's path. On a GPU give `cpu=False`, and
    `block_size=None` for the GPU's default.

    # Errors
    `RuntimeError` with the last lines of the log if the server ends or does not answer in time.
    """
    folder = Path(checkpoint).resolve()
    port = _free_port()
    command = [
        *(sys.executable, "-m", "vllm.entrypoints.openai.api_server"),
        *("--model", str(folder), "--host", "127.0.0.1", "--port", str(port)),
        *("--enable-prefix-caching", "--enable-prompt-tokens-details"),
        *(("--served-model-name", name) if name else ()),
        *(("--block-size", str(block_size)) if block_size else ()),
        *(_cpu_options(folder) if cpu else ()),
        *options,
    ]
    # What the user has set wins.
    environment = _ENVIRONMENT | (_ON_CPU if cpu else {}) | dict(os.environ)
    with tempfile.TemporaryDirectory(prefix="vllm-server-") as scratch:
        server = VLLMServer(
            url=f"http://127.0.0.1:{port}/v1", model=name or str(folder), log=Path(scratch, "log")
        )
        with server.log.open("wb") as log:
            process = subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            _wait(server, process, timeout)
            yield server
        finally:
            _end(process)


def _cpu_options(folder: Path) -> list[str]:
    config = json.loads((folder / "config.json").read_text())
    context = min(_CONTEXT, config.get("max_position_embeddings", _CONTEXT))
    return [
        *("--dtype", "float32", "--enforce-eager", "--max-model-len", str(context)),
        *("--distributed-executor-backend", "uni"),
        # A request with a seed kills the engine when its prefill comes in chunks.
        *("--no-enable-chunked-prefill", "--max-num-batched-tokens", str(_CONTEXT)),
    ]


def _wait(server: VLLMServer, process: subprocess.Popen[bytes], timeout: float) -> None:
    deadline = time.monotonic() + timeout
    while process.poll() is None and time.monotonic() < deadline:
        if _is_up(server):
            return
        time.sleep(0.5)
    end = f"ended with {process.returncode}" if process.poll() is not None else "does not answer"
    lines = server.log.read_text(errors="replace").splitlines()[-_LAST_LINES:]
    raise RuntimeError("\n".join([f"the vLLM server of {server.model!r} {end}:", *lines]))


def _is_up(server: VLLMServer) -> bool:
    try:
        server.get("/health")
    except OSError:  # of which urllib's errors are a kind
        return False
    return True


def _get(url: str) -> str:
    """Without the proxy that the environment may name, which knows nothing of this machine."""
    with build_opener(ProxyHandler({})).open(url, timeout=10) as reply:
        body: bytes = reply.read()
    return body.decode()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the server, then whatever is left of its process group."""
    if process.poll() is None:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(20)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
