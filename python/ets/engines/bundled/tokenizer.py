"""The bundled tokenizer: whole words, whole numbers, and bytes for the rest."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ets.checkpoint.pieces import Content, Encoded, Piece, Tag
from ets.demo.tokenizer import ASSISTANT, CHAT_TEMPLATE, USER
from ets.errors import EngineError

_BYTE = re.compile(r"<0x([0-9A-F]{2})>")
_BEHAVES: dict[str, Any] = {
    "type": "BPE",
    "dropout": None,
    "unk_token": None,
    "continuing_subword_prefix": None,
    "end_of_word_suffix": None,
    "byte_fallback": True,
    "ignore_merges": True,
    "merges": [],
}
"""What a `tokenizer.json` must say of its model: a piece is one token, or its characters are."""


@dataclass(frozen=True, slots=True)
class AddedToken:
    """A token that stands outside the vocabulary's pieces."""

    content: str
    special: bool


class WordTokenizer:
    """The part of a `transformers` tokenizer's interface that prompts and formats use.

    It gives the same ids and texts (`tests/test_bundled_tokenizer.py`). Safe to use from several
    threads.

    # Errors
    `EngineError` if the files describe another tokenizer than this one.
    """

    is_fast = True
    bos_token: str | None = None
    bos_token_id: int | None = None
    unk_token_id: int | None = None

    def __init__(self, description: Mapping[str, Any], config: Mapping[str, Any]) -> None:
        model = description["model"]
        splitter = description["pre_tokenizer"]
        other = [key for key, value in _BEHAVES.items() if model.get(key) != value]
        if other or description["normalizer"] or splitter.get("type") != "Split":
            raise EngineError(
                "the bundled engine reads the tokenizer of the bundled models only, got one with "
                f"another {(*other, 'normalizer or splitter')[0]}"
            )
        self._pieces = re.compile(splitter["pattern"]["Regex"])
        self._vocabulary: dict[str, int] = model["vocab"]
        self._tokens: dict[int, str] = {own: token for token, own in self._vocabulary.items()}
        self._bytes = {
            own: int(found[1], 16)
            for token, own in self._vocabulary.items()
            if (found := _BYTE.fullmatch(token))
        }
        self._byte_ids = {byte: own for own, byte in self._bytes.items()}
        self.added_tokens_decoder = {
            entry["id"]: AddedToken(entry["content"], entry["special"])
            for entry in description["added_tokens"]
        }
        self._special = frozenset(self.added_tokens_decoder)
        texts = sorted((t.content for t in self.added_tokens_decoder.values()), key=len)
        self._control = re.compile("|".join(map(re.escape, reversed(texts))))
        self.eos_token: str = config["eos_token"]
        self.eos_token_id = self._vocabulary[self.eos_token]
        self.chat_template: str = config["chat_template"]

    def __len__(self) -> int:
        return len(self._vocabulary)

    def encode(self, text: str, *, add_special_tokens: bool = True) -> list[int]:
        """The ids of a text, in which control tokens are what they say; none is put around it."""
        return list(self.encode_pieces([text]).ids)

    def encode_pieces(self, pieces: Sequence[Piece]) -> Encoded:
        """The ids of a prompt, in whose contents nothing is control, as of a `ContentEncoder`."""
        ids: list[int] = []
        ends: list[int] = []
        plain: list[str] = []
        position = 0

        def flush(upto: int) -> None:
            text = "".join(plain)
            for token, end in self._encoded(text):
                ids.append(token)
                ends.append(upto - len(text) + end)
            plain.clear()

        for piece in _merged(pieces):
            if isinstance(piece, Content):
                plain.append(piece.text)
                position += len(piece.text)
                continue
            text = piece if isinstance(piece, str) else piece.text
            last = 0
            controls = [] if isinstance(piece, Tag) else self._control.finditer(text)
            for found in controls:
                plain.append(text[last : found.start()])
                flush(position + found.start())
                ids.append(self._vocabulary[found[0]])
                last = found.end()
                ends.append(position + last)
            if isinstance(piece, Tag):
                flush(position)
                ids.append(piece.token)
                last = len(text)
                ends.append(position + last)
            plain.append(text[last:])
            position += len(text)
        flush(position)
        return Encoded(ids=tuple(ids), ends=tuple(ends))

    def decode(
        self,
        ids: int | Iterable[int],
        *,
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool | None = None,
    ) -> str:
        """The text of ids; bytes that are no text become U+FFFD, one each."""
        parts: list[str] = []
        run = bytearray()

        def flush() -> None:
            try:
                parts.append(run.decode())
            except UnicodeDecodeError:
                parts.append("\ufffd" * len(run))
            run.clear()

        for own in [ids] if isinstance(ids, int) else ids:
            if own in self._bytes:
                run.append(self._bytes[own])
                continue
            if skip_special_tokens and own in self._special:
                continue
            flush()
            parts.append(self._tokens[own])
        flush()
        return "".join(parts)

    def batch_decode(self, sequences: Iterable[Iterable[int]], **options: Any) -> list[str]:
        """The text of each sequence of ids."""
        return [self.decode(ids, **options) for ids in sequences]

    def convert_ids_to_tokens(self, token: int) -> str:
        """A token as the vocabulary writes it."""
        return self._tokens[token]

    def apply_chat_template(
        self,
        messages: Sequence[Mapping[str, str]],
        *,
        chat_template: str | None = None,
        add_generation_prompt: bool = False,
        tokenize: bool = False,
        **switches: Any,
    ) -> str:
        """The messages in the bundled template, which knows no system message.

        # Errors
        `EngineError` for any other template: this engine has no Jinja.
        """
        if (chat_template or self.chat_template) != CHAT_TEMPLATE:
            raise EngineError(
                "the bundled engine knows its own chat template only; for another use "
                "policy='demo?backend=transformers'"
            )
        parts = []
        for message in messages:
            if message["role"] == "user":
                parts.append(USER + message["content"].strip())
            elif message["role"] == "assistant":
                parts.append(ASSISTANT + message["content"])
        return "".join(parts) + ASSISTANT * add_generation_prompt

    def content_encoder(self, *, name: str, forbidden: Collection[int] = ()) -> WordEncoder:
        """What encodes prompts with contents (`ets.checkpoint.content_encoder`)."""
        return WordEncoder(self)

    def _encoded(self, text: str) -> Iterator[tuple[int, int]]:
        """The ids of a text without control tokens, and the characters up to which each reaches."""
        for found in self._pieces.finditer(text):
            own = self._vocabulary.get(found[0])
            if own is not None:
                yield own, found.end()
                continue
            for at, letter in enumerate(found[0], found.start() + 1):
                own = self._vocabulary.get(letter)
                if own is not None:
                    yield own, at
                    continue
                for byte in letter.encode():
                    yield self._byte_ids[byte], at


class WordEncoder:
    """Encodes pieces with a `WordTokenizer`, as `ContentEncoder` does with other tokenizers."""

    def __init__(self, tokenizer: WordTokenizer) -> None:
        self._tokenizer = tokenizer
        self.control_ids = frozenset(tokenizer.added_tokens_decoder)
        """Ids that no content produces."""

    def encode(self, pieces: Sequence[Piece], *, special_tokens: bool = False) -> Encoded:
        """The ids of the pieces' text; this tokenizer puts nothing in front."""
        return self._tokenizer.encode_pieces(pieces)


def _merged(pieces: Sequence[Piece]) -> list[Piece]:
    """Strings that stand side by side as one: a control token may reach over their seam."""
    found: list[Piece] = []
    for piece in pieces:
        if found and isinstance(piece, str) and isinstance(found[-1], str):
            found[-1] += piece
        else:
            found.append(piece)
    return found
