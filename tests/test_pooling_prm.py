"""PRMs behind servers: what is asked and made of the answers, and every way that can fail."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import ets
from conftest import DEMO
from ets.engines.protocols import PRM
from ets.errors import ContextError
from ets.prm import load_prm
from ets.step import Prefix, Score, Step
from scripted_http import Reply, Script, ScriptedServer, scripted_server

pytest.importorskip("openai", reason="openai is not installed (the extra 'openai' brings it)")
pytest.importorskip("torch", reason="torch is not installed (the extra 'torch' brings it)")

import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer

from ets.prm.pooling import PoolingPRM
from prm_cases import make_math_shepherd, make_skywork, share

FOLDER = str(DEMO / "prm")
TAG = 4
PREFIX = Prefix(
    "How many apples?",
    0,
    (),
    (Step("Tom has 3 apples.\n\n", (1,), "step"), Step("The answer is 3.", (1,), "end")),
)
BAD, GOOD = [0.9, 0.1], [0.25, 0.75]


def ids_of(prefix: Prefix = PREFIX) -> list[int]:
    """What the demo PRM reads, by hand."""
    tokenizer = Tokenizer.from_file(str(DEMO / "prm" / "tokenizer.json"))
    steps = "".join(f"{step.text.strip()}<extra_0>" for step in prefix.steps)
    text = f"<|user|>{prefix.problem}<|assistant|>{steps}"
    ids: list[int] = tokenizer.encode(text, add_special_tokens=False).ids
    return ids


def card(**more: Any) -> dict[str, Any]:
    return {"id": "m", "owned_by": "vllm", "root": FOLDER, "max_model_len": 512, **more}


def always(reply: Reply | None) -> Script:
    async def script(body: dict[str, Any]) -> Reply | None:
        return reply

    return script


def in_turn(*replies: Reply | None) -> Script:
    left = list(replies)

    async def script(body: dict[str, Any]) -> Reply | None:
        return left.pop(0) if len(left) > 1 else left[0]

    return script


def pooled(data: Any, **usage: Any) -> Reply:
    return Reply({"data": [{"index": 0, "object": "pooling", "data": data}], "usage": usage})


OK = pooled([BAD, GOOD])
BUSY = Reply({"error": {"message": "too many requests"}}, status=429)
DOWN = Reply({"error": {"message": "out of\nmemory"}}, status=500)


@contextmanager
def serving(
    pooling: Script | None, *cards: dict[str, Any], **options: Any
) -> Iterator[tuple[ScriptedServer, PoolingPRM]]:
    """A scripted server and a PRM on it; each test closes the PRM's loops by itself."""
    models = always(Reply({"object": "list", "data": list(cards) or [card()]}))
    scripts: dict[str, Script] = {"/v1/models": models}
    if pooling is not None:
        scripts["/pooling"] = pooling
    with scripted_server(scripts) as server:
        yield server, PoolingPRM("m", server.url, **options)


def run(prm: PoolingPRM, work: Callable[[], Awaitable[Any]]) -> Any:
    async def then_close() -> Any:
        try:
            return await work()
        finally:
            await prm.aclose()

    return asyncio.run(then_close())


def score(prm: PoolingPRM, prefix: Prefix = PREFIX) -> Score:
    found = run(prm, lambda: prm.score(prefix))
    assert isinstance(found, Score)
    return found


def failure(prm: PoolingPRM, prefix: Prefix = PREFIX) -> str:
    with pytest.raises(ets.EngineError) as caught:
        score(prm, prefix)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- a model that vLLM knows as a PRM -------------------------------------------------------------


def test_ids_go_and_a_row_per_step_tag_comes() -> None:
    ids = ids_of()
    with serving(always(pooled([BAD, GOOD], prompt_tokens=len(ids)))) as (server, prm):
        assert isinstance(prm, PRM)
        assert score(prm) == Score(0.75, prompt_tokens=len(ids), cached_tokens=0)
    assert ids.count(TAG) == 2
    assert server.bodies == [
        {
            "model": "m",
            "input": ids,
            "encoding_format": "float",
            "task": "token_classify",
            "use_activation": True,
        }
    ]
    assert "authorization: bearer empty" in server.headers[0].lower()


