"""Copies of a fast tokenizer, with added tokens of one's choice, that share its vocabulary.

The model, which is vocabulary and merges, is not copied: one of 150,000 tokens takes a second or
more.
"""

from __future__ import annotations

import copy
import itertools
import secrets
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ets.errors import EngineError

if TYPE_CHECKING:
    from tokenizers import AddedToken, Tokenizer


def tokenizer_copy(backend: Tokenizer, added: Mapping[int, AddedToken], *, name: str) -> Any:
    """A tokenizer over the same vocabulary with these added tokens, by their ids in order.

    It has no truncation, no padding, and no post-processor, which would trim offsets.

    # Errors
    `EngineError` if a token gets another id there.
    """
    from tokenizers import Tokenizer

    made = Tokenizer(backend.model)
    # Copies, or who sets an option of theirs later would set it here. Before the tokens are added,
    # since those may be normalised.
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
                f"the tokenizer of {name!r} cannot be copied: its token {token.content!r} gets "
                f"another id than {own}"
            )
    return made


def plain_copy(known: Tokenizer, added: Mapping[int, AddedToken], *, name: str) -> tuple[Any, str]:
    """A copy that knows no control tokens, and a token of its own that nobody can write.

    # Errors
    As `tokenizer_copy`.
    """
    from tokenizers import AddedToken

    secret = secrets.token_hex(16)
    kept: dict[int, AddedToken] = {}
    for own, token in added.items():
        if not is_control(token):
            kept[own] = token
        elif known.model.token_to_id(token.content) is None:
            # Left out, it would shift the ids of those behind it.
            kept[own] = _renamed(token, f"{secret}-{own}")
    made = tokenizer_copy(known, kept, name=name)
    made.add_special_tokens([AddedToken(secret, special=True, normalized=False)])
    return made, secret


def is_control(token: AddedToken) -> bool:
    """Whether an added token is flagged special, or looks like markup."""
    content = token.content.strip()
    return bool(token.special) or (content[:1], content[-1:]) in (("<", ">"), ("[", "]"))


def ids_in_front(backend: Any) -> tuple[int, ...]:
    """The ids that a tokenizer puts in front of a text."""
    encoding = backend.encode("1", add_special_tokens=True)
    front: list[int] = []
    for token, is_special in zip(encoding.ids, encoding.special_tokens_mask, strict=True):
        if not is_special:
            break
        front.append(token)
    return tuple(front)


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
