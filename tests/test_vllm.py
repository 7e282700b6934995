"""The vLLM backends on real engines: ids and cache, seeds, scores, aborts, ends."""

from __future__ import annotations

import asyncio
import gc
import logging
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import ets
import step_cases
from conftest import DEMO, VLLMPair
from ets import demo
from ets.dialogue import Dialogue
from ets.errors import EngineError, InputError
from ets.loop.thread import LoopThread
from ets.policy.base import PolicyOptions
from ets.policy.prompt import PolicyPrompt
from ets.policy.stops import EngineStops
from ets.step import Prefix, Score, Step
from models_page import hold_difference, hold_equal_steps
from on_vllm import BLOCK, PROBLEM, remove_log, sample_all, search
from plain_demo import plain_greedy, plain_score, trained_on

if TYPE_CHECKING:
    from ets.policy.vllm import VLLMPolicy

pytestmark = pytest.mark.vllm


def grow(pair: VLLMPair, loop: LoopThread, *, steps: int) -> Prefix:
    """A solution of several steps with text."""
    prefix = pair.policy.start(PROBLEM)
    for _ in range(steps):
        siblings = loop.run(sample_all, pair.policy, [prefix] * 8)
        longest = max(siblings, key=lambda step: len(step.text.strip()))
        prefix = prefix.extend(longest)
    return prefix


# --- the policy ----------------------------------------------------------------------------------


def test_ids_extend_their_parents_and_hit_the_cache(
    vllm_pair: VLLMPair, engine_loop: LoopThread
) -> None:
    policy = vllm_pair.policy
    root = policy.start(PROBLEM)
    shared = root.prompt_tokens // BLOCK * BLOCK
    assert shared >= BLOCK, "the problem is too short for this test"

    siblings = engine_loop.run(sample_all, policy, [root] * 8)
    assert {step.prompt_tokens for step in siblings} == {root.prompt_tokens}
    assert sorted(step.cached_tokens for step in siblings)[1:] == [shared] * 7

    children = [root.extend(step) for step in siblings]
    for child, step in zip(children, siblings, strict=True):
        assert child.token_ids == root.token_ids + step.token_ids
        assert policy.prompt.decode(step.token_ids) == step.text
        assert not set(step.token_ids) & policy.prompt.end_ids
        assert policy.reread(root, step.text).text == step.text
    for child, step in zip(children, engine_loop.run(sample_all, policy, children), strict=True):
        assert step.prompt_tokens == len(child.token_ids)
        assert step.cached_tokens % BLOCK == 0
        # All that the parent computed is there: its prompt and its step but for the last token.
        assert step.cached_tokens >= (len(child.token_ids) - 1) // BLOCK * BLOCK


def test_steps_end_where_they_should(vllm_pair: VLLMPair, engine_loop: LoopThread) -> None:
    policy = vllm_pair.policy
    root = policy.start(PROBLEM)
    for step in engine_loop.run(sample_all, policy, [root] * 16, tokens=64):
        assert (step.finish == "step") == ("\n\n" in step.text)
        assert (step.finish == "length") == (len(step.token_ids) == 64 and "\n\n" not in step.text)
        # Nothing was sampled beyond the token that completed the delimiter.
        assert "\n\n" not in policy.prompt.decode(step.token_ids[:-1])
    for step in engine_loop.run(sample_all, policy, [root] * 4, tokens=2):
        assert len(step.token_ids) <= 2


