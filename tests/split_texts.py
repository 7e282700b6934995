"""Texts as tokens of any split, and where steps end in them, computed the slow and plain way."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from ets.policy.base import PolicyOptions
from ets.policy.prompt import PolicyPrompt
from ets.policy.step_reader import read_step
from ets.step import Prefix, Step


class SplitTokenizer:
    """Token i is the i-th of some bytes; the last one ends the sequence."""

    chat_template = None
    added_tokens_decoder: dict[int, Any] = {}  # noqa: RUF012  as that of transformers is

    def __init__(self, parts: Sequence[bytes]) -> None:
        self.parts = parts

    def decode(self, ids: Sequence[int], **_: object) -> str:
        return b"".join(self.parts[i] for i in ids).decode("utf-8", "replace")


def split_prompt(parts: Sequence[bytes], **options: Any) -> PolicyPrompt:
    tokenizer: Any = SplitTokenizer([*parts, b""])
    return PolicyPrompt(
        tokenizer, PolicyOptions(**options), end_ids=frozenset({len(parts)}), max_length=1 << 20
    )


def steps_of(prompt: PolicyPrompt, count: int, max_tokens: int = 1 << 19) -> list[Step]:
    """The steps of the tokens 0 to `count`, each read as an engine would have written on."""
    prefix, at, steps = Prefix("a problem", 0, ()), 0, []
    while True:
        step = read_step(prompt, range(at, count + 1), prefix, max_tokens)
        steps.append(step)
        if step.finished:
            return steps
        prefix, at = prefix.extend(step), at + len(step.token_ids)


def split(text: str, cuts: Sequence[int]) -> list[bytes]:
    """Its bytes, cut at these places, wherever they are."""
    data = text.encode()
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[a:b] for a, b in pairwise(places)]


# -- the slow way ----------------------------------------------------------------------------------

BLANK = r"\n[ \t]*\n"
HIDDEN = re.compile(
    r"```.*?(?:```|\Z)"
    rf"|`.*?(?:`|(?={BLANK})|\Z)"
    rf"|\\\[(?:\\[^\]]|.)*?(?:\\\]|(?={BLANK})|\Z)"
    rf"|\\\((?:\\[^)]|.)*?(?:\\\)|(?={BLANK})|\Z)"
    r"|\\."
    rf"|\$\$(?:\\.|.)*?(?:\$\$|(?={BLANK})|\Z)"
    r"|(?:(?<=[\s(\[{\"'“‘*_\-–—])|^)\$\d[\d,]*(?:\.\d+)?(?=[.,;:?)]*\s)"
    rf"|(?:(?<=[\s(\[{{\"'“‘*_\-–—])|\A)\$(?!\s)(?:\\.|.)*?(?:\$|(?={BLANK})|\Z)",
    re.DOTALL,
)


def naive_sentence(before: str, text: str) -> int | None:
    """Where the first sentence of a text ends that is there as a whole."""
    whole, start = before + text, len(before)
    bare = HIDDEN.sub(lambda found: "x" * len(found[0]), whole)
    for found in re.finditer(
        r"(?P<blank>\n[ \t]*\n)"
        # As a group that is looked for ahead, a run gives nothing back.
        r"|(?=(?P<run>(?P<marks>[.!?…。！？｡]+)[)\]}\"'*_”’»」』）】》]*))(?P=run)(?=(?P<next>.))",
        bare,
        re.DOTALL,
    ):
        end = found.end()
        if found["marks"]:
            head = whole[: found.start()].rpartition("\n")[2]
            half = not re.search("[。！？｡]", found["marks"])
            if half and (
                not found["next"].isspace() or goes_on(head, found["marks"], found["next"])
            ):
                continue
            end += found["next"] == "\n"
        if end > start and whole[start:end].strip():
            return end - start
    return None


def goes_on(head: str, marks: str, behind: str) -> bool:
    if marks == "." and re.fullmatch(
        r"[ \t]*(?:[#>*+(-]+[ \t]*)*(?:(?:Step|Case|Part)[ \t]+)?(?:\d{1,3}|[A-Za-z]|[ivx]{1,4})",
        head,
    ):
        return True
    if behind == "\n":
        return False
    word = re.split(r"[^\w.]", head)[-1]
    if re.fullmatch(r"\.{2,}|…+", marks):
        return True
    if marks == "!":
        return bool(re.search(r"[\d)]$", head)) or len(word) == 1
    known = word.lower() in ("mr", "fig") or re.fullmatch(r"([A-Za-z]\.)+[A-Za-z]", word)
    return marks == "." and bool(known or re.fullmatch(r"[A-Z]", word))


def naive_pattern(pattern: str, text: str) -> int | None:
    """The end of the first match in the shortest beginning that holds one."""
    for length in range(1, len(text) + 1):
        for found in re.finditer(pattern, text[:length]):
            if found.end() > 0:
                return found.end()
    return None
