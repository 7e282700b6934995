"""Encoding a text as a whole, cut at places in it."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from ets.errors import EngineError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def encode_cut(
    tokenizer: PreTrainedTokenizerBase,
    text: str,
    cuts: Sequence[int],
    *,
    name: str,
    special_tokens: bool,
) -> list[tuple[int, ...]]:
    """The ids of `text` in parts that end after `cuts[i]` characters; the last cut is its end.

    A token that reaches over a cut belongs to the part after it. `special_tokens`: whether the
    tokenizer may put its own at the beginning; one at the end is taken away.

    # Errors
    `EngineError` if the tokenizer cannot say where its tokens come from.
    """
    if not tokenizer.is_fast:
        raise EngineError(f"the tokenizer of {name!r} is no fast one: it has no tokenizer.json")
    encoding = tokenizer(
        text, add_special_tokens=special_tokens, return_offsets_mapping=True, verbose=False
    )
    ids: list[int] = list(encoding["input_ids"])
    ends: list[int] = [end for _, end in encoding["offset_mapping"]]
    while ids and special_tokens and ends[-1] == 0:  # it stands for no text
        ids.pop()
        ends.pop()
    places = [0, *(bisect_right(ends, cut) for cut in cuts)]
    return [tuple(ids[start:end]) for start, end in pairwise(places)]
