"""The vLLM embedder on real engines: an encoder, and a language model, against plain ones."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

from conftest import VLLMPair
from ets.embed import load_embedder
from ets.embed.vllm import VLLMEmbedder
from ets.errors import EngineError, InputError
from ets.loop.thread import LoopThread
from models_page import hold_difference
from test_embed_states import direction, plain

pytestmark = pytest.mark.vllm
TEXTS = ["Tom has 3 apples.", "So Ann buys 4 pears and 5 more, which makes 9.", "Tom " * 400]


@pytest.mark.slow
def test_vectors_are_those_of_plain_models(
    engine_loop: LoopThread, minilm_path: str, vllm_pair: VLLMPair
) -> None:
    encoder = VLLMEmbedder(minilm_path)
    states = vllm_pair.policy.embedder()  # the same checkpoint on an engine of its own

    async def embed(embedder: VLLMEmbedder) -> list[np.ndarray]:
        return list(await asyncio.gather(*map(embedder.embed, TEXTS)))

    found = engine_loop.run(embed, encoder)
    from sentence_transformers import SentenceTransformer

    expected = SentenceTransformer(minilm_path, device="cpu").encode(TEXTS)
    for one, other in zip(found, expected, strict=True):
        hold_difference(list(map(float, one)), direction(other), "vllm:MiniLM")
    for text, vector in zip(TEXTS, engine_loop.run(embed, states), strict=True):
        expected_states = direction(plain(vllm_pair.policy_path, text))
        hold_difference(list(map(float, vector)), expected_states, "policy, on vllm")
    engine_loop.run(encoder.aclose)
    engine_loop.run(states.aclose)
    with pytest.raises(EngineError, match="is closed"):
        engine_loop.run(states.embed, "Tom")


def test_bad_options_are_named(pair_paths: tuple[Path, Path]) -> None:
    with pytest.raises(InputError, match="pooling must be"):
        load_embedder(f"vllm:{pair_paths[0]}?pooling=median")
    with pytest.raises(InputError, match="unknown option 'max_lenght'"):
        VLLMEmbedder(pair_paths[0], max_lenght=3)
