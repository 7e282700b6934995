"""Real clients of a real server: openai's, curl, requests made of its document, the page."""

from __future__ import annotations

import asyncio
import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import ets
from ets import demo
from test_docs import commands

pytest.importorskip("fastapi", reason="the extra 'serve' is not installed")
pytest.importorskip("openai", reason="openai is not installed")
import openai

from served import PATIENCE, Running, served

PAGE = (Path(__file__).parents[1] / "docs" / "serve.md").read_text("utf-8")
ASKED: Any = [{"role": "user", "content": "a problem"}]


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with served() as running:
        yield running


def client(server: Running) -> Any:
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", timeout=PATIENCE)


# -- openai ----------------------------------------------------------------------------------------


def test_openai_asks_and_reads_what_is_beside(server: Running) -> None:
    answer = client(server).chat.completions.create(
        model="rebase-8", messages=ASKED, n=2, extra_body={"ets": {"votes": True}}
    )
    assert answer.choices[0].message.content.endswith(f"The answer is {answer.ets['answer']}.")
    assert len(answer.ets["votes"]) >= len(answer.choices)
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_openai_streams(server: Running) -> None:
    of = client(server).chat.completions
    whole = of.create(model="ets-4", messages=ASKED).choices[0].message.content
    chunks = list(
        of.create(
            model="ets-4", messages=ASKED, stream=True, stream_options={"include_usage": True}
        )
    )
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == whole
    assert chunks[-1].usage.completion_tokens > 0


def test_openai_streams_beside_events(server: Running) -> None:
    """Its client reads chunks, and passes over events that have names."""
    chunks = client(server).chat.completions.create(
        model="ets-4", messages=ASKED, stream=True, extra_body={"ets": {"events": True}}
    )
    assert any(chunk.choices[0].finish_reason for chunk in chunks if getattr(chunk, "choices", 0))


def test_openai_asks_in_its_newer_way(server: Running) -> None:
    of = client(server).responses
    whole = of.create(model="ets-4", input="a problem")
    assert whole.status == "completed"
    assert whole.output_text
    kinds, text = [], ""
    for event in of.create(model="ets-4", input="a problem", stream=True):
        kinds.append(event.type)
        text += event.delta if event.type == "response.output_text.delta" else ""
    assert text == whole.output_text
    assert (kinds[0], kinds[-1]) == ("response.created", "response.completed")
    with of.stream(model="ets-4", input="a problem") as stream:
        stream.until_done()
        assert stream.get_final_response().output_text == text


def test_openai_asks_many_at_once(server: Running) -> None:
    async def ask() -> list[Any]:
        of = openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="none", timeout=PATIENCE)
        async with of:
            every = [
                of.chat.completions.create(
                    model="ets-4", messages=[{"role": "user", "content": f"p {n % 5}"}]
                )
                for n in range(30)
            ]
            return await asyncio.gather(*every)

    answers = asyncio.run(ask())
    for number, answer in enumerate(answers):
        assert answer.choices[0].message.content == answers[number % 5].choices[0].message.content
    assert len({answer.id for answer in answers}) == 30


def test_openai_raises_its_own_errors(server: Running) -> None:
    of = client(server).chat.completions
    with pytest.raises(openai.BadRequestError) as refused:
        of.create(model="ets-4", messages=ASKED, tools=[{"type": "function"}])
    assert (refused.value.param, refused.value.code) == ("tools", "unsupported_parameter")
    with pytest.raises(openai.NotFoundError, match="model must be one of"):
        of.create(model="gpt", messages=ASKED)
    assert next(iter(client(server).models.list())).id == "ets-4"
    assert client(server).models.retrieve("rebase-8").id == "rebase-8"
    with served(keys={"ann": "right"}) as locked, pytest.raises(openai.AuthenticationError):
        client(locked).models.list()


# -- the OpenAPI document --------------------------------------------------------------------------


def test_requests_made_of_the_document_get_answers_of_the_document() -> None:
    """Schemathesis: no 500, no status, type or answer that the document does not have."""
    schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed")
    from hypothesis import HealthCheck, Phase, given, settings
    from schemathesis.checks import not_a_server_error
    from schemathesis.specs.openapi import checks

    wanted = [
        not_a_server_error,
        checks.status_code_conformance,
        checks.content_type_conformance,
        checks.response_schema_conformance,
        checks.unsupported_method,
    ]
    with served(keys={"ann": "right"}, max_seconds=20.0) as running:
        with running.client() as http:
            document = http.get("/openapi.json").json()
        schema = schemathesis.openapi.from_dict(document)
        schema.config.update(base_url=running.url)
        seen = set()
        for operation in schema.get_all_operations():
            case_of = operation.ok()
            seen.add((case_of.method.upper(), case_of.path))
            has_input = bool(case_of.body or case_of.path_parameters)
            right, wrong = (
                schemathesis.GenerationMode.POSITIVE,
                schemathesis.GenerationMode.NEGATIVE,
            )
            for mode in (right, wrong) if has_input else (right,):

                @given(case=case_of.as_strategy(generation_mode=mode))
                @settings(
                    max_examples=40,
                    deadline=None,
                    phases=(Phase.explicit, Phase.generate),
                    suppress_health_check=list(HealthCheck),
                )
                def ask(case: Any) -> None:
                    case.call_and_validate(
                        checks=wanted, headers={"Authorization": "Bearer right"}, timeout=PATIENCE
                    )

                ask()
        running.settled()
    assert len(seen) == 14


