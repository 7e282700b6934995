"""Policies behind servers: what is asked and made of the answers, and every way that can fail."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from conftest import DEMO
from ets.engines.protocols import Policy
from ets.step import Prefix, Step
from scripted_http import DOWN, Reply, always, run

pytest.importorskip("openai", reason="openai is not installed (the extra 'openai' brings it)")
pytest.importorskip("torch", reason="torch is not installed (the extra 'torch' brings it)")

from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing

from openai_cases import (
    FOLDER,
    LLAMA,
    OK,
    PLAIN,
    PROBLEM,
    SENTENCE,
    SGLANG,
    card,
    choice,
    encode,
    failure,
    sample,
    serving,
)

# --- vLLM: ids ------------------------------------------------------------------------------------


def test_a_step_of_a_saved_tree_is_read_again_without_the_server() -> None:
    with serving(always(DOWN)) as (server, policy):
        root = policy.start(PROBLEM)
        assert policy.reread(root, SENTENCE) == Step(SENTENCE, tuple(encode(SENTENCE)), "step")
    assert server.bodies == []


def test_ids_go_and_come() -> None:
    ids = [*encode(SENTENCE), 9, 9]
    reply = choice(SENTENCE, token_ids=ids, stop_reason="\n\n")
    with serving(always(reply), stop=("##",), temperature=0.5, top_p=0.9) as (server, policy):
        assert isinstance(policy, Policy)
        root = policy.start(PROBLEM)
        step = sample(policy)
    assert step == Step(SENTENCE, tuple(ids[:-2]), "step", root.prompt_tokens, 7, dropped_tokens=2)
    (body,) = server.bodies
    assert body == {
        "model": "m",
        "prompt": list(root.token_ids),
        "n": 1,
        "max_tokens": 32,
        "seed": 5,
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 0,
        "min_p": 0.0,
        "repetition_penalty": 1.0,
        "stop": ["\n\n", "##"],
        "include_stop_str_in_output": True,
        "stop_token_ids": [1],
        "skip_special_tokens": True,
        "spaces_between_special_tokens": False,
        "return_token_ids": True,
    }
    assert "authorization: bearer empty" in server.headers[0].lower()


def test_a_step_ends_by_ids_where_ids_tell_and_by_texts_where_not() -> None:
    (delimiter,) = encode("\n\n")
    with serving(always(OK)) as (server, policy):
        sample(policy)
    assert server.bodies[0]["stop"] == []
    assert server.bodies[0]["stop_token_ids"] == sorted({delimiter, *policy.prompt.end_ids})
    with serving(always(OK), stop=("Ann",)) as (server, policy):
        sample(policy)
    assert server.bodies[0]["stop"] == ["\n\n", "Ann"]
    assert server.bodies[0]["stop_token_ids"] == sorted(policy.prompt.end_ids)


def test_the_context_is_the_smallest_that_is_stated() -> None:
    reply = choice("So Tom", "length", token_ids=encode("So Tom"))
    for length, expected in ((None, 512), (40, 40)):
        with serving(always(reply), max_length=length) as (_, policy):
            assert policy.prompt.max_length == expected
    with serving(always(reply), card(max_model_len=10**6)) as (_, policy):
        assert policy.prompt.max_length == 1024  # the checkpoint's own


def test_a_full_context_is_not_asked_for() -> None:
    with serving(None) as (server, policy):
        root = policy.start(PROBLEM)
        full = root.extend(Step("x", (9,) * (512 - root.prompt_tokens), "length"))
        step = run(policy, lambda: policy.sample(full, seed=0, max_tokens=8))
    assert (step.token_ids, step.finish) == ((), "context")
    assert not server.bodies


def test_an_adapter_has_its_base_models_tokenizer() -> None:
    base = card(id="base")
    adapter = card(root="/nowhere/adapter", parent="base", max_model_len=None)
    with serving(None, base, adapter) as (_, policy):
        assert (policy.server.root, policy.server.max_length) == (FOLDER, 512)


def test_an_answer_without_ids_or_with_others() -> None:
    with serving(always(choice("So"))) as (server, policy):
        assert "returned no token ids" in failure(policy)
    broken = choice(SENTENCE, token_ids=[9, 9], stop_reason="\n\n")
    with serving(always(broken)) as (server, policy):
        assert "its tokenizer is not ours" in failure(policy)
    cut = Reply({**choice("So", token_ids=[9]).body, "usage": {"prompt_tokens": 3}})
    with serving(always(cut)) as (server, policy):
        assert f"the vLLM server at {server.url} read 3 prompt tokens of" in failure(policy)


# --- other servers: text -------------------------------------------------------------------------


def text_step(server_card: dict[str, Any], reply: Reply, **options: Any) -> Step:
    with serving(always(reply), server_card, tokenizer=FOLDER, **options) as (_, policy):
        return sample(policy, max_tokens=16)


@pytest.mark.parametrize(
    ("server_card", "reply", "text", "finish"),
    [
        # The server says what ended the text, and may have left it in.
        (SGLANG, choice("So 3.", matched_stop="\n\n"), "So 3.\n\n", "step"),
        (SGLANG, choice("So 3.\n\n", matched_stop="\n\n"), "So 3.\n\n", "step"),
        (SGLANG, choice("So 3.", matched_stop="##"), "So 3.##", "end"),
        (SGLANG, choice("So 3.", matched_stop=1), "So 3.", "end"),
        (SGLANG, choice("So 3.", matched_stop=None), "So 3.", "end"),
        (SGLANG, choice("So 3", "length", matched_stop=None), "So 3", "length"),
        # It does not say.
        (LLAMA, choice("So 3."), "So 3.\n\n", "step"),
        (LLAMA, choice("So 3.\n\nThen"), "So 3.\n\n", "step"),
        (LLAMA, choice("So 3 ## 4\n\n"), "So 3 ##", "end"),
        (LLAMA, choice("The answer is 3."), "The answer is 3.", "end"),
        (LLAMA, choice("The answer is"), "The answer is\n\n", "step"),
        (LLAMA, choice("The answer is 3", "length"), "The answer is 3", "length"),
        (LLAMA, choice("So 3", "length"), "So 3", "length"),
        (LLAMA, choice(""), "", "end"),
        (LLAMA, choice("", "length"), "", "context"),
        # An answer ends the solution where its end is hidden.
        (LLAMA, choice("So the Answer is 2."), "So the Answer is 2.", "end"),
        (LLAMA, choice("**Answer:** two"), "**Answer:** two", "end"),
        (LLAMA, choice("so \\fbox{2}"), "so \\fbox{2}", "answer"),
        (LLAMA, choice("Whether the answer is 2"), "Whether the answer is 2\n\n", "step"),
        (LLAMA, choice("**Final Answer**\n\n2"), "**Final Answer**\n\n2", "end"),
        (LLAMA, choice("Is this answer is right?"), "Is this answer is right?\n\n", "step"),
        (SGLANG, choice("Answer: 2", matched_stop="\n\n"), "Answer: 2\n\n", "step"),
    ],
)
def test_steps_of_texts(server_card: dict[str, Any], reply: Reply, text: str, finish: str) -> None:
    step = text_step(server_card, reply, stop=("##",))
    assert (step.text, step.finish) == (text, finish)
    assert step.token_ids == tuple(encode(text))
    assert step.cached_tokens == 7


def test_texts_join_and_ids_extend() -> None:
    steps: list[Step] = []
    with serving(always(choice("So Tom has 3 apples.")), SGLANG, tokenizer=FOLDER) as (
        server,
        policy,
    ):
        root = policy.start(PROBLEM)

        async def two() -> Prefix:
            prefix = root
            for seed in (2**62, 1):
                steps.append(await policy.sample(prefix, seed=seed, max_tokens=32))
                prefix = prefix.extend(steps[-1])
            return prefix

        last = run(policy, two)
    prompt = policy.prompt.text(PROBLEM)
    assert [body["prompt"] for body in server.bodies] == [prompt, prompt + SENTENCE]
    assert last.token_ids == root.token_ids + 2 * tuple(encode(SENTENCE))
    first = server.bodies[0]
    assert first["seed"] == 2**62
    assert (first["top_k"], first["min_p"], first["stop"]) == (-1, 0.0, ["\n\n"])


def test_a_server_that_is_not_known_gets_standard_fields_only() -> None:
    with serving(always(choice("So")), PLAIN, tokenizer=FOLDER) as (server, policy):
        sample(policy)
    known = {"model", "prompt", "n", "max_tokens", "seed", "temperature", "top_p", "stop"}
    assert set(server.bodies[0]) == known


def test_the_end_of_the_context_ends_a_text() -> None:
    reply = choice("So 3", "length")
    with serving(always(reply), LLAMA, tokenizer=FOLDER) as (_, policy):
        length = policy.start(PROBLEM).prompt_tokens + 8
    with serving(always(reply), LLAMA, tokenizer=FOLDER, max_length=length) as (server, policy):
        assert sample(policy).finish == "context"
    assert server.bodies[0]["max_tokens"] == 8


def test_the_servers_tokenizer_writes_the_first_token(tmp_path: Path) -> None:
    """A template that writes it too would make two of it."""
    for file in (DEMO / "policy").glob("*.json"):
        shutil.copy(file, tmp_path)
    told = json.loads((tmp_path / "tokenizer_config.json").read_text())
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({**told, "bos_token": "<|user|>"}))
    tokenizer = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    tokenizer.post_processor = TemplateProcessing(
        single="<|user|> $A", special_tokens=[("<|user|>", 2)]
    )
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    with serving(always(choice("So")), PLAIN, tokenizer=tmp_path) as (server, policy):
        root = policy.start(PROBLEM)
        sample(policy)
    assert root.token_ids.count(2) == 1
    assert policy.prompt.text(PROBLEM) == "<|user|>" + server.bodies[0]["prompt"]
