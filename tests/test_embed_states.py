"""The embedder `policy` on transformers: mean hidden states against a plain computation."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

import ets
from checkpoints import make_llama_policy
from ets import demo
from ets.embed import load_embedder
from ets.errors import EngineError, InputError
from ets.policy import load_policy
from models_page import hold_difference
from prm_cases import encode

TEXTS = ["Tom has 3 apples.\n\n", "Tom", "Ann buys 4 pears - so she has 4 + 5 = 9.", "Tom"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_llama_policy(tmp_path_factory.mktemp("policy"))


def plain(folder: Path, text: str) -> np.ndarray:
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.no_grad():
        output = model(torch.tensor([encode(folder, text)]), output_hidden_states=True)
    return np.asarray(output.hidden_states[-1][0].mean(dim=0))


def direction(vector: np.ndarray) -> list[float]:
    return [float(part) for part in vector / np.linalg.norm(vector)]


@pytest.mark.parametrize("max_batch", [1, 64])
def test_vectors_are_mean_hidden_states(folder: Path, max_batch: int) -> None:
    async def embed() -> list[np.ndarray]:
        policy = load_policy(f"transformers:{folder}")
        embedder = load_embedder("policy", policy=policy, max_batch=max_batch)
        found = await asyncio.gather(*map(embedder.embed, TEXTS))
        with pytest.raises(EngineError, match="gave no vector for ''"):
            await embedder.embed("")
        await embedder.aclose()
        with pytest.raises(EngineError, match="is closed"):
            await embedder.embed("Tom")
        # The policy is not the embedder's to close.
        assert (await policy.sample(policy.start("How?"), seed=0, max_tokens=2)).token_ids
        await policy.aclose()
        return list(found)

    for text, vector in zip(TEXTS, asyncio.run(embed()), strict=True):
        assert vector.dtype == np.float32
        expected = plain(folder, text)
        np.testing.assert_allclose(vector, expected, atol=1e-5)
        hold_difference(direction(vector), direction(expected), "policy, on transformers")


def test_what_cannot_embed_says_what_can(folder: Path) -> None:
    with pytest.raises(InputError, match=r"needs a policy whose model runs .* got object; use lex"):
        load_embedder("policy", policy=object())
    policy = load_policy(f"transformers:{folder}")
    with pytest.raises(InputError, match="unknown option 'dim' of the embedder"):
        load_embedder("policy?dim=3", policy=policy)
    with pytest.raises(InputError, match="max_batch must be a positive integer"):
        load_embedder("policy", policy=policy, max_batch=0)
    with pytest.raises(ValueError, match="embedder must be lexical, demo, policy"):
        load_embedder("policy:x", policy=policy)
    asyncio.run(policy.aclose())


def test_a_search_clusters_by_its_policys_states() -> None:
    with ets.Search(strategy=ets.ETS(width=8), embedder="policy", max_depth=4) as search:
        result = search.solve(str(demo.problems()[0]["problem"]))
    assert len(result.trajectories) == 8