# -- the bundled pair ------------------------------------------------------------------------------


@contextmanager
def command(words: list[str], log: Path) -> Iterator[str]:
    """`ets serve`, at a port that is free, in a process; its address."""
    run = [sys.executable, "-m", *words, "--port", "0"]
    with log.open("w") as output:
        process = subprocess.Popen(run, stderr=subprocess.PIPE, stdout=output, text=True)
    try:
        assert process.stderr is not None
        url = process.stderr.readline().strip()
        assert url.startswith("http"), url
        yield url
    finally:
        process.terminate()
        process.communicate(timeout=PATIENCE)


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def test_the_page_starts_a_server_and_asks_it(tmp_path: Path) -> None:
    (start,) = [
        line
        for block in blocks("console")
        for line in commands(block)
        if line.startswith("ets serve --policy demo")
    ]
    words = shlex.split(start)
    at = words.index("--port")
    del words[at : at + 2]
    with command(words, tmp_path / "log") as url:
        base = url.removesuffix("/v1")
        curls = [line for block in blocks("console") for line in commands(block) if "curl" in line]
        assert len(curls) == 4
        for line in curls if shutil.which("curl") else []:
            done = subprocess.run(
                [*shlex.split(line.replace("http://127.0.0.1:8000", base)), "--noproxy", "*"],
                capture_output=True,
                text=True,
                timeout=PATIENCE,
                check=True,
            )
            assert "data: [DONE]" in done.stdout or json.loads(done.stdout)
            assert "error" not in done.stdout
        (program,) = blocks("python")
        done = subprocess.run(
            [sys.executable, "-c", program.replace("http://127.0.0.1:8000", base)],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("The answer is") >= 2


def test_the_file_of_the_page_is_a_configuration() -> None:
    tomllib = pytest.importorskip("tomllib", reason="Python 3.10 has none")
    from ets.cli.serve import served_of

    (text,) = blocks("toml")
    made = served_of(tomllib.loads(text), "serve.toml", {})
    assert list(made.searches) == ["ets-64", "rebase-16", "majority-32"]
    assert made.searches["ets-64"]["kv_budget"] == "auto"
    assert made.searches["ets-64"]["strategy"] == ets.ETS(width=64)
    assert made.searches["majority-32"]["vote"] == "majority"


def test_the_page_lists_every_setting_with_its_default() -> None:
    from dataclasses import fields

    from ets.serve.settings import Settings

    table = PAGE.partition("| key in `[serve]` |")[2].partition("\n\n")[0]
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*?) \|", table, re.MULTILINE))
    assert set(rows) == {field.name for field in fields(Settings)}
    for name, said in rows.items():
        default = getattr(Settings(), name)
        if default is not None:
            assert float(said) == default


@pytest.mark.rare
def test_many_requests_find_what_map_finds() -> None:
    """Two hundred, sixty-four at once, of the bundled pair: none lost, none mixed up."""
    problems = [str(problem["problem"]) for problem in demo.problems()[:200]]
    engines = {"policy": "demo", "prm": "demo"}
    given = {"policy": "demo", "prm": "demo", "embedder": "lexical", "max_tokens": None}
    given["max_step_tokens"] = None
    searches = {"ets-2": {"strategy": {"name": "ets", "width": 2}}}
    with (
        served(searches=searches, more=given, concurrency=64) as running,
        ThreadPoolExecutor(64) as threads,
        running.client() as http,
    ):

        def ask(problem: str) -> str | None:
            body = {"messages": [{"role": "user", "content": problem}]}
            answer = http.post("/v1/chat/completions", json=body)
            assert answer.status_code == 200, answer.text
            found: str | None = answer.json()["ets"]["answer"]
            return found

        served_answers = list(threads.map(ask, problems))
    with ets.Search(strategy=ets.ETS(width=2), **engines) as search:  # type: ignore[arg-type]
        mapped = [result.answer for result in search.map(problems, concurrency=64)]
    assert len(set(mapped)) > 20
    assert served_answers == mapped
