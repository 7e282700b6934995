"""The policy's HTTP server as a bench sees it: what it has counted, and how to empty its cache."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from urllib.request import ProxyHandler, Request, build_opener

_COUNTED = {
    "vllm:request_success_total": "requests",
    "vllm:generation_tokens_total": "tokens",
    "vllm:prompt_tokens_total": "prompt_tokens",
    "vllm:prefix_cache_hits_total": "cached_tokens",
    "vllm:num_preemptions_total": "preemptions",
}


@dataclass(frozen=True, slots=True)
class PolicyServer:
    """A vLLM server of one model, started with `VLLM_SERVER_DEV_MODE=1`."""

    url: str
    """The base of the API, such as `http://127.0.0.1:8000/v1`."""
    model: str
    """The name that requests have to give."""

    def counted(self) -> dict[str, int]:
        """What the server has served since it started, whoever asked."""
        counts = dict.fromkeys(_COUNTED.values(), 0)
        for line in self._call("/metrics").splitlines():
            name, _, value = line.rpartition(" ")
            if key := _COUNTED.get(name.partition("{")[0]):
                counts[key] += int(float(value))
        return counts

    def forget(self) -> None:
        """Empty the prefix cache."""
        self._call("/reset_prefix_cache", method="POST")

    def _call(self, path: str, method: str = "GET") -> str:
        request = Request(self.url.removesuffix("/v1") + path, method=method)
        # Without the proxy that the environment may name, which knows nothing of this machine.
        with build_opener(ProxyHandler({})).open(request, timeout=30) as reply:
            body: bytes = reply.read()
        return body.decode()


@contextmanager
def served(checkpoint: str | PathLike[str], name: str) -> Iterator[PolicyServer]:
    """Serve a checkpoint on the CPU for the time of a `with` block, as the tests do."""
    sys.path.append(str(Path(__file__).parents[1] / "tests"))
    from vllm_server import vllm_server

    with vllm_server(checkpoint, name=name) as server:
        yield PolicyServer(server.url, server.model)
