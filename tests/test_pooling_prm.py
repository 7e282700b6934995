"""PRMs behind servers: what is asked and made of the answers, and every way that can fail."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from ets.engines.protocols import PRM
from ets.step import Prefix, Score, Step

pytest.importorskip("openai", reason="openai is not installed (the extra 'openai' brings it)")
pytest.importorskip("torch", reason="torch is not installed (the extra 'torch' brings it)")

import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer

from pooling_cases import BAD, GOOD, PREFIX, TAG, card, failure, ids_of, pooled, score, serving
from prm_cases import make_math_shepherd, share
from scripted_http import always

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
