"""The openai policy on a real vLLM server: ids and cache, seeds, aborts, a whole search."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from dataclasses import replace

import pytest

import ets
import step_cases
from conftest import VLLMPair
from ets import demo
from ets.engines.protocols import Policy
from ets.loop.thread import LoopThread
from ets.step import Step
from models_page import hold_equal_steps
from on_vllm import BLOCK, PROBLEM, sample_all
from plain_demo import plain_greedy
from vllm_server import VLLMServer

pytest.importorskip("openai", reason="openai is not installed (the extra 'openai' brings it)")

from ets.policy.openai import OpenAIPolicy
from ets.policy.text_step import TextSteps

pytestmark = [pytest.mark.vllm, pytest.mark.slow]


@pytest.fixture(scope="module")
def policy(tiny_server: VLLMServer, engine_loop: LoopThread) -> Iterator[OpenAIPolicy]:
    # Without answer markers, so that sampling goes on as long as a test wants it to.
    made = OpenAIPolicy("tiny", tiny_server.url, answer_markers=())
    yield made
    engine_loop.run(made.aclose)


def test_the_server_says_what_it_serves(policy: OpenAIPolicy) -> None:
    assert policy.server.kind == "vllm"
    assert policy.server.root == str(demo.policy_path())
    assert policy.prompt.max_length == policy.server.max_length == 1024


def test_ids_extend_their_parents_and_hit_the_cache(
    policy: OpenAIPolicy, engine_loop: LoopThread
) -> None:
    root = policy.start(PROBLEM)
    engine_loop.run(sample_all, policy, [root])
    siblings = engine_loop.run(sample_all, policy, [root] * 8)
    shared = (root.prompt_tokens - 1) // BLOCK * BLOCK
    assert {(s.prompt_tokens, s.cached_tokens) for s in siblings} == {(root.prompt_tokens, shared)}
    children = [root.extend(step) for step in siblings]
    for child, step in zip(children, siblings, strict=True):
        assert child.token_ids == root.token_ids + step.token_ids
        assert policy.prompt.decode(step.token_ids) == step.text
        assert not set(step.token_ids) & policy.prompt.end_ids
    for child, step in zip(children, engine_loop.run(sample_all, policy, children), strict=True):
        assert step.prompt_tokens == len(child.token_ids)
        # All that the parent computed is there: its prompt and its step but for the last token.
        assert step.cached_tokens >= (len(child.token_ids) - 1) // BLOCK * BLOCK > 0


def test_steps_end_where_they_should(policy: OpenAIPolicy, engine_loop: LoopThread) -> None:
    root = policy.start(PROBLEM)
    for step in engine_loop.run(sample_all, policy, [root] * 16, tokens=64):
        assert (step.finish == "step") == ("\n\n" in step.text)
        assert "\n\n" not in policy.prompt.decode(step.token_ids[:-1])
    for step in engine_loop.run(sample_all, policy, [root] * 4, tokens=2):
        assert (len(step.token_ids), step.finish) == (2, "length")


def test_a_solution_ends_with_its_sequence(policy: OpenAIPolicy, engine_loop: LoopThread) -> None:
    prefix = policy.start(PROBLEM)
    while not (prefix.steps and prefix.steps[-1].finished):
        prefix = prefix.extend(engine_loop.run(policy.sample, prefix, seed=3, max_tokens=64))
        assert len(prefix.steps) < 20
    assert prefix.steps[-1].finish == "end"
    assert "The answer is" in "".join(step.text for step in prefix.steps)


def test_steps_equal_those_of_an_engine_in_this_process(
    policy: OpenAIPolicy, vllm_pair: VLLMPair, engine_loop: LoopThread
) -> None:
    """One request at a time, so that both engines compute the same batches."""

    async def one_by_one(writer: Policy) -> list[Step]:
        root = writer.start(PROBLEM)
        steps = [await writer.sample(root, seed=i, max_tokens=32) for i in range(8)]
        child = root.extend(steps[0])
        return steps + [await writer.sample(child, seed=i, max_tokens=32) for i in range(8)]

    found = []
    for writer in (policy, vllm_pair.policy):
        # The first time fills the cache: a prefill rounds otherwise than a hit.
        engine_loop.run(one_by_one, writer)
        found.append(engine_loop.run(one_by_one, writer))
    assert found[0] == found[1]
    assert len({step.token_ids for step in found[0]}) > 4, "seeds make no difference"


def test_texts_make_the_same_solution_as_ids(
    policy: OpenAIPolicy, tiny_server: VLLMServer, engine_loop: LoopThread
) -> None:
    """The path of servers that take and give text, greedy, on a tokenizer that loses nothing."""
    equal: list[bool] = []
    solutions = []
    problems = demo.problems()[:8]
    for kind in ("vllm", "other"):
        greedy = OpenAIPolicy("tiny", tiny_server.url, temperature=0.0)
        if kind == "other":
            greedy._steps = TextSteps(greedy.prompt, replace(greedy.server, kind="other"))
        for problem in problems:
            prefix = greedy.start(str(problem["problem"]))
            while not (prefix.steps and prefix.steps[-1].finished) and len(prefix.steps) < 12:
                step = engine_loop.run(greedy.sample, prefix, seed=0, max_tokens=64)
                assert step.prompt_tokens == len(prefix.token_ids)
                prefix = prefix.extend(step)
            solutions.append((prefix.token_ids, [(s.text, s.finish) for s in prefix.steps]))
            if kind == "vllm":
                first = [step.token_ids for step in prefix.steps[:3]]
                plain = plain_greedy(str(problem["problem"]), steps=3, tokens=64)
                equal += [one == other for one, other in zip(first, plain, strict=True)]
        engine_loop.run(greedy.aclose)
    hold_equal_steps(equal, "bundled policy", "openai")
    assert solutions[:8] == solutions[8:]
    for problem, (ids, steps) in zip(problems[:4], solutions[:4], strict=True):
        plain = plain_greedy(str(problem["problem"]), steps=len(steps), tokens=64)
        assert ids[-sum(map(len, plain)) :] == tuple(token for step in plain for token in step)
    # With a chat template only a box or the end of the sequence ends a solution.
    assert {steps[-1][1] for _, steps in solutions} == {"end"}


def counted(server: VLLMServer, metric: str) -> float:
    """One of the server's figures, summed over its labels."""
    values = re.findall(rf"^vllm:{metric}{{.*}} (.*)$", server.get("/metrics"), re.MULTILINE)
    return sum(map(float, values))