def test_a_row_per_token_comes() -> None:
    rows = [BAD] * (len(ids_of()) - 1) + [GOOD]
    usage = {"prompt_tokens_details": {"cached_tokens": 7}}
    with serving(always(pooled(rows, **usage))) as (_, prm):
        assert score(prm) == Score(0.75, prompt_tokens=len(rows), cached_tokens=7)


@pytest.mark.parametrize("number", [0, 1, 3, len(ids_of()) - 1, len(ids_of()) + 1, 1000])
def test_any_other_number_of_rows_is_refused(number: int) -> None:
    ids = ids_of()
    with serving(always(pooled([GOOD] * number))) as (server, prm):
        found = failure(prm)
    assert found == (
        f"the PRM 'm' on the server at {server.url} returned {number} rows for 2 step tags in "
        f"{len(ids)} tokens, where a row per tag or a row per token was due: vLLM has to be "
        'started with --runner pooling --pooler-config \'{"tok_pooling_type": "STEP", '
        f'"step_tag_id": {TAG}}}\''
    )


def test_a_step_tag_that_a_policy_wrote_has_no_row() -> None:
    steps = (Step("So <extra_0> 3.\n\n", (1,), "step"), *PREFIX.steps)
    prefix = Prefix(PREFIX.problem, 0, (), steps)
    with serving(always(pooled([BAD, BAD, GOOD]))) as (_, prm):
        assert score(prm, prefix).reward == 0.75
    with serving(always(pooled([BAD, BAD, BAD, GOOD]))) as (_, prm):
        assert "4 rows for 3 step tags" in failure(prm, prefix)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([BAD, [3.1, -9.0]], r"returned \(3.1, -9\), which are no probabilities but raw outputs"),
        ([[3.1, -9.0], GOOD], r"returned \(3.1, -9\), which are no probabilities but raw outputs"),
        ([BAD, [-0.5, 1.5]], r"returned \(-0.5, 1.5\), which are no probabilities"),
        ([BAD, [0.25, 0.8]], r"returned \(0.25, 0.8\), which are no probabilities"),
        ([BAD, [None, None]], "returned values that are not finite, such as NaN"),
        ([BAD, [float("nan"), 0.5]], "returned values that are not finite, such as NaN"),
        ([BAD, [float("inf"), 0.5]], "returned values that are not finite, such as NaN"),
        ([[0.5], [0.5]], r"returned an output of shape \(2, 1\), not one pair of probabilities"),
        ([0.5, 0.5], r"returned an output of shape \(2,\), not one pair of probabilities"),
        ([[0.2, 0.3, 0.5]] * 2, r"returned an output of shape \(2, 3\), not one pair"),
    ],
)
def test_rows_that_are_no_probabilities(rows: Any, message: str) -> None:
    with serving(always(pooled(rows))) as (server, prm):
        found = failure(prm)
    assert re.search(message, found)
    assert found.startswith(f"the PRM 'm' on the server at {server.url} returned ")


def test_what_half_precision_rounds_is_a_probability() -> None:
    with serving(always(pooled([BAD, [0.0, 1.004]]))) as (_, prm):
        assert score(prm).reward == 1.0


def test_nothing_written_is_not_asked_for() -> None:
    with serving(None) as (server, prm):
        empty = Prefix(PREFIX.problem, 0, (), (Step(" \n\n", (1,), "step"),))
        assert score(prm, empty) == Score(0.0)
    assert server.bodies == []


def test_the_context_is_the_smallest_that_is_stated() -> None:
    with serving(None) as (_, prm):
        assert prm.format.max_length == 512
    with serving(None, card(max_model_len=10**6)) as (_, prm):
        assert prm.format.max_length == 1024  # the checkpoint's own
    with serving(None, max_length=10) as (_, prm):
        assert "which reads at most 10 tokens" in failure(prm)


