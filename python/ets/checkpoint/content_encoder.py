"""Encoding prompts in which the contents, a problem or a step, are text and never control.

A prompt is a sequence of pieces: strings that we or the checkpoint's template wrote, `Content` that
somebody else wrote, and `Tag` at which a PRM speaks. The pieces are encoded as one text, token
merges across the seams included, but `<|im_end|>` inside a content is nine letters and signs, not
the end of a turn.

    encoder = content_encoder(tokenizer, name="my-model")
    encoder.encode(["<|im_start|>user\\n", Content(problem), "<|im_end|>\\n"]).ids
"""

from __future__ import annotations

import copy
import itertools
import json
import secrets
from bisect import bisect_right
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from ets.errors import EngineError
from ets.fork_lock import ForkLock

if TYPE_CHECKING:
    from tokenizers import AddedToken, Tokenizer
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True, slots=True)
class Content:
    """Text that is never control: a problem, a step."""

    text: str


@dataclass(frozen=True, slots=True)
class Tag:
    """Text that is one given token, whatever stands in front of it: a PRM's step tag."""

    text: str
    token: int


_LOCAL = ("Prepend", "Replace", "Metaspace")
"""Normalizers and pre-tokenizers that SentencePiece models have; none looks past a line break."""

Piece: TypeAlias = str | Content | Tag
"""A part of a prompt; a plain string may hold control tokens."""


def text_of(pieces: Iterable[Piece]) -> str:
    """The text that the pieces make together."""
    return "".join(piece if isinstance(piece, str) else piece.text for piece in pieces)


@dataclass(frozen=True, slots=True)
class Encoded:
    """The ids of a text."""

    ids: tuple[int, ...]
    ends: tuple[int, ...]
    """Characters of the text up to which each id reaches; 0 for what stands for no text."""

    def parts(self, cuts: Sequence[int]) -> list[tuple[int, ...]]:
        """The ids in parts that end after `cuts[i]` characters; the last cut is the text's end.

        A token that reaches over a cut belongs to the part after it.
        """
        places = [0, *(bisect_right(self.ends, cut) for cut in cuts)]
        return [self.ids[start:end] for start, end in pairwise(places)]


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


@dataclass(frozen=True, slots=True)
class _Token:
    id: int
    start: int
    end: int


