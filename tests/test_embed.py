"""Embedders: the lexical one, and MiniLM through sentence-transformers."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ets.embed.lexical import LexicalEmbedder
from ets.errors import EngineError, InputError, MissingExtraError
from models_page import hold_difference

STEP = "Tom buys 3 apples, so he has 5 + 3 = 8 apples."
SAME = "Tom had 5 apples and buys 3 more: 8 apples."
OTHER = "Tom buys 3 apples, so he has 5 + 3 = 9 apples."
FAR = "Ann gives away 4 pears and keeps 11."


def direction(vector: np.ndarray) -> list[float]:
    return [float(part) for part in vector / np.linalg.norm(vector)]


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def test_lexical_numbers_say_more_than_wording() -> None:
    embedder = LexicalEmbedder()
    step, same, other, far = map(embedder.vector, (STEP, SAME, OTHER, FAR))
    assert cosine(step, same) > cosine(step, other) > cosine(step, far)
    assert cosine(step, embedder.vector("Tom buys 3 apples, so he has 3 + 5 = 8 apples.")) > 0.97


@pytest.mark.parametrize("text", ["", " \n\n", "€", "東京 🙂", "\ud800", "a" * 100_000, STEP])
def test_lexical_vectors_are_never_zero(text: str) -> None:
    vector = asyncio.run(LexicalEmbedder(dim=64).embed(text))
    assert vector.shape == (64,)
    assert vector.dtype == np.float32
    assert abs(float(np.linalg.norm(vector)) - 1) < 1e-6


def test_lexical_is_the_same_in_every_process() -> None:
    code = (
        "from ets.embed.lexical import LexicalEmbedder as E;"
        f"print(E().vector({STEP!r}).tobytes().hex())"
    )
    import ets

    root = str(Path(ets.__file__).parents[1])
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": root},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert outputs == {LexicalEmbedder().vector(STEP).tobytes().hex() + "\n"}


@pytest.mark.parametrize("dim", [0, 1, -3, 2.5, True])
def test_lexical_refuses_a_bad_dim(dim: object) -> None:
    with pytest.raises(InputError, match="dim"):
        LexicalEmbedder(dim=dim)  # type: ignore[arg-type]


def test_minilm_is_what_sentence_transformers_says(minilm_path: str) -> None:
    from ets.embed.sentence_transformers import SentenceTransformersEmbedder

    async def embed() -> list[np.ndarray]:
        embedder = SentenceTransformersEmbedder(minilm_path, device="cpu")
        texts = (STEP, SAME, FAR, "", STEP)
        vectors = await asyncio.gather(*map(embedder.embed, texts))
        alone = await embedder.embed(SAME)
        assert np.allclose(alone, vectors[1], atol=1e-5)
        await embedder.aclose()
        with pytest.raises(EngineError, match="closed"):
            await embedder.embed(STEP)
        return vectors

    step, same, far, empty, again = asyncio.run(embed())
    from sentence_transformers import SentenceTransformer

    expected = SentenceTransformer(minilm_path, device="cpu").encode([STEP, SAME, FAR])
    for vector, plain in zip((step, same, far), expected, strict=True):
        hold_difference(direction(vector), direction(plain), "sentence-transformers:MiniLM")
    assert step.shape == (384,)
    assert step.dtype == np.float32
    assert np.array_equal(step, again)
    assert np.any(empty)
    assert cosine(step, same) > cosine(step, far) + 0.2


def test_a_missing_model_or_package_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    from ets.embed import sentence_transformers as module

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(EngineError, match="cannot load the embedder"):
        module.SentenceTransformersEmbedder("/nowhere/at/all", device="cpu")
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(MissingExtraError, match=r"ets-search\[torch\]"):
        module.SentenceTransformersEmbedder("x")