# --- any other model: a hidden state --------------------------------------------------------------


@pytest.fixture(scope="module")
def shepherd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pooling") / "math-shepherd-tiny"
    folder.mkdir()
    make_math_shepherd(folder)
    return folder


def state(seed: int = 0) -> torch.Tensor:
    return torch.randn(64, generator=torch.Generator().manual_seed(seed))


def test_a_state_comes_and_the_head_is_applied_here(shepherd: Path) -> None:
    vocab = Tokenizer.from_file(str(shepherd / "tokenizer.json")).get_vocab()
    logits = load_file(shepherd / "model.safetensors")["lm_head.weight"] @ state()
    expected = share(logits, [vocab["▁+"]], [vocab["▁-"]])
    assert abs(expected - 0.5) > 0.02
    with serving(always(pooled(state().tolist())), card(root=str(shepherd))) as (server, prm):
        found = score(prm)
    assert found.reward == pytest.approx(expected, abs=1e-6)
    (body,) = server.bodies
    assert (body["task"], body["use_activation"]) == ("embed", False)
    assert body["input"][-1] == vocab["▁ки"]
    assert found.prompt_tokens == len(body["input"])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ((state() / state().norm()).tolist(), "returned a vector of length 1, so it normalises"),
        (state()[:32].tolist(), r"returned an output of shape \(32,\), where .* \(64,\), was due"),
        ([state().tolist()] * 2, r"returned an output of shape \(2, 64\), where the hidden state"),
        ([BAD, GOOD], r"returned an output of shape \(2, 2\), where the hidden state of one token"),
    ],
)
def test_what_is_no_hidden_state(data: Any, message: str, shepherd: Path) -> None:
    with serving(always(pooled(data)), card(root=str(shepherd))) as (_, prm):
        found = failure(prm)
    assert re.search(message, found)
    assert found.endswith(
        "vLLM has to be started with --runner pooling --convert embed --pooler-config "
        '\'{"seq_pooling_type": "LAST", "use_activation": false}\''
    )


def test_a_state_with_nan(shepherd: Path) -> None:
    data = [*state()[:63].tolist(), None]
    with serving(always(pooled(data)), card(root=str(shepherd))) as (_, prm):
        assert "returned values that are not finite, such as NaN" in failure(prm)


# --- what goes wrong ------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [BUSY, DOWN, None], ids=["429", "500", "dropped"])
def test_what_passes_is_tried_again(fault: Reply | None) -> None:
    with serving(in_turn(fault, OK)) as (server, prm):
        assert score(prm).reward == 0.75
    assert len(server.bodies) == 2


def test_what_fails_at_every_retry_is_an_error() -> None:
    with serving(always(DOWN), max_retries=1) as (server, prm):
        assert failure(prm) == (
            f"the server at {server.url} answers /pooling with 500: out of memory"
        )
    assert len(server.bodies) == 2