def test_greedy_steps_are_those_of_a_plain_computation(
    vllm_pair: VLLMPair, engine_loop: LoopThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = vllm_pair.policy
    assert vllm_pair.policy_path == DEMO / "policy"
    monkeypatch.setattr(policy.prompt, "options", replace(policy.prompt.options, temperature=0.0))
    equal = []
    for row in demo.problems()[:8]:
        prefix = policy.start(str(row["problem"]))
        for ids in plain_greedy(str(row["problem"]), steps=3, tokens=48):
            step = engine_loop.run(policy.sample, prefix, seed=0, max_tokens=48)
            equal.append(step.token_ids == ids)
            prefix = prefix.extend(step)
    hold_equal_steps(equal, "bundled policy", "vllm")


def test_ids_and_texts_end_the_same_steps(
    vllm_pair: VLLMPair, engine_loop: LoopThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy, prompt = vllm_pair.policy, vllm_pair.policy.prompt
    root = policy.start(str(demo.problems()[0]["problem"]))

    async def one_by_one() -> list[Step]:
        return [await policy.sample(root, seed=i, max_tokens=64) for i in range(8)]

    engine_loop.run(one_by_one)  # fills the cache
    by_ids = engine_loop.run(one_by_one)
    assert prompt.engine_stops.texts == ()
    stops = EngineStops(tuple(sorted(prompt.end_ids)), prompt.stop_texts)
    monkeypatch.setattr(prompt, "engine_stops", stops)
    by_texts = engine_loop.run(one_by_one)
    assert [(s.token_ids, s.finish) for s in by_ids] == [(s.token_ids, s.finish) for s in by_texts]
    assert {step.finish for step in by_ids} >= {"step"}


def test_steps_that_are_not_paragraphs(
    vllm_pair: VLLMPair, engine_loop: LoopThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole greedy text, cut as it says it is; the engine stops where the step does."""
    policy, usual = vllm_pair.policy, vllm_pair.policy.prompt

    def by(rule: str) -> None:
        prompt = PolicyPrompt(
            usual.tokenizer,
            PolicyOptions(top_logprobs=2, **step_cases.options(rule)),
            end_ids=usual.end_ids,
            max_length=usual.max_length,
        )
        monkeypatch.setattr(policy, "_prompt", prompt)

    def steps(problem: str) -> list[Step]:
        return engine_loop.run(step_cases.written, policy, problem)

    equal = []
    for problem in step_cases.PROBLEMS:
        by("tokens:256")
        whole = steps(problem)[0]
        assert whole.finish == "end"
        for rule in ("tokens:9", "sentences", r"regex:\d\.(?=\s)"):
            by(rule)
            found = steps(problem)
            cuts = step_cases.cut(whole.token_ids, rule, policy.prompt.decode)
            equal.append(step_cases.cuts_of(found) == cuts)
            # Of a solution of a hundred tokens: the look ahead, and what an update brought with it.
            assert sum(step.dropped_tokens for step in found[:3]) < 30
            assert engine_loop.run(policy.engine.unfinished) == 0
            for step in found:
                assert step.certainty is not None
                assert len(step.certainty.of_tokens("logprob")) == len(step.token_ids)
    # bf16 logits depend on what of a prompt was cached: a rare token may be another one.
    assert sum(equal) >= len(equal) - 1


def test_what_an_engine_imports_is_no_work_for_the_garbage_collector(
    vllm_pair: VLLMPair, engine_loop: LoopThread
) -> None:
    engine_loop.run(vllm_pair.policy.ready)
    assert gc.get_freeze_count() > 100_000


def test_the_end_of_an_engine_prints_no_trace(vllm_pair: VLLMPair) -> None:
    # vLLM resets the levels with every engine's configuration, of which the fixture made two.
    assert vllm_pair.policy.engine.max_model_len > 0
    assert not logging.getLogger("vllm.v1.engine.async_llm").isEnabledFor(logging.ERROR)


def test_a_seed_gives_its_step_again(vllm_pair: VLLMPair, engine_loop: LoopThread) -> None:
    """Exact one after the other; among other requests as exact as the engine's logits."""
    policy = vllm_pair.policy
    root = policy.start(PROBLEM)

    async def one_by_one() -> list[Step]:
        return [await policy.sample(root, seed=i, max_tokens=24) for i in range(8)]

    engine_loop.run(one_by_one)  # fills the cache: a prefill rounds otherwise than a hit
    first = engine_loop.run(one_by_one)
    assert [s.token_ids for s in first] == [s.token_ids for s in engine_loop.run(one_by_one)]
    assert len({s.token_ids for s in first}) > 4, "seeds make no difference"
    together = engine_loop.run(sample_all, policy, [root] * 8, tokens=24)
    same = sum(a.token_ids == b.token_ids for a, b in zip(first, together, strict=True))
    # bf16 logits depend on the batch in their last bits: a rare draw lands on another token.
    assert same >= 6


def test_cancelling_aborts_the_request(vllm_pair: VLLMPair, engine_loop: LoopThread) -> None:
    policy = vllm_pair.policy
    root = policy.start(PROBLEM)

    async def cancel() -> tuple[int, list[Any], int]:
        # Many steps in a row, so that some of them are surely under way when the time comes.
        async def endless(seed: int) -> None:
            while True:
                await policy.sample(root, seed=seed, max_tokens=200)

        tasks = [asyncio.create_task(endless(i)) for i in range(8)]
        while not (running := await policy.engine.unfinished()):
            await asyncio.sleep(0.01)
        for task in tasks:
            task.cancel()
        return (
            running,
            await asyncio.gather(*tasks, return_exceptions=True),
            await policy.engine.unfinished(),
        )

    running, ends, left = engine_loop.run(cancel)
    assert running > 0
    assert all(isinstance(end, asyncio.CancelledError) for end in ends)
    assert left == 0
    assert engine_loop.run(policy.sample, root, seed=1, max_tokens=8).prompt_tokens


def test_a_full_context_cuts_the_solution(vllm_pair: VLLMPair, engine_loop: LoopThread) -> None:
    policy = vllm_pair.policy
    root = policy.start(PROBLEM)
    room = policy.prompt.max_length - root.prompt_tokens
    filler = Step("x", root.token_ids[-1:] * room, "length")
    step = engine_loop.run(policy.sample, root.extend(filler), seed=0, max_tokens=8)
    assert (step.token_ids, step.finish) == ((), "context")


# --- the PRM -------------------------------------------------------------------------------------


def test_scores_are_those_of_a_plain_computation(
    vllm_pair: VLLMPair, engine_loop: LoopThread
) -> None:
    assert vllm_pair.prm_path == DEMO / "prm"
    solutions = trained_on()
    expected = [plain_score(solution) for solution in solutions]
    assert max(expected) - min(expected) > 0.5, "these solutions cannot tell tokens apart"
    found = [engine_loop.run(vllm_pair.prm.score, solution).reward for solution in solutions]
    hold_difference(found, expected, "qwen", "vllm")


def test_incremental_scores_equal_full_ones(vllm_pair: VLLMPair, engine_loop: LoopThread) -> None:
    prm = vllm_pair.prm
    prefix = grow(vllm_pair, engine_loop, steps=2)
    siblings = engine_loop.run(sample_all, vllm_pair.policy, [prefix] * 8)
    children = [prefix.extend(step) for step in siblings if step.text.strip()]

    async def score_all() -> list[Score]:
        return await asyncio.gather(*(prm.score(child) for child in children))

    async def parent() -> Score:
        return await prm.score(prefix)

    read = engine_loop.run(parent).prompt_tokens
    incremental = engine_loop.run(score_all)
    prm.incremental = False
    try:
        full = engine_loop.run(score_all)
    finally:
        prm.incremental = True
    assert all(score.cached_tokens == 0 for score in full)
    for score in incremental:
        assert score.cached_tokens % BLOCK == 0
        assert score.cached_tokens >= read // BLOCK * BLOCK > 0
    assert [s.reward for s in incremental] == pytest.approx([s.reward for s in full], abs=0.01)


def test_what_is_too_long_is_an_error_of_one_line(
    vllm_pair: VLLMPair, engine_loop: LoopThread
) -> None:
    policy, prm = vllm_pair.policy, vllm_pair.prm
    many = 1 + max(policy.prompt.max_length, prm.engine.max_model_len)
    with pytest.raises(InputError, match="leaves no room for a step") as refused:
        policy.start("apples " * many)
    name, limit = str(vllm_pair.policy_path), policy.prompt.max_length
    assert re.fullmatch(
        rf"problem of \d+ tokens.*{name!r} reads at most {limit} tokens", str(refused.value)
    )
    long = Prefix("apples " * many, 0, (), (Step("Tom has 3 apples.\n\n", (1,), "step"),))
    grown = Prefix(PROBLEM, 0, (), (Step("apples " * many, (1,), "step"),))
    for prefix in (long, grown):
        with pytest.raises(EngineError, match="is too long") as failed:
            engine_loop.run(prm.score, prefix)
        name, limit = str(vllm_pair.prm_path), prm.engine.max_model_len
        assert re.fullmatch(
            rf"a solution of \d+ tokens is too long for {name!r}, "
            rf"which reads at most {limit} tokens",
            str(failed.value),
        )
    assert engine_loop.run(prm.engine.unfinished) == 0


def test_no_text_is_worth_nothing(vllm_pair: VLLMPair, engine_loop: LoopThread) -> None:
    blank = Prefix(PROBLEM, 0, (), (Step(" \n\n", (1,), "step"),))
    assert engine_loop.run(vllm_pair.prm.score, blank) == Score(0.0)


# --- a real language model -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def smollm2(engine_loop: LoopThread, smollm2_path: Path) -> Iterator[VLLMPolicy]:
    from ets.policy.vllm import VLLMPolicy

    policy = VLLMPolicy(smollm2_path, gpu_memory_utilization=0.2, max_model_len=1024)
    engine_loop.run(policy.ready)
    yield policy
    engine_loop.run(policy.aclose)


@pytest.mark.slow
def test_smollm2_writes_steps(smollm2: VLLMPolicy, engine_loop: LoopThread) -> None:
    root = smollm2.start("Tom has 3 apples and buys 4 more. How many apples does Tom have?")
    assert smollm2.prompt.decode(root.token_ids).count("Tom has 3 apples") == 1
    siblings = engine_loop.run(sample_all, smollm2, [root] * 4)
    for step in siblings:
        assert smollm2.prompt.decode(step.token_ids) == step.text
        assert step.text.strip().isascii()
    assert sum(any(c.isalpha() for c in step.text) for step in siblings) >= 3
    (child,) = engine_loop.run(sample_all, smollm2, [root.extend(siblings[0])])
    assert child.cached_tokens >= root.prompt_tokens // BLOCK * BLOCK > 0


@pytest.mark.slow
def test_vllm_decodes_as_we_do(smollm2: VLLMPolicy, engine_loop: LoopThread) -> None:
    root = smollm2.start("Write a haiku in Japanese, with an emoji.")

    async def raw(seed: int) -> Any:
        params = smollm2._sampling(root, seed, 24)
        prompt = {"prompt_token_ids": list(root.token_ids)}
        reply = await smollm2.engine.run(
            lambda llm, request_id: llm.generate(prompt, params, request_id=request_id)
        )
        return reply.output

    for seed in range(4):
        output = engine_loop.run(raw, seed).outputs[0]
        ids = [i for i in output.token_ids if i not in smollm2.prompt.end_ids]
        # vLLM cuts its text after the stop; the ids may hold more.
        assert smollm2.prompt.decode(ids).rstrip("\ufffd").startswith(output.text.rstrip("\ufffd"))


# --- whole searches ------------------------------------------------------------------------------


def test_the_pair_searches_on_vllm(vllm_pair: VLLMPair) -> None:
    result = search(
        policy=vllm_pair.policy,
        prm=vllm_pair.prm,
        strategy=ets.ETS(width=16),
        max_depth=10,
    )
    assert len(result.trajectories) == 16
    assert 0 < result.kv.after.sum <= result.kv.before.sum
    usage = result.usage
    # Up to the last full block, a prompt is the parent's and in the cache.
    assert usage.policy_prompt_tokens - usage.policy_cached_tokens < 2 * BLOCK * usage.policy_calls
    assert usage.prm_tokens - usage.prm_cached_tokens < 3 * BLOCK * usage.prm_calls
    assert usage.policy_cached_tokens > 0
    assert usage.prm_cached_tokens > 0
    if vllm_pair.policy_path.parent == DEMO:
        assert result.answer == str(demo.problems()[2]["answer"])


def test_searches_side_by_side_share_engines(vllm_pair: VLLMPair) -> None:
    """Two searches on loops of their own, one of them given up half way; then a third one."""
    engines: dict[str, Any] = {"policy": vllm_pair.policy, "prm": vllm_pair.prm}
    problems = [str(problem["problem"]) for problem in demo.problems()[:3]]
    with ets.Search(strategy=ets.ETS(width=8), max_depth=6, **engines) as first:
        one = first.map(problems, concurrency=3)
        with ets.Search(strategy=ets.REBASE(width=8), max_depth=6, **engines) as second:
            for _ in zip(range(6), second.stream(problems[0]), strict=False):
                pass
        assert [r.problem for r in one] == problems
    assert asyncio.run(vllm_pair.policy.engine.unfinished()) == 0
    assert asyncio.run(vllm_pair.prm.engine.unfinished()) == 0
    assert search(strategy=ets.REBASE(width=2), max_depth=3, **engines).trajectories


@pytest.mark.slow
def test_smollm2_searches_on_vllm(smollm2: VLLMPolicy) -> None:
    """A real chat model, and a plain function in the PRM's place."""
    result = search(
        policy=smollm2,
        prm=lambda problem, steps: 1 / (1 + len(steps[-1])),
        strategy=ets.ETS(width=4),
        max_step_tokens=48,
        max_tokens=96,
    )
    assert len(result.trajectories) == 4
    for solution in result.trajectories:
        assert any(c.isalpha() for c in solution.text)
    assert result.tree.nodes.tokens[0] == smollm2.start(str(result.problem)).prompt_tokens


@pytest.mark.slow
def test_a_dialogue_on_vllm(smollm2: VLLMPolicy) -> None:
    """All messages are read, as the template writes them."""
    messages = [
        {"role": "system", "content": "You are terse."},
        {"role": "user", "content": "Ann has 3 apples and buys 4. How many has she?"},
        {"role": "assistant", "content": "7"},
        {"role": "user", "content": "And if she eats 2 of them?"},
    ]
    asked: set[str] = set()

    def prm(problem: str, steps: list[str]) -> float:
        asked.add(problem)
        return 0.5

    with ets.Search(smollm2, prm, ets.REBASE(width=4), max_step_tokens=24, max_tokens=48) as s:
        result = s.solve(messages)
        alone = s.solve(messages[-1]["content"])
    text = smollm2.prompt.tokenizer.apply_chat_template(
        messages, add_generation_prompt=True, tokenize=False
    )
    ids = smollm2.prompt.tokenizer.encode(str(text), add_special_tokens=False)
    assert list(smollm2.start_dialogue(Dialogue.of("m", messages)).token_ids) == ids
    assert result.tree.prompt_tokens == len(ids) > alone.tree.prompt_tokens
    assert result.trajectories
    assert asked == {messages[-1]["content"]}


@pytest.mark.slow
def test_aclose_leaves_no_process(
    smollm2: VLLMPolicy, engine_loop: LoopThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ets.engines.vllm.lifecycle import processes_of

    llm = engine_loop.run(smollm2.engine.ready)
    processes = processes_of(llm)
    assert processes
    assert all(process.is_alive() for process in processes)
    reading = []
    shutdown = llm.shutdown

    def watched(**options: Any) -> None:
        reading.append(not llm.output_handler.done())
        shutdown(**options)

    monkeypatch.setattr(llm, "shutdown", watched)
    engine_loop.run(smollm2.aclose)
    assert reading == [False], "who still reads then may log the engine's end as its death"
    assert not any(process.is_alive() for process in processes)
    root = smollm2.start(PROBLEM)
    with pytest.raises(EngineError, match="is closed"):
        engine_loop.run(smollm2.sample, root, seed=0, max_tokens=4)


# --- what goes wrong -----------------------------------------------------------------------------


def test_without_a_prefix_cache_solutions_are_read_in_full(
    pair_paths: tuple[Path, Path], engine_loop: LoopThread
) -> None:
    from ets.prm.vllm import VLLMPRM

    with pytest.warns(UserWarning, match=r"first token: .*enable_prefix_caching=False") as said:
        prm = VLLMPRM(pair_paths[1], gpu_memory_utilization=0.2, enable_prefix_caching=False)
    assert len([w for w in said if w.category is UserWarning]) == 1
    assert "\n" not in str(said[0].message)
    assert not prm.incremental
    assert prm._pooling().skip_reading_prefix_cache is True
    engine_loop.run(prm.aclose)


def test_a_vllm_whose_requests_cannot_ask_for_the_cache(
    pair_paths: tuple[Path, Path], engine_loop: LoopThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ets.prm.vllm import VLLMPRM

    class OlderParams:
        def __init__(self, task: str) -> None:
            self.task = task

    monkeypatch.setattr("ets.prm.vllm._pooling_params", lambda: OlderParams)
    with pytest.warns(UserWarning, match="PoolingParams have no skip_reading_prefix_cache"):
        prm = VLLMPRM(pair_paths[1], gpu_memory_utilization=0.2)
    assert not prm.incremental
    assert prm._pooling().task == "token_classify"
    engine_loop.run(prm.aclose)


def test_mistakes_show_at_construction(tmp_path: Path, pair_paths: tuple[Path, Path]) -> None:
    from ets.policy.vllm import VLLMPolicy
    from ets.prm.vllm import VLLMPRM

    for load in (VLLMPolicy, VLLMPRM):
        with pytest.raises(EngineError, match="no checkpoint folder") as caught:
            load(tmp_path / "nowhere")
        assert "\n" not in str(caught.value)
        with pytest.raises(InputError, match="unknown option 'max_lenght'"):
            load(pair_paths[load is VLLMPRM], max_lenght=100)
    with pytest.raises(EngineError, match="no PRM of a known format"):
        VLLMPRM(pair_paths[0])
    with pytest.raises(EngineError, match="cannot serve") as caught:
        VLLMPolicy(pair_paths[0], max_model_len=10**9)
    assert "\n" not in str(caught.value)


SCRIPT = """
import asyncio, os, signal
from ets.errors import EngineError
from ets.policy.vllm import VLLMPolicy
from ets.prm.vllm import VLLMPRM
from ets.engines.vllm.lifecycle import processes_of

print("main runs", flush=True)
policy = VLLMPolicy({policy!r}, answer_markers=(), gpu_memory_utilization=0.2)
prm = VLLMPRM({prm!r}, gpu_memory_utilization=0.2)
broken = VLLMPolicy({policy!r}, kv_cache_memory_bytes=1)  # which shows only when it starts

async def main():
    root = policy.start({problem!r})
    step = await policy.sample(root, seed=0, max_tokens=8)
    print("sampled", len(step.token_ids) > 0, flush=True)
    await prm.ready()
    (process,) = processes_of(await policy.engine.ready())
    print("pids", process.pid, *(p.pid for p in processes_of(await prm.engine.ready())), flush=True)
    os.kill(process.pid, signal.SIGKILL)
    try:
        while True:
            await asyncio.wait_for(policy.sample(root, seed=1, max_tokens=100), timeout=60)
    except EngineError as error:
        print("dead", error, flush=True)
    try:
        await broken.ready()
    except EngineError as error:
        print("broken", error, flush=True)

asyncio.run(main())
"""


@pytest.mark.slow
def test_a_plain_script_a_dead_engine_and_no_aclose(
    tmp_path: Path, pair_paths: tuple[Path, Path]
) -> None:
    """No `__main__` guard is needed, a death is an error, and the script's end ends the engines."""
    script = tmp_path / "script.py"
    policy, prm = map(str, pair_paths)
    script.write_text(SCRIPT.format(policy=policy, prm=prm, problem=PROBLEM))
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=1200, check=False
    )
    lines = done.stdout.splitlines()
    assert done.returncode == 0, done.stderr[-3000:]
    assert [line.split()[0] for line in lines] == ["main", "sampled", "pids", "dead", "broken"]
    for line in lines[3:]:
        assert f"the vLLM engine of {policy!r}" in line
        remove_log(line)
    assert "died (exit code -9, killed: " in lines[3]
    assert "did not start: ValueError: " in lines[4]
    for pid in map(int, lines[2].split()[1:]):
        assert _gone(pid)


def _gone(pid: int, *, seconds: float = 10) -> bool:
    """Whether a process ends within some seconds."""
    import psutil

    end = time.monotonic() + seconds
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True
