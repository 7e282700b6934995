"""Searches to watch: begun at once, told in pieces, ended without followers, shown as a page."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

import ets
from ets.step import Prefix, Step

pytest.importorskip("fastapi", reason="the extra 'serve' is not installed")
from scripted_engines import ScriptedEmbedder, ScriptedPolicy, ScriptedPRM
from served import Running, asked, events_of, served, until
from test_page_data import grown, resolved


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with served() as running:
        yield running


@dataclass
class HeldPolicy(ScriptedPolicy):
    """Waits before each step of `depth` until it may go on."""

    depth: int = 2
    free: bool = False

    async def sample(self, prefix: Prefix, *, seed: int, max_tokens: int) -> Step:
        while len(prefix.steps) >= self.depth and not self.free:
            await asyncio.sleep(0.005)
        return await super().sample(prefix, seed=seed, max_tokens=max_tokens)


def begin(client: httpx.Client, problem: str = "p 1", **more: Any) -> str:
    answer = client.post("/v1/searches", json=asked(problem, **more))
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])


def pieces(client: httpx.Client, key: str, **headers: str) -> list[tuple[str | None, Any]]:
    answer = client.get(f"/v1/searches/{key}/tree/events", headers=headers)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/event-stream")
    return events_of(answer.text)


def data_of(page: str) -> Any:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)
    assert found is not None
    return json.loads(found[1])


# -- a search that nobody waits for ----------------------------------------------------------------


def test_a_search_begins_at_once_and_finds_what_others_find(server: Running) -> None:
    with server.client() as client:
        body = asked("p 1", model="rebase-8", seed=5, max_tokens=90, user="ann")
        begun = client.post("/v1/searches", json=body).json()
        assert begun["object"] == "search"
        assert begun["state"] in ("queued", "running")
        assert begun["user"] == "ann"
        *_, (name, answer) = events_of(client.get(f"/v1/searches/{begun['id']}/events").text)
        same = server.chat("p 1", model="rebase-8", seed=5, max_tokens=90).json()["ets"]
    assert name == "answer"
    assert answer["answer"] == same["answer"]
    assert answer["score"] == pytest.approx(same["score"])


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"stream": True}, "stream"),
        ({"model": "none"}, "model"),
        ({"ets": {"width": 9}}, "ets.width"),
        ({"messages": []}, "messages"),
    ],
)
def test_what_it_cannot_take_is_refused(server: Running, more: Any, param: str) -> None:
    with server.client() as client:
        answer = client.post("/v1/searches", json=asked(**more))
    assert answer.status_code in (400, 404)
    assert answer.json()["error"]["param"] == param


def test_a_search_that_nobody_follows_ends() -> None:
    with served(HeldPolicy(slow=False), unwatched_seconds=0.1) as running:
        with running.client() as client:
            key = begin(client)
            until(lambda: client.get(f"/v1/searches/{key}").json()["state"] == "cancelled")
        running.settled()


def test_a_follower_that_comes_back_in_time_finds_it_running() -> None:
    policy = HeldPolicy(slow=False)
    with served(policy, unwatched_seconds=3600.0) as running, running.client() as client:
        key = begin(client)
        search = running.service.desk.find(key, None)
        for path in ("events", "tree/events"):
            with client.stream("GET", f"/v1/searches/{key}/{path}") as stream:
                text = stream.iter_text()
                next(text)
                assert search.followers._timer is None
            until(lambda: search.followers._timer is not None)
        assert not search.over
        policy.free = True
        assert pieces(client, key)[-1][0] == "answer"
        until(lambda: search.followers._timer is None)


def test_a_search_of_a_chat_needs_no_follower() -> None:
    with served(HeldPolicy(), unwatched_seconds=1e-9) as running:
        assert running.chat(model="majority-3", ets={"max_depth": 2}).status_code == 200


# -- pieces of its tree ----------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["ets-4", "rebase-8", "majority-3"])
def test_the_pieces_are_the_page_s_data(server: Running, model: str) -> None:
    with server.client() as client:
        key = begin(client, "Find $x$.", model=model)
        *parts, (name, answer) = pieces(client, key)
        page = client.get(f"/v1/searches/{key}/tree").text
    assert [part for part, _ in parts] == ["grown"] * len(parts)
    assert name == "answer"
    beside = {part: answer.pop(part) for part in ("solution", "ets", "usage")}
    data = resolved(grown(*(piece for _, piece in parts), answer))
    assert data == resolved(grown(data_of(page)))
    assert beside["ets"]["answer"] == data["answer"]
    assert beside["solution"]["text"].endswith(f"The answer is {data['answer']}.")


def test_a_client_reads_on_where_it_was(server: Running) -> None:
    with server.client() as client:
        key = begin(client)
        for path in ("tree/events", "events"):
            text = client.get(f"/v1/searches/{key}/{path}").text
            ids = re.findall(r"^id: (\d+)$", text, re.M)
            assert ids == [str(at) for at in range(len(ids))]
            every = events_of(text)
            for last in (0, len(ids) - 2, len(ids) - 1):
                headers = {"Last-Event-ID": ids[last]}
                rest = client.get(f"/v1/searches/{key}/{path}", headers=headers).text
                assert events_of(rest) == every[last + 1 :]
            for odd in ("-1", "x", "9" * 30):
                headers = {"Last-Event-ID": odd}
                rest = client.get(f"/v1/searches/{key}/{path}", headers=headers).text
                assert events_of(rest) == every


def test_what_was_there_before_a_stop_is_there_after_it() -> None:
    policy = HeldPolicy(slow=False)
    with served(policy) as running, running.client() as client:
        key = begin(client)
        early = client.get(f"/v1/searches/{key}/tree")
        assert early.status_code == 409
        assert early.json()["error"]["code"] == "not_over"
        search = running.service.desk.find(key, None)
        until(lambda: search.nodes >= 4)
        assert client.delete(f"/v1/searches/{key}").json()["state"] == "cancelled"
        *parts, (name, error) = pieces(client, key)
        assert name == "error"
        assert error["error"]["code"] == "cancelled"
        page = data_of(client.get(f"/v1/searches/{key}/tree").text)
        assert page["nodes"]["text"] == grown(*(p for _, p in parts))["nodes"]["text"]
        assert page["end"] is None
        assert page["votes"] == []


def test_a_search_that_never_began_has_no_tree() -> None:
    policy = HeldPolicy(slow=False, depth=0)
    with served(policy, concurrency=1) as running, running.client() as client:
        begin(client)
        key = begin(client)
        client.delete(f"/v1/searches/{key}")
        assert client.get(f"/v1/searches/{key}/tree").status_code == 404
        assert [name for name, _ in pieces(client, key)] == ["error"]


def test_a_tree_that_cannot_be_drawn_is_an_error_and_no_hang(
    server: Running, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def take(*_: Any) -> Any:
        raise RuntimeError("a secret of the problem")

    monkeypatch.setattr("ets.tree_page.data.PageData.take", take)
    with server.client() as client:
        key = begin(client)
        name, error = pieces(client, key)[-1]
    assert name == "error"
    assert error["error"]["message"] == "the tree cannot be drawn"
    assert "RuntimeError" in caplog.text
    assert "secret" not in caplog.text


# -- the pages -------------------------------------------------------------------------------------


def hashes(page: str, tag: str) -> list[str]:
    texts = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.S)
    return [
        "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"
        for text in texts
    ]


def directives(answer: httpx.Response) -> dict[str, list[str]]:
    policy = answer.headers["content-security-policy"]
    return {(parts := one.split())[0]: parts[1:] for one in policy.split(";")}


def test_the_page_runs_its_own_script_and_no_other(server: Running) -> None:
    with server.client() as client:
        page = client.get("/")
        tree = client.get(f"/v1/searches/{finished(client)}/tree")
    for answer in (page, tree):
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert answer.headers["x-content-type-options"] == "nosniff"
        allowed = directives(answer)
        assert allowed["default-src"] == ["'none'"]
        assert allowed["connect-src"] == ["'self'"]
        for tag, of in (("script", "script-src"), ("style", "style-src")):
            (own,) = hashes(answer.text, tag)
            assert own in allowed[of]
            assert all(source.startswith("'sha256-") for source in allowed[of])
    # A file that the page opens for a browser with a key goes by the page's policy too.
    assert set(directives(tree)["script-src"]) <= set(directives(page)["script-src"])
    assert set(directives(tree)["style-src"]) <= set(directives(page)["style-src"])


def test_the_page_fetches_nothing_from_elsewhere(server: Running) -> None:
    with server.client() as client:
        page = client.get("/").text
    assert set(re.findall(r"https?://[^\"'\s]+", page)) == {
        "http://www.w3.org/1998/Math/MathML",
        "http://www.w3.org/2000/svg",
    }
    assert not re.search(r"<(?:img|link|script|iframe)[^>]*\s(?:src|href)=\"(?!data:)", page)
    assert "innerHTML" not in page
    assert not re.search(r"\son\w+=", page)


def finished(client: httpx.Client, problem: str = "p 1") -> str:
    key = begin(client, problem)
    pieces(client, key)
    return key


def test_a_key_sees_its_own_trees_and_no_other_s() -> None:
    with served(keys={"ann": "right", "bob": "other"}) as running:
        ann, bob = ({"Authorization": f"Bearer {key}"} for key in ("right", "other"))
        with running.client(headers=ann) as client:
            key = finished(client)
            paths = [f"/v1/searches/{key}/tree", f"/v1/searches/{key}/tree/events"]
            assert [client.get(path).status_code for path in paths] == [200, 200]
            assert [client.get(path, headers=bob).status_code for path in paths] == [404, 404]
        with running.client() as nobody:
            assert [nobody.get(path).status_code for path in paths] == [401, 401]
            assert nobody.post("/v1/searches", json=asked()).status_code == 401
            assert nobody.get("/").status_code == 200


def test_what_a_problem_says_is_no_markup(server: Running) -> None:
    problem = "</script><script>hurt = 1</script>"
    with server.client() as client:
        page = client.get(f"/v1/searches/{finished(client, problem)}/tree")
    assert page.status_code == 200
    assert page.text.count("<script") == page.text.count("</script>") == 2


def test_a_page_is_that_of_the_result(server: Running) -> None:
    engines: dict[str, Any] = {"policy": ScriptedPolicy(slow=False), "prm": ScriptedPRM()}
    engines |= {"embedder": ScriptedEmbedder(), "max_step_tokens": 20, "max_tokens": 200}
    with ets.Search(strategy=ets.ETS(width=4), **engines) as search:
        result = search.solve("p 7")
    with server.client() as client:
        page = data_of(client.get(f"/v1/searches/{finished(client, 'p 7')}/tree").text)
    assert page["answer"] == result.answer
    assert page["nodes"]["text"] == result.tree.nodes.text
    assert page["nodes"]["fate"] == result.tree.nodes.fate
