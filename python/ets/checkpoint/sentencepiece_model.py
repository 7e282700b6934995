"""A SentencePiece model as the truth about a tokenizer that has no tokenizer.json.

The fast tokenizer that transformers makes of a `tokenizer.model` can differ from it: it puts no
space mark in front of a text that begins with a space, and merges two marks first where the model
does so last (Mistral). What differs is made anew from the model's own pieces and scores.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ets.extras import needs

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SPACE = "▁"
_MERGED_FROM = 2
"""Letters of the shortest piece that a merge makes."""


class SentencePieceModel:
    """`tokenizer.model`, read by the sentencepiece library."""

    def __init__(self, path: Path) -> None:
        with needs("sentencepiece", "torch"):
            from sentencepiece import SentencePieceProcessor
        self._model: Any = SentencePieceProcessor(model_file=str(path))
        self._puts_space: bool = self.pieces("a")[0].startswith(SPACE)

    def encode(self, text: str) -> list[int]:
        """The ids of a text, without special tokens."""
        return list(self._model.encode(text))

    def pieces(self, text: str) -> list[str]:
        """The same as words of the vocabulary."""
        return list(self._model.encode(text, out_type=str))

    def words(self, count: int, *, without: Collection[int]) -> str:
        """A text of words from all over the vocabulary, but for some ids."""
        size = self._model.get_piece_size()
        chosen = range(0, size, max(1, size // count))
        words = [
            self._model.id_to_piece(i) for i in chosen if self._is_text(i) and i not in without
        ]
        return "".join(words).replace(SPACE, " ")

    def repair(self, tokenizer: PreTrainedTokenizerBase) -> None:
        """Makes a fresh fast tokenizer encode as the model does, if that is a BPE model.

        A tokenizer that puts a space mark in front of a text's beginning only keeps doing so.
        """
        from tokenizers import decoders, models, normalizers

        model = self._model
        size = model.get_piece_size()
        vocab = {model.id_to_piece(i): i for i in range(size)}
        backend = tokenizer.backend_tokenizer
        backend.model = models.BPE(
            vocab,
            self._merges(vocab),
            unk_token=model.id_to_piece(model.unk_id()),
            byte_fallback="<0x0A>" in vocab,
            fuse_unk=True,
        )
        if getattr(backend.pre_tokenizer, "prepend_scheme", "always") == "first":
            return
        replace = normalizers.Replace(" ", SPACE)
        steps = [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
        if self._puts_space:
            backend.normalizer = normalizers.Sequence([normalizers.Prepend(SPACE), replace])
            steps.append(decoders.Strip(" ", 1, 0))
        else:
            backend.normalizer = replace
        backend.pre_tokenizer = None
        backend.decoder = decoders.Sequence(steps)

    def _merges(self, vocab: dict[str, int]) -> list[tuple[str, str]]:
        """Every way to make a piece of two, the highest scores first.

        The library merges equal scores from left to right, so a run of spaces grows at its left
        end: the longest first.
        """
        found: list[tuple[float, int, int, str, str]] = []
        for word, token in vocab.items():
            if len(word) < _MERGED_FROM or not self._is_text(token):
                continue
            score = -self._model.get_score(token)
            for cut in range(1, len(word)):
                left, right = word[:cut], word[cut:]
                if left in vocab and right in vocab:
                    found.append((score, -len(word), -cut, left, right))
        return [(left, right) for *_, left, right in sorted(found)]

    def _is_text(self, token: int) -> bool:
        model = self._model
        return not (
            model.is_control(token)
            or model.is_unknown(token)
            or model.is_byte(token)
            or model.is_unused(token)
        )
