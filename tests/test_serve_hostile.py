"""Clients that vanish, are slow, or send what is no request; full queues, lost engines, the end."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="the extra 'serve' is not installed")
pytest.importorskip("httpx", reason="httpx is not installed (the extra 'openai' brings it)")
import httpx

import ets
from ets.errors import EngineLostError, InputError
from ets.serve.app import create_app
from ets.serve.extension import Wishes
from ets.serve.gate import Gate
from ets.serve.keys import Keys
from ets.serve.refusal import Refusal
from ets.step import Prefix, Step
from scripted_engines import ScriptedPolicy
from served import PATIENCE, Running, asked, events_of, served, until


@dataclass
class Held(ScriptedPolicy):
    """Its samples wait until they are let go; or its engine is lost."""

    slow: bool = False
    open: bool = False
    lost: bool = False
    held: set[asyncio.Future[None]] = field(default_factory=set)

    async def sample(self, prefix: Prefix, *, seed: int, max_tokens: int) -> Step:
        self.running += 1
        try:
            while not self.open and not self.lost:
                await asyncio.sleep(0.01)
            if self.lost:
                raise EngineLostError("the engine's last words")
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.running -= 1
        return await super().sample(prefix, seed=seed, max_tokens=max_tokens)


@pytest.fixture
def held() -> Iterator[Running]:
    with served(Held()) as running:
        yield running
        running.policy.open = True


@contextmanager
def connection(running: Running) -> Iterator[socket.socket]:
    port = int(running.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as opened:
        yield opened


def head(length: int | None, path: str = "/v1/chat/completions") -> bytes:
    body = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
    return (
        f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n{body}\r\n\r\n"
    ).encode()


def received(opened: socket.socket) -> bytes:
    """All that comes until the other side is done."""
    parts = []
    try:
        while part := opened.recv(65536):
            parts.append(part)
    except ConnectionError:  # it does not read what we still send
        pass
    return b"".join(parts)


# -- clients that go -------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_goes_takes_its_search_along(held: Running, stream: bool) -> None:
    body = json.dumps(asked(stream=stream)).encode()
    with connection(held) as opened:
        opened.sendall(head(len(body)) + body)
        until(lambda: held.policy.running == 4)
    held.settled()
    assert held.policy.cancelled == 4
    (running,) = held.service.desk.all
    assert running.state == "cancelled"
    assert held.metric("ets_searches_in_flight") == 0
    held.policy.open = True
    assert held.chat().status_code == 200


def test_delete_ends_a_search_and_tells_who_waits(held: Running) -> None:
    with ThreadPoolExecutor(2) as threads, held.client() as client:
        waiting = threads.submit(held.chat)
        streaming = threads.submit(held.chat, stream=True)
        until(lambda: held.policy.running == 8)
        for listed in client.get("/v1/searches").json()["data"]:
            assert listed["state"] == "running"
            assert client.delete(f"/v1/searches/{listed['id']}").json()["state"] == "cancelled"
        assert waiting.result().status_code == 409
        assert waiting.result().json()["error"]["code"] == "cancelled"
        name, last = events_of(streaming.result().text)[-1]
        assert (name, last["error"]["code"]) == (None, "cancelled")
    held.settled()
    assert held.policy.cancelled == 8


def test_whoever_reads_events_may_go_and_the_search_goes_on(held: Running) -> None:
    with ThreadPoolExecutor(1) as threads, held.client() as client:
        waiting = threads.submit(held.chat)
        until(lambda: held.policy.running == 4)
        (listed,) = client.get("/v1/searches").json()["data"]
        with client.stream("GET", f"/v1/searches/{listed['id']}/events") as events:
            assert next(events.iter_lines()) == "event: pruned"
        held.policy.open = True
        assert waiting.result().status_code == 200


def test_the_first_text_comes_while_the_search_runs() -> None:
    """Of a search whose steps all are alike the stream shows each as it is decided."""

    @dataclass
    class Alike(Held):
        deep: int = 0

        async def sample(self, prefix: Prefix, *, seed: int, max_tokens: int) -> Step:
            if not prefix.steps:
                return Step("thought 1\n\n", (seed % 97,), "step", 1)
            return await super().sample(prefix, seed=seed, max_tokens=max_tokens)

    with served(Alike()) as running, running.client() as client:
        with client.stream("POST", "/v1/chat/completions", json=asked(stream=True)) as streamed:
            text = ""
            for line in streamed.iter_lines():
                if line.startswith("data: {"):
                    (choice,) = json.loads(line[6:])["choices"]
                    text += choice["delta"].get("content", "")
                if text:
                    break
        assert text == "thought 1\n\n"
        running.settled()


def test_a_search_that_is_cancelled_before_it_begins_ends() -> None:
    async def begin_and_cancel(running: Running) -> str:
        desk, search = running.service.desk, running.service.configurations["ets-4"]
        begun = desk.submit("ets-4", search, "a problem", Wishes())
        begun.cancel()
        with pytest.raises(Refusal, match="cancelled"):
            await begun.outcome()
        assert [event async for event in begun.follow()] == []
        return begun.state

    with served() as running:
        assert asyncio.run(begin_and_cancel(running)) == "cancelled"
        assert running.policy.started == []


# -- bodies ----------------------------------------------------------------------------------------


def memory() -> int:
    """Bytes that this process holds now."""
    pages = Path("/proc/self/statm")
    if not pages.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return int(pages.read_text().split()[1]) * resource.getpagesize()


def test_a_body_too_long_is_refused_before_it_is_read(held: Running) -> None:
    before = memory()
    with connection(held) as opened:
        opened.sendall(head(1 << 30))
        assert b" 413 " in received(opened).partition(b"\r\n")[0]
    chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    sent = 0
    with connection(held) as opened:
        opened.sendall(head(None))
        try:
            for _ in range((1 << 30) // 0x10000):
                opened.sendall(chunk)
                sent += 1
        except ConnectionError:
            pass
        assert sent < 1000, "it reads on"
    assert memory() - before < 100 << 20
    assert not held.policy.started


def test_half_a_body_and_noise_harm_nobody(held: Running) -> None:
    with connection(held) as opened:
        opened.sendall(head(1000) + b'{"messages": [')
    with connection(held) as opened:
        opened.sendall(os.urandom(10_000))
        assert b" 400 " in received(opened).partition(b"\r\n")[0]
    with connection(held) as opened:
        opened.sendall(head(10_000) + os.urandom(10_000))
        opened.settimeout(PATIENCE)
        assert b" 400 " in opened.recv(1000).partition(b"\r\n")[0]
    held.policy.open = True
    assert held.chat().status_code == 200
    assert len(held.policy.started) == 1


def test_a_body_that_is_too_slow_is_refused() -> None:
    with served(body_seconds=0.2) as running, connection(running) as opened:
        opened.sendall(head(1000) + b"{")
        assert b" 408 " in received(opened).partition(b"\r\n")[0]


def test_a_client_that_takes_nothing_loses_its_search() -> None:
    """Its stream fills every buffer between; then sending waits, and not for ever."""

    class Wordy(ScriptedPolicy):
        async def sample(self, prefix: Prefix, *, seed: int, max_tokens: int) -> Step:
            text = f"{len(prefix.steps)} " * 200_000
            return Step(text, (seed % 97,), "step", 1)

    more = {"max_tokens": 10**6, "max_depth": 10**4}
    with served(Wordy(), send_seconds=0.3, more=more) as running:
        body = json.dumps(asked(stream=True, ets={"width": 1, "strategy": "best-of-n"})).encode()
        with connection(running) as opened:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            opened.sendall(head(len(body)) + body)
            until(lambda: bool(running.service.desk.all))
            (search,) = running.service.desk.all
            until(lambda: search.over)
            assert search.state == "cancelled"


# -- limits ----------------------------------------------------------------------------------------


def test_beyond_the_queue_there_is_429_and_a_time_to_come_again() -> None:
    with served(Held(), concurrency=2, queue=3) as running, ThreadPoolExecutor(5) as threads:
        waiting = [threads.submit(running.chat, f"p {n}") for n in range(5)]
        until(lambda: running.service.desk.inside == 2 and running.service.desk.waiting == 3)
        refused = running.chat("one more")
        assert refused.status_code == 429
        assert int(refused.headers["retry-after"]) >= 1
        assert refused.json()["error"]["type"] == "rate_limit_error"
        assert running.metric("ets_searches_queued") == 3
        assert len(running.policy.started) == 2
        running.policy.open = True
        assert [one.result().status_code for one in waiting] == [200] * 5
        assert running.policy.started == [f"p {n}" for n in range(5)] or (
            sorted(running.policy.started) == [f"p {n}" for n in range(5)]
        )


def test_a_place_in_the_queue_is_given_up_with_its_client() -> None:
    with served(Held(), concurrency=1, queue=1) as running, ThreadPoolExecutor(2) as threads:
        first = threads.submit(running.chat, "first")
        until(lambda: running.service.desk.inside == 1)
        body = json.dumps(asked("second")).encode()
        with connection(running) as opened:
            opened.sendall(head(len(body)) + body)
            until(lambda: running.service.desk.waiting == 1)
        until(lambda: running.service.desk.waiting == 0)
        third = threads.submit(running.chat, "third")
        until(lambda: running.service.desk.waiting == 1)
        running.policy.open = True
        assert [first.result().status_code, third.result().status_code] == [200, 200]
        assert running.policy.started == ["first", "third"]


def test_budgets_of_the_server_hold_over_those_of_requests() -> None:
    with served(max_seconds=0.2, max_budget_tokens=30) as running:
        tokens = running.chat(ets={"tokens": 10**6}).json()
        assert tokens["ets"]["end"] == "token_budget"
        assert tokens["usage"]["policy_tokens"] <= 30 + 20
    with served(Held(), max_seconds=0.2) as running:
        seconds = running.chat(ets={"seconds": 500}).json()
        assert seconds["ets"]["end"] == "time_budget"
        assert seconds["choices"][0] == {
            "index": 0,
            "message": {"role": "assistant", "content": "", "refusal": None},
            "finish_reason": "length",
            "logprobs": None,
        }


def test_too_many_messages_are_refused() -> None:
    with served(max_messages=2) as running, running.client() as client:
        messages = [{"role": "user", "content": "x"}] * 3
        answer = client.post("/v1/chat/completions", json={"messages": messages})
        assert answer.status_code == 400
        assert answer.json()["error"]["param"] == "messages"


# -- keys ------------------------------------------------------------------------------------------


def test_without_a_right_key_nothing_is_read_or_told() -> None:
    with served(keys={"ann": "key-a", "bob": "key-b"}) as running, running.client() as client:
        for given in (None, "Bearer key-c", "Bearer", "Basic key-a", "key-a"):
            headers = {} if given is None else {"Authorization": given}
            answer = client.post("/v1/chat/completions", content=b"{", headers=headers)
            assert answer.status_code == 401
            assert answer.json()["error"]["type"] == "authentication_error"
        assert client.get("/v1/models").status_code == 401
        assert client.get("/health").status_code == 200
        ann, bob = {"Authorization": "Bearer key-a"}, {"Authorization": "Bearer key-b"}
        answer = client.post("/v1/chat/completions", json=asked(), headers=ann)
        path = f"/v1/searches/{answer.headers['x-search-id']}"
        assert client.get(path, headers=ann).status_code == 200
        assert client.get(path, headers=bob).status_code == 404
        assert client.delete(path, headers=bob).status_code == 404
        assert client.get("/v1/searches", headers=bob).json()["data"] == []


def test_keys_are_asked_for_behind_a_prefix_too() -> None:
    """As an application is called that is mounted somewhere, by Ray Serve or another server."""

    async def ask(app: Gate, root: str, path: str) -> int:
        there = httpx.ASGITransport(app=app, root_path=root)
        async with httpx.AsyncClient(transport=there, base_url="http://x") as client:
            return (await client.get(path)).status_code

    with served(keys={"ann": "key-a"}) as running:
        app = create_app(running.service)
        for root, path in (
            ("", "/v1/models"),
            ("/grows", "/grows/v1/models"),
            ("/v", "/v1/models"),
        ):
            assert asyncio.run(ask(app, root, path)) == 401
        assert asyncio.run(ask(app, "/grows", "/grows/health")) == 200


def test_keys_come_from_a_file_that_is_checked(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text("# name key\nann one\n\nbob two\n")
    assert Keys.read(path).name_of("Bearer two") == "bob"
    for text, words in (("ann", "line 1"), ("ann 1\nann 2", "twice"), ("# x", "holds no key")):
        path.write_text(text)
        with pytest.raises(InputError, match=words):
            Keys.read(path)


# -- engines that are lost -------------------------------------------------------------------------


def test_a_lost_engine_is_503_for_all_and_health_is_false(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with served(Held()) as running, ThreadPoolExecutor(32) as threads:
        waiting = [threads.submit(running.chat, f"p {n}", stream=n % 4 == 0) for n in range(32)]
        until(lambda: running.policy.running == 4 * 32)
        running.policy.lost = True
        for number, one in enumerate(waiting):
            answer = one.result()
            if number % 4:
                assert answer.status_code == 503
                error = answer.json()["error"]
                assert answer.headers["retry-after"]
            else:
                error = events_of(answer.text)[-1][1]["error"]
            assert error["message"] == "an engine is lost"
            assert error["code"] == "engine_lost"
        with running.client() as client:
            health = client.get("/health")
        assert health.status_code == 503
        assert health.json()["status"] == "lost"
        said = [record for record in caplog.records if "last words" in record.getMessage()]
        assert len(said) == 1
        running.settled()
        running.policy.lost, running.policy.open = False, True
        until(lambda: running.chat().status_code == 200)
        with running.client() as client:
            assert client.get("/health").status_code == 200


@dataclass
class Watched(Held):
    """Tells of its end by itself."""

    watched: int = 0

    async def until_lost(self) -> str:
        self.watched += 1
        try:
            while not self.lost:
                await asyncio.sleep(0.01)
        finally:
            self.watched -= 1
        return "it went\nby itself"


def test_an_idle_engine_that_is_lost_shows_before_the_next_request(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with served(Watched(open=True)) as running, running.client() as client:
        assert running.chat().status_code == 200
        assert running.policy.watched == 1
        running.policy.lost = True
        until(lambda: client.get("/health").json()["status"] == "lost")
        assert running.chat().status_code == 503
    assert "an engine is lost: it went by itself" in caplog.text
    assert running.policy.watched == 0
    with served(Watched(), exit_when_lost=True) as running:
        running.policy.lost = True
        until(lambda: running.server.should_exit)
    assert isinstance(running.server.failure, EngineLostError)


def test_a_watch_ends_with_its_server() -> None:
    with served(Watched()) as running:
        until(lambda: running.policy.watched == 1)
    assert running.policy.watched == 0


def test_a_server_may_end_with_its_engine() -> None:
    with served(Held(lost=True), exit_when_lost=True) as running:
        assert running.chat().status_code == 503
        until(lambda: running.server.should_exit)
    assert isinstance(running.server.failure, EngineLostError)


def test_an_engine_that_fails_is_503_and_the_next_may_pass() -> None:
    class Failing(ScriptedPolicy):
        def start(self, problem: str) -> Prefix:
            if problem == "long":
                raise InputError("problem of 9999 tokens leaves no room")
            return super().start(problem)

    with served(Failing(slow=False)) as running:
        refused = running.chat("long")
        assert refused.status_code == 400
        assert "9999 tokens" in refused.json()["error"]["message"]
        assert running.chat("short").status_code == 200


# -- the end ---------------------------------------------------------------------------------------


def test_at_the_end_running_searches_end_or_are_cut() -> None:
    for grace, status in ((PATIENCE, 200), (0.1, 503)):
        with served(Held(), grace=grace) as running, ThreadPoolExecutor(2) as threads:
            waiting = threads.submit(running.chat)
            streaming = threads.submit(running.chat, stream=True)
            until(lambda running=running: running.policy.running == 8)
            running.server.should_exit = True
            until(lambda running=running: running.service.desk.draining)
            if status == 200:
                running.policy.open = True
            assert waiting.result().status_code == status
            _, last = events_of(streaming.result().text)[-1]
            if status == 200:
                assert last == "[DONE]"
            else:
                assert last["error"]["code"] == "shutting_down"


# -- what is told ----------------------------------------------------------------------------------


def test_nothing_of_a_request_reaches_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with served(keys={"ann": "key-secret"}) as running, running.client() as client:
        headers = {"Authorization": "Bearer key-secret"}
        for body in (
            asked("problem-secret", user="user-secret"),
            asked("problem-secret", stream=True),
            asked("problem-secret", tools=["tools-secret"]),
            {"messages": "body-secret"},
        ):
            client.post("/v1/chat/completions", json=body, headers=headers)
        client.post("/v1/chat/completions?q=query-secret", content=b"{secret", headers=headers)
        client.post("/v1/models/path-secret", headers={"Authorization": "Bearer wrong-secret"})
    own = [record for record in caplog.records if not record.name.startswith("http")]  # clients'
    text = "\n".join(record.getMessage() for record in own)
    assert "search-" in text
    assert "secret" not in text


def test_metrics_count_what_was_searched() -> None:
    with served() as running:
        usage = running.chat().json()["usage"]
        running.chat(tools=[1])
        assert running.metric("ets_searches_total") == 1
        assert running.metric("ets_requests_total") >= 2
        assert running.metric("ets_search_seconds_count") == 1
        with running.client() as client:
            text = client.get("/metrics").text
        assert (
            f'ets_tokens_total{{engine="policy",kind="sampled"}} {usage["policy_tokens"]}' in text
        )
        assert 'ets_kv_tokens_total{kept_by="rebase"}' in text
        assert 'status="400"' in text


def test_a_trace_is_taken_over_with_a_span_for_each_step() -> None:
    pytest.importorskip("opentelemetry.sdk", reason="opentelemetry-sdk is not installed")
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    from ets.serve.traces import Traced

    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    parent = "4bf92f3577b34da6a3ce929d0e0e4736"
    with served(traced=Traced(provider)) as running, running.client() as client:
        answer = client.post(
            "/v1/chat/completions",
            json=asked(ets={"tree": True}),
            headers={"traceparent": f"00-{parent}-00f067aa0ba902b7-01"},
        ).json()
    spans = exporter.get_finished_spans()
    assert {f"{span.context.trace_id:032x}" for span in spans if span.context} == {parent}
    (search,) = [span for span in spans if span.name == "ets.search"]
    steps = [span for span in spans if span.name == "ets.step"]
    assert len(steps) == ets.TreeSearch.from_dict(answer["ets"]["tree"]).depth
    assert search.attributes
    assert search.attributes["ets.end"] == answer["ets"]["end"]


# -- the command -----------------------------------------------------------------------------------


def test_the_command_serves_and_ends_at_sigterm(tmp_path: Path) -> None:
    config = tmp_path / "serve.toml"
    config.write_text(
        '[serve]\ndefault = "small"\n[searches.small.strategy]\nname = "ets"\nwidth = 2\n'
        '[searches.many]\nvote = "majority"\n[searches.many.strategy]\nname = "rebase"\nwidth = 3\n'
    )
    command = [sys.executable, "-m", "ets", "serve", "--config", str(config), "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            url = process.stderr.readline().strip()
            assert url.startswith("http://127.0.0.1:")
            with httpx.Client(timeout=PATIENCE, trust_env=False) as client:
                health = url.removesuffix("/v1") + "/health"
                until(lambda: client.get(health).status_code == 200)  # its engines start
                answer = client.post(
                    f"{url}/chat/completions", json=asked("Ann has 2 pens and buys 3. How many?")
                )
                assert answer.json()["model"] == "small"
                assert client.get(f"{url}/models/many").json()["width"] == 3
            process.send_signal(signal.SIGTERM)
            _, said = process.communicate(timeout=PATIENCE)
        finally:
            process.kill()
    assert process.returncode == 143
    assert "2 pens" not in said
    assert "search-" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--port", "1", "--host", "256.1.1.1"], "cannot listen at 256.1.1.1, port 1"),
        (["--api-key-file", "missing"], "missing: No such file"),
        (["--policy", "nothing:x"], "policy"),
    ],
)
def test_the_command_says_in_one_line_what_is_wrong(words: list[str], said: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ets", "serve", "--port", "0", *words],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
