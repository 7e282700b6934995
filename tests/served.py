"""A server of scripted engines in a thread of its own, for the time of a `with` block."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from ets.serve.configurations import Served
from ets.serve.keys import Keys
from ets.serve.server import Server, listening
from ets.serve.service import Service
from ets.serve.settings import Settings
from ets.serve.traces import Traced
from scripted_engines import ScriptedEmbedder, ScriptedPolicy, ScriptedPRM

SEARCHES: dict[str, Any] = {
    "ets-4": {"strategy": {"name": "ets", "width": 4}},
    "rebase-8": {"strategy": {"name": "rebase", "width": 8}},
    "majority-3": {"strategy": {"name": "best-of-n", "width": 3}, "vote": "majority"},
}
PATIENCE = 60.0
"""Seconds for what happens at once, on a machine that does other things too."""


@dataclass(frozen=True)
class Running:
    """A server that listens."""

    url: str
    service: Service
    server: Server
    policy: Any

    def client(self, **more: Any) -> httpx.Client:
        """One that knows its address, and no proxy."""
        return httpx.Client(base_url=self.url, timeout=PATIENCE, trust_env=False, **more)

    def chat(self, problem: str = "a problem", **more: Any) -> httpx.Response:
        """What it answers."""
        with self.client() as client:
            return client.post("/v1/chat/completions", json=asked(problem, **more))

    def metric(self, name: str) -> float:
        """Of `/metrics`, the sum over its labels."""
        with self.client() as client:
            lines = client.get("/metrics").text.splitlines()
        values = [
            float(line.rpartition(" ")[2])
            for line in lines
            if line.partition("{")[0].partition(" ")[0] == name
        ]
        return sum(values)

    def settled(self) -> None:
        """Wait until nothing is searched and no sample runs."""
        until(lambda: not self.service.desk.open and not self.policy.running)


def asked(problem: str = "a problem", **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": problem}], **more}


def until(holds: Any) -> None:
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline, "it does not come"
        time.sleep(0.01)


def events_of(text: str) -> list[tuple[str | None, Any]]:
    """The events of a stream: name and data, which is JSON but for the last of a chat."""
    found = []
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if line[:1] != ":")
        if "data" in fields:
            data = fields["data"]
            found.append((fields.get("event"), data if data == "[DONE]" else json.loads(data)))
    return found


def content_of(text: str) -> str:
    """The text that a stream's chunks make together, of the first solution."""
    return "".join(
        choice["delta"].get("content", "")
        for name, data in events_of(text)
        if name is None and data != "[DONE]"
        for choice in data.get("choices", ())
        if choice["index"] == 0
    )


@contextmanager
def served(
    policy: Any = None,
    *,
    searches: Mapping[str, Any] = SEARCHES,
    keys: Mapping[str, str] | None = None,
    traced: Traced | None = None,
    grace: float = 1.0,
    exit_when_lost: bool = False,
    more: Mapping[str, Any] | None = None,
    **settings: Any,
) -> Iterator[Running]:
    """`more` are arguments of the searches, `settings` those of the table `serve`."""
    policy = ScriptedPolicy(slow=False) if policy is None else policy
    arguments = {
        **{"policy": policy, "prm": ScriptedPRM(), "embedder": ScriptedEmbedder()},
        **{"max_step_tokens": 20, "max_tokens": 200},
        **(more or {}),
    }
    made = Served.of(arguments, searches, Settings.of(settings))
    service = Service.of(made, Keys(keys), traced)
    socket = listening("127.0.0.1", 0)
    server = Server(
        service, port=socket.getsockname()[1], grace=grace, exit_when_lost=exit_when_lost
    )
    ended: list[BaseException] = []

    def run() -> None:
        try:
            server.run([socket])
        except Exception as error:  # noqa: BLE001 - looked at by the test
            ended.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        until(lambda: server.started or not thread.is_alive())
        until(lambda: service.desk.limit is not None or service.desk.lost is not None)
        yield Running(f"http://127.0.0.1:{server.config.port}", service, server, policy)
    finally:
        server.should_exit = True
        thread.join(PATIENCE)
        socket.close()
    assert not thread.is_alive()
    if not exit_when_lost:
        assert not ended