TASK = "Unsupported task: 'token_classify' Supported tasks: ['embed'] (parameter=task)"


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (BUSY, "the server at URL answers /pooling with 429: too many requests"),
        (None, "cannot reach the server at URL: .+"),
        (
            Reply({"error": {"message": "The model `m` does not exist."}}, status=404),
            "the server at URL answers /pooling with 404: The model `m` does not exist.",
        ),
        (
            Reply({"error": {"message": TASK}}, status=400),
            f"the server at URL refuses /pooling with 400, {re.escape(repr(TASK))}: vLLM has to be "
            "started with --runner pooling",
        ),
        (
            Reply({"error": {"message": "Token id 9 is out of vocabulary"}}, status=400),
            "the server at URL answers /pooling with 400: Token id 9 is out of vocabulary",
        ),
        (
            Reply("<html>\nbusy", content_type="text/html"),
            "the server at URL answers /pooling with '<html>.nbusy', not with one pooled output",
        ),
        (Reply('{"data": [{"da'), "the server at URL answers /pooling with .*, not with one .*"),
        (Reply([1]), "the server at URL answers /pooling with .*, not with one pooled output"),
        (Reply({"data": []}), "the server at URL answers /pooling with .*, not with one .*"),
        (
            Reply({"data": OK.body["data"] * 2}),
            "the server at URL answers /pooling with .*, not with one pooled output",
        ),
        (pooled("AAAA"), "the server at URL answers /pooling with .*, not with one pooled output"),
        (pooled([BAD, [0.5]]), "the server at URL answers /pooling with .*, not with one .*"),
        (pooled([BAD, ["x", 1]]), "the server at URL answers /pooling with .*, not with one .*"),
        (
            pooled([BAD, GOOD], prompt_tokens=5),
            r"the server at URL read 5 tokens of the \d+ that were sent",
        ),
    ],
)
def test_what_stays_is_an_error_of_one_line(reply: Reply | None, message: str) -> None:
    with serving(always(reply), max_retries=0, patience=0) as (server, prm):
        found = failure(prm)
    assert re.fullmatch(message.replace("URL", re.escape(server.url)), found)
    assert len(server.bodies) == 1


def test_a_server_that_generates() -> None:
    with serving(None) as (server, prm):
        found = failure(prm)
    assert found == (
        f"the server at {server.url} has no /pooling (404, 'Not Found'): vLLM has to be started "
        "with --runner pooling"
    )


def test_a_server_that_does_not_answer_in_time() -> None:
    with serving(never, timeout=0.2, max_retries=0) as (server, prm):
        found = failure(prm)
    assert found == f"the server at {server.url} did not answer within 0.2 s, the timeout"


def test_a_solution_that_the_server_refuses_as_too_long() -> None:
    said = "This model's maximum context length is 512 tokens. However, you requested 600."
    with (
        serving(always(Reply({"error": {"message": said}}, status=400))) as (server, prm),
        pytest.raises(ContextError, match=f"the server at {server.url} cannot read a solution"),
    ):
        score(prm)


def test_a_server_that_goes() -> None:
    with serving(always(OK), max_retries=0, patience=0) as (server, prm):
        pass
    assert failure(prm).startswith(f"cannot reach the server at {server.url}: ")


def test_nothing_answers_at_construction() -> None:
    with pytest.raises(ets.EngineError, match=r"^cannot reach the server at http://127.0.0.1:9/v1"):
        load_prm("pooling:m@http://127.0.0.1:9/v1?max_retries=0")


@pytest.mark.parametrize(
    ("cards", "options", "message"),
    [
        ([card(id="a"), card(id="b")], {}, "has no model 'm'; it has 'a', 'b'"),
        (
            [card(root="/nowhere")],
            {},
            "the checkpoint of 'm' at .* cannot be read here: give checkpoint, .*'/nowhere'",
        ),
        ([card(root=None)], {}, "does not say what checkpoint 'm' is: give checkpoint"),
        ([card()], {"checkpoint": "/nowhere"}, "there is no checkpoint folder '/nowhere'"),
        ([card(root=str(DEMO / "policy"))], {}, "is no PRM of a known format.* format=NAME"),
    ],
)
def test_what_the_server_cannot_serve(
    cards: list[dict[str, Any]], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ets.EngineError, match=message) as caught, serving(None, *cards, **options):
        pass
    assert "\n" not in str(caught.value)


def test_the_checkpoint_may_lie_elsewhere() -> None:
    with serving(always(OK), card(root="/nowhere"), checkpoint=FOLDER) as (_, prm):
        assert score(prm).reward == 0.75


def test_a_model_that_vllm_does_not_know(tmp_path: Path) -> None:
    make_skywork(tmp_path)
    with (
        pytest.raises(ets.EngineError, match=r"'m' \(skywork\) cannot run: .* transformers:PATH"),
        serving(None, card(root=str(tmp_path))),
    ):
        pass


