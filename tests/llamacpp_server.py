"""A real llama.cpp server in a process of its own, for the time of a `with` block.

The server is that of the wheel `xllamacpp`, which is llama.cpp's own. As a program this file is
that process: `python tests/llamacpp_server.py MODEL.gguf PORT SLOTS CONTEXT`.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.request import ProxyHandler, build_opener

MODEL = "smol"
"""What requests have to call the model."""
_LAST_LINES = 30


@dataclass(slots=True)
class LlamaServer:
    """A server that can be killed and started again at the same address."""

    gguf: Path
    port: int
    slots: int
    context: int
    """Tokens of all slots together; each has its share."""
    log: Path
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The base of the API."""
        return f"http://127.0.0.1:{self.port}/v1"

    def start(self) -> None:
        """Start it, without waiting for it."""
        arguments = [str(self.gguf), str(self.port), str(self.slots), str(self.context)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, __file__, *arguments],
                env={**os.environ, "OMP_WAIT_POLICY": "PASSIVE"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def wait(self, timeout: float = 300.0) -> None:
        """Wait until it answers.

        # Errors
        `RuntimeError` with the last lines of the log if it ends, or does not answer in time.
        """
        deadline = time.monotonic() + timeout
        while self.process is not None and self.process.poll() is None:
            if self._is_up():
                return
            if time.monotonic() > deadline:
                break
            time.sleep(0.1)
        lines = self.log.read_text(errors="replace").splitlines()[-_LAST_LINES:]
        raise RuntimeError("\n".join(["the llama.cpp server does not answer:", *lines]))

    def kill(self) -> None:
        """End it at once, in the middle of whatever it does."""
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)  # a stopped process dies later
            self.process.kill()
            self.process.wait()
            self.process = None

    def _is_up(self) -> bool:
        try:
            # Without the proxy that the environment may name.
            with build_opener(ProxyHandler({})).open(
                self.url.removesuffix("/v1") + "/health", timeout=10
            ):
                return True
        except OSError:  # of which urllib's errors are a kind
            return False


@contextmanager
def llamacpp_server(gguf: Path, *, slots: int = 4, context: int = 4096) -> Iterator[LlamaServer]:
    """Serve a GGUF file on one thread; the server ends with the block.

    # Errors
    As those of `LlamaServer.wait`.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    with tempfile.TemporaryDirectory(prefix="llamacpp-server-") as scratch:
        server = LlamaServer(gguf, port, slots, context, Path(scratch, "log"))
        server.start()
        try:
            server.wait()
            yield server
        finally:
            server.kill()


def _serve(gguf: str, port: str, slots: str, context: str) -> None:
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = gguf
    params.model_alias = {MODEL}
    params.n_parallel = int(slots)
    params.n_ctx = int(context)
    params.hostnames = ["127.0.0.1"]
    params.port = int(port)
    params.warmup = False
    # Threads that spin are fifty times slower where other programs want the cores too.
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    server = xllamacpp.Server(params)
    print("listening at", server.listening_address, flush=True)
    signal.pause()


if __name__ == "__main__":
    _serve(*sys.argv[1:])
