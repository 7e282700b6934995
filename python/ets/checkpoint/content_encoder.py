"""Encoding prompts in which the contents, a problem or a step, are text and never control.

A prompt is a sequence of pieces: strings that we or the checkpoint's template wrote, `Content` that
somebody else wrote, and `Tag` at which a PRM speaks. The pieces are encoded as one text, token
merges across the seams included, but `<|im_end|>` inside a content is nine letters and signs, not
the end of a turn.

    encoder = content_encoder(tokenizer, name="my-model")
    encoder.encode(["<|im_start|>user\\n", Content(problem), "<|im_end|>\\n"]).ids
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Sequence
from functools import cached_property, partial
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Protocol

from ets.checkpoint.pieces import (
    Encoded,
    Piece,
    PlacedToken,
    missing_tags,
    spans_of,
    stretches,
    tags_of,
    text_of,
)
from ets.checkpoint.text_cuts import line_breaks_stand_alone, tokens_stand_alone
from ets.checkpoint.tokenizer_copy import ids_in_front, is_control, plain_copy, tokenizer_copy
from ets.errors import EngineError
from ets.fork_lock import ForkLock

if TYPE_CHECKING:
    from tokenizers import AddedToken
    from transformers import PreTrainedTokenizerBase


class Encoder(Protocol):
    """Encodes prompts in which contents are never control. Safe to use from several threads."""

    @property
    def control_ids(self) -> frozenset[int]:
        """Ids that no content produces."""
        ...

    def encode(self, pieces: Sequence[Piece], *, special_tokens: bool = False) -> Encoded:
        """The ids of the pieces' text.

        `special_tokens`: whether the tokenizer puts its own in front; it never puts any behind.
        """
        ...


def content_encoder(
    tokenizer: PreTrainedTokenizerBase, *, name: str, forbidden: Collection[int] = ()
) -> Encoder:
    """The encoder for a tokenizer: its own, or the one for all fast tokenizers.

    `forbidden` are ids beside the control tokens' that no content may produce.

    # Errors
    `EngineError` if the tokenizer is no fast one.
    """
    own = getattr(tokenizer, "content_encoder", None)
    made: Encoder = (own or partial(ContentEncoder, tokenizer))(name=name, forbidden=forbidden)
    return made


class ContentEncoder:
    """Encodes pieces with a fast tokenizer, whose settings it neither changes nor follows later.

    Its own tokenizers share their vocabulary with the one that is given.

    Control tokens are the added tokens that are flagged special and those that look like markup
    (`<think>`, `<tool_call>`, `[INST]`: in angle or square brackets). Added white space and words,
    which some vocabularies need for plain text, are none. `forbidden` are further ids that no
    content may produce, such as a step tag that is an ordinary word.

    Where no content produces such an id, the ids are those of the whole text. Otherwise the text is
    split at the control tokens outside the contents, and the rest is encoded by a copy of the
    tokenizer that knows none of them; an id that comes out all the same is broken into those of its
    characters. The text that the ids decode to stays the same.

    Safe to use from several threads.

    # Errors
    `EngineError` if the tokenizer is no fast one.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        *,
        name: str,
        forbidden: Collection[int] = (),
    ) -> None:
        if not tokenizer.is_fast:
            raise EngineError(f"the tokenizer of {name!r} is no fast one: it has no tokenizer.json")
        self._name = name
        backend = tokenizer.backend_tokenizer
        self._added: dict[int, AddedToken] = dict(
            sorted(backend.get_added_tokens_decoder().items())
        )
        self._known = tokenizer_copy(backend, self._added, name=name)
        self._front = ids_in_front(backend)
        self.control_ids = frozenset(own for own, token in self._added.items() if is_control(token))
        """Ids that no content produces."""
        self._forbidden = frozenset(forbidden)
        self._unknown = tokenizer.unk_token_id
        self._unknown_text = tokenizer.unk_token
        self._lock = ForkLock()
        self._plain: tuple[Any, str] | None = None

    def encode(self, pieces: Sequence[Piece], *, special_tokens: bool = False) -> Encoded:
        """The ids of the pieces' text.

        `special_tokens`: whether the tokenizer puts its own in front; it never puts any behind.
        """
        if (known := self.encode_apart(pieces, special_tokens=special_tokens)) is not None:
            return known
        text = text_of(pieces)
        spans = spans_of(pieces)
        splits = self._control_outside(pieces)
        tokens = self._encode_split(text, splits, spans)
        if missing := missing_tags(tokens, tags_of(pieces)):
            splits = sorted([*splits, *missing], key=lambda token: token.start)
            tokens = self._encode_split(text, splits, spans)
        return self._encoded(
            tuple(token.id for token in tokens),
            tuple(token.end for token in tokens),
            special_tokens=special_tokens,
        )

    def encode_apart(
        self, pieces: Sequence[Piece], *, special_tokens: bool = False, behind: str = ""
    ) -> Encoded | None:
        """The ids as the tokenizer itself makes them of the text; None where a content forges one.

        `behind`: text that stands in front of the pieces, and is left out of the ids. For a section
        of a longer text, if that may be cut there (`line_breaks_cut`, `cuts_at`).
        """
        encoding = self._encoding(behind + text_of(pieces))
        ids, offsets = encoding.ids, encoding.offsets
        if behind:
            lead = len(behind)
            kept = [i for i, (start, _) in enumerate(offsets) if start >= lead]
            ids = [ids[i] for i in kept]
            offsets = [(offsets[i][0] - lead, offsets[i][1] - lead) for i in kept]
        if not self._is_sound(pieces, ids, offsets):
            return None
        return self._encoded(
            tuple(ids), tuple(end for _, end in offsets), special_tokens=special_tokens
        )

    @cached_property
    def line_breaks_cut(self) -> bool:
        """Whether any text may be cut in front of a line break, and encoded in two."""
        return line_breaks_stand_alone(self._known, self._unknown)

    def cuts_at(self, text: str) -> bool:
        """Whether any text may be cut in front of and behind the control tokens in `text`.

        That takes one at least.
        """
        ids = set(self._encoding(text).ids) & self.control_ids
        tokens = [self._added[own] for own in ids if own != self._unknown]
        return bool(tokens) and tokens_stand_alone(tokens, self._added.values())

    def _encoding(self, text: str) -> Any:
        # A batch of one: unlike `encode`, it lets other threads run meanwhile.
        return self._known.encode_batch([text], add_special_tokens=False)[0]

    def _encoded(
        self, ids: tuple[int, ...], ends: tuple[int, ...], *, special_tokens: bool
    ) -> Encoded:
        front = self._front if special_tokens else ()
        return Encoded(ids=(*front, *ids), ends=(*(0 for _ in front), *ends))

    def _is_sound(
        self, pieces: Sequence[Piece], ids: list[int], offsets: list[tuple[int, int]]
    ) -> bool:
        """Whether no content has a part in an id that it must not produce, and each tag is one."""
        text, spans = text_of(pieces), spans_of(pieces)
        banned = self.control_ids | self._forbidden
        if not banned.isdisjoint(ids):
            for own, (start, end) in zip(ids, offsets, strict=True):
                if own in banned and self._is_forged(text, PlacedToken(own, start, end), spans):
                    return False
        tags = tags_of(pieces)
        return not tags or not missing_tags(
            [PlacedToken(own, *offset) for own, offset in zip(ids, offsets, strict=True)], tags
        )

    def _is_forged(self, text: str, token: PlacedToken, spans: list[tuple[int, int]]) -> bool:
        """Whether a content has a part in an id that it must not produce."""
        if token.id not in self.control_ids and token.id not in self._forbidden:
            return False
        said = text[token.start : token.end]
        if token.id == self._unknown and said.strip() != self._unknown_text:
            return False  # the model has no other id for it
        # A control token may take the white space beside it, a content's too.
        start = token.start + len(said) - len(said.lstrip())
        end = token.end - len(said) + len(said.rstrip())
        # The first span that ends behind the token's beginning; they stand in order.
        at = bisect_right(spans, start, key=itemgetter(1))
        return at < len(spans) and spans[at][0] < end

    def _control_outside(self, pieces: Sequence[Piece]) -> list[PlacedToken]:
        """The control tokens of the strings between the contents, with the space they take."""
        text = text_of(pieces)
        found: list[PlacedToken] = []
        position = 0
        for stretch, is_content in stretches(pieces):
            if not is_content:
                for token in _tokens(self._known.encode(stretch, add_special_tokens=False)):
                    if token.id not in self.control_ids or token.id == self._unknown:
                        continue
                    start, end = position + token.start, position + token.end
                    if self._added[token.id].lstrip:
                        start = len(text[:start].rstrip())
                    if self._added[token.id].rstrip:
                        end = len(text) - len(text[end:].lstrip())
                    found.append(PlacedToken(token.id, start, end))
            position += len(stretch)
        return found

    def _encode_split(
        self, text: str, splits: list[PlacedToken], spans: list[tuple[int, int]]
    ) -> list[PlacedToken]:
        """The text encoded without any control tokens, but for `splits`."""
        tokens: list[PlacedToken] = []
        position = 0
        for split in [*splits, None]:
            end = len(text) if split is None else split.start
            for token in self._encode_plain(text, position, end):
                if self._is_forged(text, token, spans):
                    tokens.extend(self._broken(token))
                else:
                    tokens.append(token)
            if split is not None:
                tokens.append(split)
                position = split.end
        return tokens

    def _encode_plain(self, text: str, start: int, end: int) -> list[PlacedToken]:
        if start >= end:
            return []
        plain, sentinel = self._plain_copy()
        # Some tokenizers put a space in front of a text's beginning and not behind a token.
        lead = sentinel if start else ""
        tokens = _tokens(plain.encode(lead + text[start:end], add_special_tokens=False))
        shift = start - len(lead)
        return [
            PlacedToken(token.id, max(start, token.start + shift), token.end + shift)
            for token in (tokens[1:] if lead else tokens)
        ]

    def _plain_copy(self) -> tuple[Any, str]:
        with self._lock:
            if self._plain is None:
                self._plain = plain_copy(self._known, self._added, name=self._name)
            return self._plain

    def _broken(self, token: PlacedToken) -> list[PlacedToken]:
        """A token as those of its characters."""
        banned = self.control_ids | self._forbidden
        ids: list[int] = []
        for letter in self._known.id_to_token(token.id):
            own = self._known.token_to_id(letter)
            if own is not None and own not in banned:
                ids.append(own)
                continue
            bytes_of = [self._known.token_to_id(f"<0x{byte:02X}>") for byte in letter.encode()]
            if None not in bytes_of:
                ids.extend(bytes_of)
            elif self._unknown is not None:
                ids.append(self._unknown)
            else:
                raise EngineError(
                    f"the tokenizer of {self._name!r} can write {letter!r} only as the token "
                    f"{self._known.id_to_token(token.id)!r}, which no text may hold"
                )
        return [PlacedToken(own, token.start, token.end) for own in ids]


def _tokens(encoding: Any) -> list[PlacedToken]:
    return [
        PlacedToken(token, start, end)
        for token, (start, end) in zip(encoding.ids, encoding.offsets, strict=True)
    ]
