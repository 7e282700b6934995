"""A pooling server that answers by script, and a PRM that asks it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

import ets
from conftest import DEMO
from ets.step import Prefix, Score, Step
from scripted_http import Reply, Script, ScriptedServer, one_endpoint, run

pytest.importorskip("openai", reason="openai is not installed (the extra 'openai' brings it)")
pytest.importorskip("torch", reason="torch is not installed (the extra 'torch' brings it)")

from tokenizers import Tokenizer

from ets.prm.pooling import PoolingPRM

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


def pooled(data: Any, **usage: Any) -> Reply:
    return Reply({"data": [{"index": 0, "object": "pooling", "data": data}], "usage": usage})


OK = pooled([BAD, GOOD])


@contextmanager
def serving(
    pooling: Script | None, *cards: dict[str, Any], **options: Any
) -> Iterator[tuple[ScriptedServer, PoolingPRM]]:
    """A scripted server and a PRM on it; each test closes the PRM's loops by itself."""
    with one_endpoint("/pooling", pooling, *cards or [card()]) as server:
        yield server, PoolingPRM("m", server.url, **options)


def score(prm: PoolingPRM, prefix: Prefix = PREFIX) -> Score:
    found = run(prm, lambda: prm.score(prefix))
    assert isinstance(found, Score)
    return found


def failure(prm: PoolingPRM, prefix: Prefix = PREFIX) -> str:
    with pytest.raises(ets.EngineError) as caught:
        score(prm, prefix)
    assert "\n" not in str(caught.value)
    return str(caught.value)
