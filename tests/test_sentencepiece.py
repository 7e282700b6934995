"""Tokenizers made of a real SentencePiece model against the sentencepiece library."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sentencepiece import SentencePieceProcessor

from ets.checkpoint.sentencepiece_model import SentencePieceModel
from ets.checkpoint.tokenizer import load_tokenizer
from ets.errors import EngineError
from smollm2 import UnavailableError
from vocabularies import mistral_tokenizer_path

TEXTS = st.lists(
    st.one_of(
        st.sampled_from([" ", "  ", "▁", "\n", "\n\n", "ки", " ки", "Step 1:", "\t", "é", "東京"]),
        st.text(max_size=6),
    ),
    max_size=12,
).map("".join)


def folder_of(version: str) -> Path:
    try:
        return mistral_tokenizer_path(version)
    except UnavailableError as error:
        pytest.skip(f"Mistral's vocabulary: {error}")


@pytest.mark.parametrize("version", ["v1", "v2", "v3"])
def test_ids_and_text_are_sentencepiece_s(version: str) -> None:
    folder = folder_of(version)
    loaded = load_tokenizer(str(folder))
    truth = SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
    assert loaded.encode("x")[0] == truth.bos_id()

    @settings(deadline=None, max_examples=100)
    @given(TEXTS)
    def check(text: str) -> None:
        if any(token in text for token in loaded.all_special_tokens):
            return
        ids = loaded.encode(text, add_special_tokens=False)
        assert ids == truth.encode(text), text
        assert loaded.decode(ids) == truth.decode(ids)

    check()


def test_every_word_of_the_vocabulary() -> None:
    folder = folder_of("v1")
    loaded = load_tokenizer(str(folder))
    truth = SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
    for token in range(259, truth.get_piece_size()):
        text = "3 " + truth.id_to_piece(token).replace("▁", " ")
        assert loaded.encode(text, add_special_tokens=False) == truth.encode(text), text


def test_what_cannot_be_repaired_names_the_first_difference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "checkpoint"
    shutil.copytree(folder_of("v1"), folder)
    monkeypatch.setattr(SentencePieceModel, "repair", lambda self, tokenizer: None)
    with pytest.raises(EngineError) as refused:
        load_tokenizer(str(folder))
    assert "two  spaces' unlike tokenizer.model" in str(refused.value)
    assert "not ['▁Z', 'o', 'ë'," in str(refused.value)
    assert "\n" not in str(refused.value)
