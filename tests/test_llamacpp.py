"""The openai policy on a real llama.cpp server: ids, ends, context, and a server that dies."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import ProxyHandler, build_opener

import pytest

import ets
import split_texts
from conftest import DEMO
from ets.loop.thread import LoopThread
from ets.step import Prefix, Step
from llamacpp_server import MODEL, LlamaServer, llamacpp_server

pytest.importorskip("openai", reason="openai is not installed (the extra 'openai' brings it)")
pytest.importorskip("torch", reason="torch is not installed (the extra 'torch' brings it)")
if importlib.util.find_spec("xllamacpp") is None:
    pytest.skip("xllamacpp is not installed (linux on x86_64 only)", allow_module_level=True)

from ets.policy.openai import OpenAIPolicy

pytestmark = pytest.mark.timeout(900)  # one thread, on a machine that does other things too
SLOTS, CONTEXT = 4, 4096
PROBLEM = "Tom has 3 apples and buys 4 more. How many apples does he have? Explain in short steps."


@pytest.fixture(scope="module")
def server(smollm2_gguf_path: Path) -> Iterator[LlamaServer]:
    with llamacpp_server(smollm2_gguf_path, slots=SLOTS, context=CONTEXT) as started:
        yield started


@pytest.fixture(scope="module")
def policy(
    server: LlamaServer, smollm2_path: Path, engine_loop: LoopThread
) -> Iterator[OpenAIPolicy]:
    made = OpenAIPolicy(MODEL, server.url, tokenizer=smollm2_path, answer_markers=())
    yield made
    engine_loop.run(made.aclose)


def prefix_of(policy: OpenAIPolicy, text: str) -> Prefix:
    """A prompt of this very text."""
    ids = policy.prompt.encode(text)
    return Prefix(problem="a text", prompt_tokens=len(ids), token_ids=ids)


def greedy(server: LlamaServer, tokenizer: Path) -> OpenAIPolicy:
    return OpenAIPolicy(MODEL, server.url, tokenizer=tokenizer, temperature=0.0, answer_markers=())


def test_the_context_is_that_of_a_slot(policy: OpenAIPolicy) -> None:
    assert policy.server.kind == "llama.cpp"
    assert policy.prompt.max_length == policy.server.max_length == CONTEXT // SLOTS


def test_ids_go_and_come(policy: OpenAIPolicy, engine_loop: LoopThread) -> None:
    root = policy.start(PROBLEM)

    async def siblings() -> list[Step]:
        return await asyncio.gather(
            *(policy.sample(root, seed=i, max_tokens=48) for i in range(2 * SLOTS))
        )

    for i, step in enumerate(engine_loop.run(siblings)):
        assert step.prompt_tokens == root.prompt_tokens
        assert policy.prompt.decode(step.token_ids) == step.text
        assert not set(step.token_ids) & policy.prompt.end_ids
        assert (step.finish == "step") == ("\n\n" in step.text), i
        assert "\n\n" not in policy.prompt.decode(step.token_ids[:-1])
        child = root.extend(step)
        if not step.finished and i < 3:
            more = engine_loop.run(policy.sample, child, seed=1, max_tokens=2)
            assert more.prompt_tokens == len(child.token_ids)
            assert more.cached_tokens > 0


def test_what_ended_a_step_is_known(
    server: LlamaServer, smollm2_path: Path, engine_loop: LoopThread
) -> None:
    certain = greedy(server, smollm2_path)

    def step(prefix: Prefix, tokens: int) -> Step:
        return engine_loop.run(certain.sample, prefix, seed=0, max_tokens=tokens)

    # "What is 1 +1?" as a user's turn
    ids = (1, 4093, 198, 1780, 314, 216, 34, 1232, 34, 47, 2, 198, 1, 520, 9531, 198)
    turn = Prefix(problem="1 + 1", prompt_tokens=len(ids), token_ids=ids)
    end = step(turn, 60)
    assert end.finish == "end"
    assert end.text == end.text.rstrip()  # no blank line is put behind what ended by itself
    assert len(end.token_ids) < 60
    cut = step(turn, len(end.token_ids))
    assert (cut.text, cut.finish) == (end.text, "length")  # its end would have been the next token
    counting = prefix_of(certain, "One apple.\n\nTwo apples.\n\nThree apples.\n\nFour")
    again = step(counting, 20)
    assert (again.text, again.finish) == (" apples.\n\n", "step")
    # Two line breaks as they were sampled, where our own encoding has one token for both.
    assert again.token_ids == (13855, 30, 198, 198) != certain.prompt.encode(again.text)
    engine_loop.run(certain.aclose)


def test_sentences_end_steps(
    server: LlamaServer, smollm2_path: Path, engine_loop: LoopThread
) -> None:
    def steps(rule: str, tokens: int) -> list[Step]:
        options: dict[str, Any] = {"temperature": 0.0, "answer_markers": (), "step": rule}
        made = OpenAIPolicy(MODEL, server.url, tokenizer=smollm2_path, **options)
        prefix = made.start(PROBLEM)
        found: list[Step] = []
        while sum(len(step.token_ids) for step in found) < tokens:
            found.append(engine_loop.run(made.sample, prefix, seed=0, max_tokens=tokens))
            prefix = prefix.extend(found[-1])
            if found[-1].finished:
                break
        engine_loop.run(made.aclose)
        return found

    whole = steps("tokens:48", 48)[0]
    assert (len(whole.token_ids), whole.finish) == (48, "step")
    found = steps("sentences", 40)
    text = whole.text
    first = split_texts.naive_sentence("", text)
    assert first is not None
    assert found[0].text == text[: len(found[0].text)]
    assert len(found[0].text) >= first
    assert found[0].finish == "step"
    assert found[0].token_ids == whole.token_ids[: len(found[0].token_ids)]
    assert found[0].dropped_tokens < 10  # of the 48 that it may have


def test_a_stop_text_ends_the_solution(
    server: LlamaServer, smollm2_path: Path, engine_loop: LoopThread
) -> None:
    made = OpenAIPolicy(MODEL, server.url, tokenizer=smollm2_path, temperature=0.0, stop=("apple",))
    prefix = prefix_of(made, "One apple.\n\nTwo apples.\n\nThree apples.\n\nFour")
    step = engine_loop.run(made.sample, prefix, seed=0, max_tokens=20)
    # The token that holds it is taken whole, as on vLLM.
    assert (step.text, step.finish) == (" apples", "end")
    engine_loop.run(made.aclose)


def test_steps_meet_in_the_middle_of_a_character(
    server: LlamaServer, smollm2_path: Path, engine_loop: LoopThread
) -> None:
    certain = greedy(server, smollm2_path)
    prefix = prefix_of(certain, "Write the same again: 😀😀😀 中文字 😀😀😀 中文字 😀")
    whole = engine_loop.run(certain.sample, prefix, seed=0, max_tokens=3)
    assert whole.text == "😀"
    ids: list[int] = []
    for _ in range(3):
        step = engine_loop.run(certain.sample, prefix, seed=0, max_tokens=1)
        assert step.finish == "length"
        ids += step.token_ids
        prefix = prefix.extend(step)
    assert tuple(ids) == whole.token_ids
    engine_loop.run(certain.aclose)


@pytest.mark.slow
def test_the_context_is_filled_to_its_last_token(
    policy: OpenAIPolicy, engine_loop: LoopThread
) -> None:
    length = policy.prompt.max_length
    ids = (policy.prompt.encode("one two three four ") * length)[: length - 1]
    prefix = Prefix(problem="a text", prompt_tokens=len(ids), token_ids=ids)
    last = engine_loop.run(policy.sample, prefix, seed=0, max_tokens=8)
    assert len(last.token_ids) <= 1
    assert last.finish != "length"


def test_a_server_that_refuses_a_length_cuts_the_solution(
    server: LlamaServer, smollm2_path: Path, engine_loop: LoopThread
) -> None:
    made = OpenAIPolicy(MODEL, server.url, tokenizer=smollm2_path)
    made.prompt.max_length = 8192  # the checkpoint's, as if the server had not said
    root = made.start("Tom has 3 apples. " * 400)
    step = engine_loop.run(made.sample, root, seed=0, max_tokens=8)
    assert step == Step("", (), "context", prompt_tokens=root.prompt_tokens)
    engine_loop.run(made.aclose)


def test_another_tokenizer_is_an_error_of_one_line(
    server: LlamaServer, engine_loop: LoopThread
) -> None:
    made = OpenAIPolicy(MODEL, server.url, tokenizer=DEMO / "policy")
    root = made.start(PROBLEM)
    with pytest.raises(ets.EngineError, match="its tokenizer is not ours") as caught:
        engine_loop.run(made.sample, root, seed=0, max_tokens=16)
    assert "\n" not in str(caught.value)
    engine_loop.run(made.aclose)


def test_the_same_seed_gives_the_same_step(policy: OpenAIPolicy, engine_loop: LoopThread) -> None:
    root = policy.start(PROBLEM)
    steps = [
        engine_loop.run(policy.sample, root, seed=seed, max_tokens=16) for seed in (7, 8, 7, 2**62)
    ]
    assert steps[0].token_ids == steps[2].token_ids
    assert len({step.token_ids for step in steps}) == 3


def test_cancelling_frees_the_slots(
    server: LlamaServer, policy: OpenAIPolicy, engine_loop: LoopThread
) -> None:
    root = policy.start("Count from one to a thousand, in words.")

    def busy() -> int:
        url = server.url.removesuffix("/v1") + "/slots"
        with build_opener(ProxyHandler({})).open(url, timeout=60) as reply:
            return sum(bool(slot["is_processing"]) for slot in json.loads(reply.read()))

    async def cancel() -> None:
        async def endless(seed: int) -> None:
            while True:
                await policy.sample(root, seed=seed, max_tokens=900)

        tasks = [asyncio.create_task(endless(seed)) for seed in range(SLOTS)]
        while not await asyncio.to_thread(busy):
            await asyncio.sleep(0.05)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        while await asyncio.to_thread(busy):  # or the test times out
            await asyncio.sleep(0.05)

    engine_loop.run(cancel)


class Watched:
    """A policy that calls `then` once, behind the first solution that ends."""

    def __init__(self, policy: OpenAIPolicy, then: threading.Thread) -> None:
        self._policy = policy
        self._then = then
        self.finished = 0

    def start(self, problem: str) -> Prefix:
        return self._policy.start(problem)

    async def sample(self, prefix: Prefix, *, seed: int, max_tokens: int) -> Step:
        step = await self._policy.sample(prefix, seed=seed, max_tokens=max_tokens)
        self.finished += step.finished
        if self.finished == 1 and step.finished:
            self._then.start()
            await asyncio.to_thread(self._then.join)
        return step

    async def aclose(self) -> None:
        await self._policy.aclose()


def solve(policy: Watched) -> ets.SearchResult:
    with ets.Search(
        policy=policy,
        prm=lambda problem, steps: 0.5,
        strategy=ets.REBASE(width=3 * SLOTS),
        max_step_tokens=64,
        max_tokens=256,
    ) as search:
        try:
            return search.solve("What is 1 + 1? Answer with one number only.")
        finally:
            asyncio.run(policy.aclose())


def test_a_server_that_dies_leaves_the_answer_so_far(
    smollm2_gguf_path: Path, smollm2_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with llamacpp_server(smollm2_gguf_path, slots=SLOTS, context=CONTEXT) as server:
        made = OpenAIPolicy(MODEL, server.url, tokenizer=smollm2_path, max_retries=0, patience=0.1)
        result = solve(Watched(made, threading.Thread(target=server.kill)))
    assert result.end == "engine_lost"
    assert result.lost is not None
    assert result.lost.startswith(f"cannot reach the server at {server.url}: ")
    assert result.to_dict()["lost"] == result.lost
    assert 0 < len(result.trajectories) < 3 * SLOTS
    assert any(solution.finished for solution in result.trajectories)
    said = [record.getMessage() for record in caplog.records if record.name == "ets"]
    assert len(said) == 1
    assert said[0].endswith("; waiting for it, 0.1 s at most")


@pytest.mark.slow
def test_a_server_that_restarts_is_waited_for(
    smollm2_gguf_path: Path, smollm2_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with llamacpp_server(smollm2_gguf_path, slots=SLOTS, context=CONTEXT) as server:

        def restart() -> None:
            server.kill()
            server.start()

        made = OpenAIPolicy(MODEL, server.url, tokenizer=smollm2_path, max_retries=0)
        with caplog.at_level(logging.WARNING, "ets"):
            result = solve(Watched(made, threading.Thread(target=restart)))
    assert (result.end, result.lost) == ("width_used_up", None)
    assert len(result.trajectories) == 3 * SLOTS
    said = [record.getMessage() for record in caplog.records if record.name == "ets"]
    assert said[0].endswith("; waiting for it, 300 s at most")
    assert said[1].startswith(f"the server at {server.url} answers again after ")


def test_a_server_that_loads_is_waited_for_at_the_start(
    smollm2_gguf_path: Path, smollm2_path: Path
) -> None:
    with llamacpp_server(smollm2_gguf_path) as server:
        server.kill()
        server.start()
        while True:  # until its port is open, which is before the model is loaded
            try:
                made = OpenAIPolicy(MODEL, server.url, tokenizer=smollm2_path, max_retries=0)
            except ets.EngineError as error:  # noqa: PERF203  a new try each
                if "cannot reach" not in str(error):
                    raise
            else:
                break
        assert made.server.max_length == CONTEXT // SLOTS
        asyncio.run(made.aclose())


def test_a_step_carries_log_probabilities(
    server: LlamaServer, smollm2_path: Path, engine_loop: LoopThread
) -> None:
    """Those of its own model, which the GGUF file has in fewer bits than the checkpoint."""
    import torch
    from transformers import AutoModelForCausalLM

    made = OpenAIPolicy(MODEL, server.url, tokenizer=smollm2_path, top_logprobs=5)
    try:
        root = made.start(PROBLEM)
        step = engine_loop.run(made.sample, root, seed=3, max_tokens=24)
    finally:
        engine_loop.run(made.aclose)
    model = AutoModelForCausalLM.from_pretrained(smollm2_path, dtype=torch.float32).eval()
    with torch.no_grad():
        logits = model(torch.tensor([root.token_ids + step.token_ids])).logits[0]
    logs = torch.log_softmax(logits[len(root.token_ids) - 1 : -1].double(), dim=-1)
    sampled = logs[range(len(step.token_ids)), list(step.token_ids)]
    confidence = -logs.topk(5, dim=-1).values.mean(dim=-1)
    assert step.certainty is not None
    assert len(step.certainty) == len(step.token_ids) > 8
    logprobs = step.certainty.of_tokens("logprob")
    confidences = step.certainty.of_tokens("confidence")
    for found, wanted in ((logprobs, sampled), (confidences, confidence)):
        assert found == pytest.approx(wanted.numpy(), abs=0.5)
        assert float(abs(found - wanted.numpy()).mean()) < 0.1
