"""The server as replicas on Ray Serve: which of them is asked, and what ends one."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="the extra 'serve' is not installed")
pytest.importorskip("httpx", reason="httpx is not installed (the extra 'openai' brings it)")
import httpx

from ets.errors import InputError
from ets.serve.configurations import Served
from ets.serve.keys import Keys
from ets.serve.settings import Settings
from ray_cluster import need_ray, ray_cluster
from scripted_engines import ScriptedEmbedder, ScriptedPRM
from served import SEARCHES, asked, events_of
from worker_cases import eventually, runs
from worker_engines import Gated

need_ray()
pytest.importorskip("grpc_reflection", reason="Ray Serve is not installed (the extra `ray-serve`)")
from ets.serve.replicas import Replicas, application, deployed  # noqa: E402  it needs Ray Serve
from ets.serve.router import of_session, search_replica  # noqa: E402

PATIENCE = 120.0


@dataclass(frozen=True)
class Cluster:
    """Two replicas behind a proxy, whose engines wait for a file."""

    url: str
    folder: Path
    served: Served

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=PATIENCE, trust_env=False)

    def chat(self, problem: str, session: str | None = None, **more: Any) -> httpx.Response:
        headers = {} if session is None else {"X-Session-ID": session}
        with self.client() as client:
            return client.post("/v1/chat/completions", json=asked(problem, **more), headers=headers)

    def let_go(self) -> None:
        (self.folder / "open").touch()

    def hold(self) -> None:
        (self.folder / "open").unlink(missing_ok=True)

    def begun(self, name: str) -> dict[str, int]:
        """The process that has begun each problem whose text begins with a name."""
        found = (path.name.split(" ", 2) for path in self.folder.glob(f"begun * {name}*"))
        return {problem: int(pid) for _, pid, problem in found}

    def has(self, name: str) -> bool:
        return (self.folder / name).exists()

    def replicas(self, name: str) -> set[int]:
        """The processes that answer now, each asked by problems of a name of its own."""
        for number in range(16):
            self.chat(f"{name} {number}", session=f"{number}")
        return set(self.begun(name).values())


def is_up(url: str) -> bool:
    """Whether the proxy answers."""
    try:
        return httpx.get(f"{url}/-/healthz", trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("engines")
    arguments = {
        **{"policy": Gated(slow=False, folder=str(folder)), "prm": ScriptedPRM()},
        **{"embedder": ScriptedEmbedder(), "max_step_tokens": 20, "max_tokens": 200},
    }
    made = Served.of(arguments, SEARCHES, Settings())
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with ray_cluster():
        from ray import serve

        with suppress(TimeoutError):  # it waits for a minute, and its proxy goes on starting
            serve.start(http_options={"host": "127.0.0.1", "port": port})
        serve.run(deployed(Replicas(config="", min_replicas=2, num_cpus=0.5), made))
        url = f"http://127.0.0.1:{port}"
        assert eventually(lambda: is_up(url))
        yield Cluster(url, folder, made)
        serve.shutdown()


def name_of(answer: httpx.Response) -> str:
    """The replica that has given an answer."""
    name = search_replica(f"/v1/searches/{answer.headers['x-search-id']}")
    assert name is not None
    return name


def test_a_search_is_found_where_it_ran_and_a_session_stays(cluster: Cluster) -> None:
    cluster.let_go()
    answers = [cluster.chat(f"found {n}") for n in range(12)]
    assert len({name_of(answer) for answer in answers}) == 2
    with cluster.client() as client:
        for answer in answers:
            key = answer.headers["x-search-id"]
            assert client.get(f"/v1/searches/{key}").json()["id"] == key
            name, last = events_of(client.get(f"/v1/searches/{key}/events").text)[-1]
            assert (name, last["answer"]) == ("answer", answer.json()["ets"]["answer"])
        for nobodys in ("search-nobody-0", "search-0", "x"):
            missing = client.get(f"/v1/searches/{nobodys}")
            assert (missing.status_code, missing.json()["error"]["code"]) == (404, "not_found")
    sessions = [{name_of(cluster.chat("x", session=f"{n}")) for _ in range(3)} for n in range(8)]
    assert all(len(names) == 1 for names in sessions)
    assert len(set.union(*sessions)) == 2


def test_searches_are_seen_ended_and_left_through_the_proxy(cluster: Cluster) -> None:
    cluster.hold()
    with ThreadPoolExecutor(4) as threads, cluster.client() as client:
        waiting = threads.submit(cluster.chat, "ended", "a")
        eventually(lambda: bool(cluster.begun("ended")))
        (listed,) = [
            one
            for one in client.get("/v1/searches", headers={"X-Session-ID": "a"}).json()["data"]
            if one["state"] == "running"
        ]
        assert client.delete(f"/v1/searches/{listed['id']}").json()["state"] == "cancelled"
        assert waiting.result().status_code == 409
        with client.stream(
            "POST", "/v1/chat/completions", json=asked("left", stream=True)
        ) as streamed:
            key = streamed.headers["x-search-id"]
            assert eventually(lambda: bool(cluster.begun("left")))
            with client.stream("GET", f"/v1/searches/{key}/events") as events:
                assert next(events.iter_lines()) == "event: pruned"
        assert eventually(lambda: cluster.has("cancelled left"))
        assert client.get(f"/v1/searches/{key}").json()["state"] == "cancelled"
        body = asked("gone")
        with pytest.raises(httpx.ReadTimeout):
            client.post("/v1/chat/completions", json=body, timeout=3.0)
        assert eventually(lambda: cluster.has("cancelled gone"))


@pytest.mark.slow
def test_one_of_two_replicas_is_killed_amid_requests(cluster: Cluster) -> None:
    cluster.let_go()
    before = cluster.replicas("before")
    assert len(before) == 2
    cluster.hold()
    with ThreadPoolExecutor(24) as threads:
        asked_for = {
            f"amid {n}": threads.submit(cluster.chat, f"amid {n}", stream=n % 3 == 0)
            for n in range(24)
        }
        assert eventually(lambda: len(cluster.begun("amid")) == 24)
        at = cluster.begun("amid")
        killed = at["amid 0"]
        os.kill(killed, signal.SIGKILL)
        for problem, one in asked_for.items():
            if at[problem] != killed:
                continue
            if one.exception() is None:
                assert one.result().status_code == 500
            else:  # its stream had begun, and has no end
                assert isinstance(one.exception(), httpx.RemoteProtocolError)
        cluster.let_go()
        unharmed = [one.result() for problem, one in asked_for.items() if at[problem] != killed]
    assert unharmed
    assert {answer.status_code for answer in unharmed} == {200}
    assert cluster.chat("after").status_code == 200
    assert eventually(lambda: len(cluster.replicas("later") - before) == 1)
    assert len(cluster.replicas("last")) == 2


@pytest.mark.slow
def test_a_replica_without_its_engine_is_replaced(cluster: Cluster) -> None:
    cluster.let_go()
    before = cluster.replicas("had")
    cluster.hold()
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(cluster.chat, "lost")
        assert eventually(lambda: bool(cluster.begun("lost")))
        lost = cluster.begun("lost")["lost"]
        (cluster.folder / f"lost {lost}").touch()
        assert waiting.result().status_code == 503
        assert waiting.result().json()["error"]["code"] == "engine_lost"
    cluster.let_go()
    assert eventually(lambda: not runs(lost))
    assert eventually(lambda: len(cluster.replicas("has") - before) == 1)


@pytest.mark.rare
def test_a_queue_brings_another_replica(cluster: Cluster) -> None:
    """Ray Serve looks for half a minute before it starts one."""
    from ray import serve

    cluster.hold()
    grows = deployed(
        Replicas(config="", max_replicas=2, searches=2.0, num_cpus=0.5),
        cluster.served,
        Keys({"ann": "key-a"}),
    )
    serve.run(grows, name="grows", route_prefix="/grows")
    with (
        ThreadPoolExecutor(6) as threads,
        httpx.Client(
            base_url=f"{cluster.url}/grows",
            timeout=PATIENCE,
            trust_env=False,
            headers={"Authorization": "Bearer key-a"},
        ) as client,
    ):

        def ask(problem: str) -> httpx.Response:
            return client.post("/v1/chat/completions", json=asked(problem))

        waiting = [threads.submit(ask, f"grows {n}") for n in range(6)]
        assert eventually(lambda: len(cluster.begun("grows")) == 6)
        assert len(set(cluster.begun("grows").values())) == 1
        assert eventually(
            lambda: (
                serve.status()
                .applications["grows"]
                .deployments["ets"]
                .replica_states.get("RUNNING")
                == 2
            )
        )
        cluster.let_go()
        answers = [one.result() for one in waiting]
        assert {answer.status_code for answer in answers} == {200}
        path = f"/v1/searches/{answers[0].headers['x-search-id']}"
        assert client.get(path).status_code == 200
        assert client.get(path, headers={"Authorization": ""}).status_code == 401
        more = {name_of(ask(f"grown {n}")) for n in range(12)}
        assert len(more) == 2
    serve.delete("grows")


def test_a_session_moves_only_with_its_replica() -> None:
    replicas: Any = [
        SimpleNamespace(replica_id=SimpleNamespace(unique_id=f"r{n}")) for n in range(5)
    ]
    sessions = [f"s{n}" for n in range(200)]
    first = {session: of_session(session, replicas)[0] for session in sessions}
    assert {one.replica_id.unique_id for one in first.values()} == {f"r{n}" for n in range(5)}
    gone, left = replicas[2], [*replicas[:2], *replicas[3:]]
    for session in sessions:
        now = of_session(session, left[::-1])[0]
        assert now is first[session] or first[session] is gone


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "config: field required"),
        ({"config": "serve.toml", "replicas": 2}, "replicas is not supported"),
        ({"config": "serve.toml", "min_replicas": "none"}, "min_replicas: input should be"),
        ({"config": "serve.toml", "min_replicas": 2, "max_replicas": 1}, "at least 2"),
        ({"config": "serve.toml", "max_replicas": 4}, "searches must be a number"),
        ({"config": "workers.toml"}, "workers.toml: workers have no meaning here"),
        ({"config": "wrong.toml"}, "wrong.toml: unknown key 'widht'"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(
    options: dict[str, Any], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("serve.toml").write_text('[serve]\nconcurrency = "auto"\n')
    Path("workers.toml").write_text("[workers]\ncount = 2\n")
    Path("wrong.toml").write_text("widht = 2\n")
    with pytest.raises(InputError, match=words) as raised:
        application(options)
    assert "\n" not in str(raised.value)