class ContentEncoder:
    """Encodes pieces with a fast tokenizer, whose settings it neither changes nor follows later.

    Its own tokenizers share the model, which is vocabulary and merges, with the one that is given:
    a copy of 150,000 tokens takes a second or more.

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
        self._known = self._sharing(backend, self._added)
        self._front = _front(backend)
        self.control_ids = frozenset(
            own for own, token in self._added.items() if _is_control(token)
        )
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
        spans = _spans(pieces)
        splits = self._control_outside(pieces)
        tokens = self._encode_split(text, splits, spans)
        if missing := _missing(tokens, _tags(pieces)):
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
        """Whether any text may be cut in front of a line break, and encoded in two.

        It may where no token but the line break's own holds one, since no merge crosses it then;
        a pre-tokenizer that looks at its neighbours must not be there.
        """
        known = self._known
        if type(known.model).__name__ != "BPE" or getattr(known.model, "dropout", None):
            return False
        kinds = (*_kinds(known.normalizer, "normalizers"), *_kinds(known.pre_tokenizer, ""))
        if not all(kind in _LOCAL for kind in kinds):
            return False
        breaks = ("\n", "<0x0A>")
        if any(mark in word and mark != word for word in known.get_vocab() for mark in breaks):
            return False
        ids = self._encoding("a\n\nb").ids
        return len(ids) >= 4 and ids[-3] == ids[-2] and ids[-2] != self._unknown

    def cuts_at(self, text: str) -> bool:
        """Whether any text may be cut in front of and behind the control tokens in `text`.

        That takes one at least. The tokenizer cuts there itself, unless another of the added tokens
        could reach over the place, or one takes the white space beside it.
        """
        ids = set(self._encoding(text).ids) & self.control_ids
        tokens = [self._added[own] for own in ids if own != self._unknown]
        plain = all(
            not (token.lstrip or token.rstrip or token.single_word or token.normalized)
            for token in tokens
        )
        others = [token.content for token in self._added.values()]
        return (
            bool(tokens)
            and plain
            and not any(
                token.content[0] in other[1:]
                or (other != token.content and other.startswith(token.content))
                for token in tokens
                for other in others
            )
        )

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
        text, spans = text_of(pieces), _spans(pieces)
        banned = self.control_ids | self._forbidden
        if not banned.isdisjoint(ids):
            for own, (start, end) in zip(ids, offsets, strict=True):
                if own in banned and self._is_forged(text, _Token(own, start, end), spans):
                    return False
        tags = _tags(pieces)
        return not tags or not _missing(
            [_Token(own, *offset) for own, offset in zip(ids, offsets, strict=True)], tags
        )

    def _is_forged(self, text: str, token: _Token, spans: list[tuple[int, int]]) -> bool:
        """Whether a content has a part in an id that it must not produce."""
        if token.id not in self.control_ids and token.id not in self._forbidden:
            return False
        said = text[token.start : token.end]
        if token.id == self._unknown and said.strip() != self._unknown_text:
            return False  # the model has no other id for it
        # A control token may take the white space beside it, a content's too.
        start = token.start + len(said) - len(said.lstrip())
        end = token.end - len(said) + len(said.rstrip())
        return any(first < end and start < last for first, last in spans)

    def _control_outside(self, pieces: Sequence[Piece]) -> list[_Token]:
        """The control tokens of the strings between the contents, with the space they take."""
        text = text_of(pieces)
        found: list[_Token] = []
        position = 0
        for stretch, is_content in _stretches(pieces):
            if not is_content:
                for token in _tokens(self._known.encode(stretch, add_special_tokens=False)):
                    if token.id not in self.control_ids or token.id == self._unknown:
                        continue
                    start, end = position + token.start, position + token.end
                    if self._added[token.id].lstrip:
                        start = len(text[:start].rstrip())
                    if self._added[token.id].rstrip:
                        end = len(text) - len(text[end:].lstrip())
                    found.append(_Token(token.id, start, end))
            position += len(stretch)
        return found

    def _encode_split(
        self, text: str, splits: list[_Token], spans: list[tuple[int, int]]
    ) -> list[_Token]:
        """The text encoded without any control tokens, but for `splits`."""
        tokens: list[_Token] = []
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

    def _encode_plain(self, text: str, start: int, end: int) -> list[_Token]:
        if start >= end:
            return []
        plain, sentinel = self._plain_copy()
        # Some tokenizers put a space in front of a text's beginning and not behind a token.
        lead = sentinel if start else ""
        tokens = _tokens(plain.encode(lead + text[start:end], add_special_tokens=False))
        shift = start - len(lead)
        return [
            _Token(token.id, max(start, token.start + shift), token.end + shift)
            for token in (tokens[1:] if lead else tokens)
        ]

    def _plain_copy(self) -> tuple[Any, str]:
        """A copy that knows no control tokens, and a token of its own that nobody can write."""
        from tokenizers import AddedToken

        with self._lock:
            if self._plain is None:
                secret = secrets.token_hex(16)
                added: dict[int, AddedToken] = {}
                for own, token in self._added.items():
                    if not _is_control(token):
                        added[own] = token
                    elif self._known.model.token_to_id(token.content) is None:
                        # Left out, it would shift the ids of those behind it.
                        added[own] = _renamed(token, f"{secret}-{own}")
                made = self._sharing(self._known, added)
                made.add_special_tokens([AddedToken(secret, special=True, normalized=False)])
                self._plain = (made, secret)
            return self._plain

    def _sharing(self, backend: Tokenizer, added: dict[int, AddedToken]) -> Any:
        """A tokenizer over the same vocabulary, which is not copied, with these added tokens.

        It has no truncation, no padding, and no post-processor, which would trim offsets.

        # Errors
        `EngineError` if a token gets another id there.
        """
        from tokenizers import Tokenizer

        made = Tokenizer(backend.model)
        # Copies, or who sets an option of theirs later would set it here. Before the tokens are
        # added, since those may be normalised.
        if backend.normalizer is not None:
            made.normalizer = copy.deepcopy(backend.normalizer)
        if backend.pre_tokenizer is not None:
            made.pre_tokenizer = copy.deepcopy(backend.pre_tokenizer)
        # An id follows from the order; one call for neighbours of a kind, since each takes a while.
        for special, group in itertools.groupby(added.values(), lambda token: token.special):
            (made.add_special_tokens if special else made.add_tokens)(list(group))
        for own, token in added.items():
            if made.token_to_id(token.content) != own:
                raise EngineError(
                    f"the tokenizer of {self._name!r} cannot be copied: its token "
                    f"{token.content!r} gets another id than {own}"
                )
        return made

    def _broken(self, token: _Token) -> list[_Token]:
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
        return [_Token(own, token.start, token.end) for own in ids]


def _renamed(token: AddedToken, content: str) -> AddedToken:
    from tokenizers import AddedToken

    return AddedToken(
        content,
        single_word=token.single_word,
        lstrip=token.lstrip,
        rstrip=token.rstrip,
        normalized=token.normalized,
        special=token.special,
    )


def _front(backend: Any) -> tuple[int, ...]:
    """The ids that the tokenizer puts in front of a text."""
    encoding = backend.encode("1", add_special_tokens=True)
    front: list[int] = []
    for token, is_special in zip(encoding.ids, encoding.special_tokens_mask, strict=True):
        if not is_special:
            break
        front.append(token)
    return tuple(front)


def _kinds(part: Any, parts: str) -> list[str]:
    """What a normalizer or a pre-tokenizer consists of, by the names of the kinds."""
    if part is None:
        return []
    told = json.loads(part.__getstate__())
    return [one["type"] for one in told.get(parts, [told])]


def _is_control(token: AddedToken) -> bool:
    content = token.content.strip()
    return bool(token.special) or (content[:1], content[-1:]) in (("<", ">"), ("[", "]"))


def _tokens(encoding: Any) -> list[_Token]:
    return [
        _Token(token, start, end)
        for token, (start, end) in zip(encoding.ids, encoding.offsets, strict=True)
    ]


def _stretches(pieces: Sequence[Piece]) -> list[tuple[str, bool]]:
    """Neighbours of one kind put together: the text, and whether it is content."""
    found: list[tuple[str, bool]] = []
    for piece in pieces:
        is_content = isinstance(piece, Content)
        text = text_of([piece])
        if found and found[-1][1] == is_content:
            found[-1] = (found[-1][0] + text, is_content)
        elif text:
            found.append((text, is_content))
    return found


def _spans(pieces: Sequence[Piece]) -> list[tuple[int, int]]:
    spans: list[tuple[int, int]] = []
    position = 0
    for text, is_content in _stretches(pieces):
        if is_content:
            spans.append((position, position + len(text)))
        position += len(text)
    return spans


def _tags(pieces: Sequence[Piece]) -> list[_Token]:
    tags: list[_Token] = []
    position = 0
    for piece in pieces:
        end = position + len(text_of([piece]))
        if isinstance(piece, Tag):
            tags.append(_Token(piece.token, position, end))
        position = end
    return tags


def _missing(tokens: list[_Token], tags: list[_Token]) -> list[_Token]:
    """The tags that are no token of their own."""
    if not tags:
        return []
    made = {(token.id, token.end) for token in tokens}
    return [tag for tag in tags if (tag.id, tag.end) not in made]
