"""Where the thoughts of a reasoning model stand in a text, and what stands behind them."""

from __future__ import annotations

from typing import TypeAlias

Tags: TypeAlias = tuple[str, str]

PAIRS: tuple[Tags, ...] = (
    ("<think>", "</think>"),  # DeepSeek-R1 and its distillates, Qwen3, QwQ
    ("[THINK]", "[/THINK]"),  # Magistral
    ("<|begin_of_thought|>", "<|end_of_thought|>"),  # Sky-T1, OpenThinker
)
"""The tags that are known, and who writes them."""


def behind_thoughts(text: str, tags: Tags | None = None, *, opened: bool = False) -> str | None:
    """What of a whole solution stands behind its thoughts; None where they do not end.

    `tags` are the policy's; without them the known ones are looked for. `opened`: whether the
    prompt had opened the block; else the solution begins with the opening tag, or has no thoughts.
    """
    for first, last in PAIRS if tags is None else (tags,):
        _, found, behind = text.rpartition(last)
        if found:
            return behind
        if opened or text.lstrip().startswith(first):
            return None
    return text