def test_an_unknown_option() -> None:
    with (
        pytest.raises(ets.InputError, match=r"unknown option 'device' of a pooling PRM of .* qwen"),
        serving(None, device="cpu"),
    ):
        pass


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("pooling:m@127.0.0.1:8000/v1", {}, "url must be the base of an API.*got '127"),
        ("pooling:m@http://x:8000", {}, r"url must end in /v1, .*, got 'http://x:8000'"),
        ("pooling:m@http://x/v1?timeout=0", {}, "timeout must be above 0, got 0"),
        ("pooling:@http://x/v1", {}, "model must be the name of a model"),
        ("pooling:m", {}, "prm must be demo, .*, pooling:MODEL@URL or none, got 'pooling:m'"),
        ("pooling:m@http://x/v1", {"max_retries": -1}, "max_retries must be an integer from 0"),
        ("pooling:m@http://x/v1", {"max_in_flight": 0}, "max_in_flight must be an integer from 1"),
        ("pooling:m@http://x/v1", {"max_length": 0}, "max_length must be an integer from 1"),
    ],
)
def test_mistakes_are_found_before_the_server_is_asked(
    name: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        load_prm(name, **options)


def test_without_the_client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(ets.errors.MissingExtraError, match=r"pip install 'ets-search\[openai\]'"):
        load_prm("pooling:m@http://127.0.0.1:9/v1")


def test_a_name_with_options() -> None:
    with serving(always(OK)) as (server, _):
        prm = load_prm(f"pooling:m@{server.url}?format=qwen&timeout=5", max_retries=0)
        assert isinstance(prm, PoolingPRM)
        assert score(prm).reward == 0.75
        assert prm.server.root == FOLDER


# --- many requests --------------------------------------------------------------------------------


async def until(true: Callable[[], bool]) -> None:
    for _ in range(500):
        if true():
            return
        await asyncio.sleep(0.01)
    raise TimeoutError


async def never(body: dict[str, Any]) -> Reply:
    await asyncio.sleep(3600)
    return OK


def test_no_more_in_flight_than_allowed() -> None:
    async def slow(body: dict[str, Any]) -> Reply:
        await asyncio.sleep(0.02)
        return OK

    with serving(slow, max_in_flight=3) as (server, prm):

        async def many() -> None:
            await asyncio.gather(*(prm.score(PREFIX) for _ in range(12)))

        run(prm, many)
    assert server.most == 3
    assert len(server.bodies) == 12


def test_cancelling_closes_the_connection() -> None:
    with serving(never, max_in_flight=2) as (server, prm):

        async def cancel() -> None:
            tasks = [asyncio.create_task(prm.score(PREFIX)) for _ in range(3)]
            await until(lambda: server.running == 2)
            for task in tasks:
                task.cancel()
            ends = await asyncio.gather(*tasks, return_exceptions=True)
            assert all(isinstance(end, asyncio.CancelledError) for end in ends)
            await until(lambda: server.dropped == 2)

        run(prm, cancel)
    assert (server.running, len(server.bodies)) == (0, 2)


def test_closing_ends_what_waits() -> None:
    with serving(never) as (server, prm):

        async def close() -> None:
            task = asyncio.create_task(prm.score(PREFIX))
            await until(lambda: server.running == 1)
            await prm.aclose()
            closed = f"the PRM on the server at {server.url} is closed"
            with pytest.raises(ets.EngineError, match=closed):
                await task
            with pytest.raises(ets.EngineError, match=closed):
                await prm.score(PREFIX)
            await until(lambda: server.dropped == 1)

        asyncio.run(close())


def test_a_failing_server_fails_the_search() -> None:
    from scripted_engines import ScriptedPolicy

    with (
        serving(always(DOWN), max_retries=0) as (_, prm),
        ets.Search(policy=ScriptedPolicy(), prm=prm) as search,
        pytest.raises(ets.EngineError, match="500: out of memory"),
    ):
        search.solve("How many?")