def test_cancelling_aborts_the_request(
    tiny_server: VLLMServer, engine_loop: LoopThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then the server writes tokens that no request that came to its end has got."""
    policy = OpenAIPolicy("tiny", tiny_server.url)
    root = policy.start(PROBLEM)
    # As long as the context allows, and one after the other, so that some surely are under way.
    endless = {"ignore_eos": True, "stop": [], "stop_token_ids": []}
    ask = policy._steps.request
    monkeypatch.setattr(policy._steps, "request", lambda *given: {**ask(*given), **endless})

    async def sample(seed: int) -> None:
        while True:
            await policy.sample(root, seed=seed, max_tokens=2000)

    async def until(running: bool) -> None:
        for _ in range(1000):
            number = await asyncio.to_thread(counted, tiny_server, "num_requests_running")
            if (number > 0) is running:
                return
            await asyncio.sleep(0.02)
        raise TimeoutError

    async def cancel() -> None:
        tasks = [asyncio.create_task(sample(i)) for i in range(8)]
        await until(running=True)
        for task in tasks:
            task.cancel()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(end, asyncio.CancelledError) for end in ends)
        await until(running=False)

    def unfinished_tokens() -> float:
        return counted(tiny_server, "generation_tokens_total") - counted(
            tiny_server, "request_generation_tokens_sum"
        )

    before = unfinished_tokens()
    for _ in range(20):  # On a slow machine all eight may end before they are cancelled.
        engine_loop.run(cancel)
        if unfinished_tokens() > before:
            break
    else:
        pytest.fail("every request that was cancelled was written to its end")
    monkeypatch.undo()
    assert engine_loop.run(policy.sample, root, seed=1, max_tokens=8).prompt_tokens
    engine_loop.run(policy.aclose)


def test_what_the_server_refuses_is_an_error_of_one_line(
    policy: OpenAIPolicy, tiny_server: VLLMServer, engine_loop: LoopThread
) -> None:
    with pytest.raises(ets.InputError, match="leaves no room for a step"):
        policy.start("apples " * 1024)
    with pytest.raises(ets.EngineError, match="has no model 'large'; it has 'tiny'"):
        OpenAIPolicy("large", tiny_server.url)
    with pytest.raises(ets.EngineError, match="must be the base of its API"):
        OpenAIPolicy("tiny", tiny_server.url + "/v2")
    root = policy.start(PROBLEM)
    policy._model = "gone"
    try:
        with pytest.raises(ets.EngineError, match="404: The model `gone` does not exist") as error:
            engine_loop.run(policy.sample, root, seed=0, max_tokens=8)
    finally:
        policy._model = "tiny"
    assert "\n" not in str(error.value)


def test_a_search_over_the_server(tiny_server: VLLMServer) -> None:
    problem = demo.problems()[2]
    with ets.Search(
        policy=f"openai:tiny@{tiny_server.url}",
        prm="demo",
        strategy=ets.ETS(width=16),
        max_depth=10,
    ) as search:
        result = search.solve(str(problem["problem"]))
    assert result.answer == str(problem["answer"])
    assert len(result.trajectories) == 16
    usage = result.usage
    assert 0 < usage.policy_cached_tokens < usage.policy_prompt_tokens
    # Up to the last full block, a prompt is the parent's and in the cache.
    assert usage.policy_prompt_tokens - usage.policy_cached_tokens < 2 * BLOCK * usage.policy_calls


@pytest.mark.parametrize("rule", ["tokens:9", "sentences", r"regex:\d\.(?=\s)"])
def test_steps_that_are_not_paragraphs(
    tiny_server: VLLMServer, engine_loop: LoopThread, rule: str
) -> None:
    """The whole greedy text, cut as it says it is; the server is not listened to any longer."""
    whole = OpenAIPolicy("tiny", tiny_server.url, **step_cases.options("tokens:256"))
    parts = OpenAIPolicy("tiny", tiny_server.url, **step_cases.options(rule))
    equal = []
    for problem in step_cases.PROBLEMS:
        (text, *_) = engine_loop.run(step_cases.written, whole, problem)
        found = engine_loop.run(step_cases.written, parts, problem)
        cuts = step_cases.cut(text.token_ids, rule, parts.prompt.decode)
        equal.append(step_cases.cuts_of(found) == cuts)
        assert sum(step.dropped_tokens for step in found[:3]) < 30
    assert sum(equal) >= len(equal) - 1  # as in tests/test_vllm.py
    for policy in (whole, parts):
        engine_loop.run(policy.aclose)
