"""PRM formats: how each family of PRMs is prompted, and where its verdict is read."""

from __future__ import annotations

import inspect
from typing import Any

from ets.checkpoint.source import Source
from ets.checks import check_text, keyword_names, shown
from ets.errors import EngineError, InputError
from ets.prm.checkpoint import Checkpoint
from ets.prm.formats.base import PRMFormat, joined
from ets.prm.formats.judge import JudgeFormat
from ets.prm.formats.llemma import LlemmaFormat
from ets.prm.formats.math_shepherd import MathShepherdFormat
from ets.prm.formats.qwen import QwenFormat
from ets.prm.formats.rlhflow import RLHFlowFormat
from ets.prm.formats.skywork import SkyworkFormat

FORMATS: dict[str, type[PRMFormat]] = {
    kind.name: kind
    for kind in (
        QwenFormat,
        MathShepherdFormat,
        LlemmaFormat,
        RLHFlowFormat,
        SkyworkFormat,
        JudgeFormat,
    )
}
"""The formats by name."""


def find_format(checkpoint: Checkpoint, name: str | None = None) -> type[PRMFormat]:
    """The format of a checkpoint: the one of this name, or the one that recognises it.

    # Errors
    `InputError` for an unknown name, `EngineError` for a checkpoint that none recognises; both list
    what is known.
    """
    known = "; ".join(f"{kind.name} ({kind.models})" for kind in FORMATS.values())
    if name is not None:
        if not isinstance(name, str) or name not in FORMATS:
            raise InputError(f"unknown PRM format {shown(name)}; known are {known}")
        return FORMATS[name]
    for kind in FORMATS.values():
        if kind.recognises(checkpoint):
            return kind
    what = ", ".join(checkpoint.architectures) or "of no stated architecture"
    hint = (
        "; a language model is a PRM only with a format, and a policy is none at all"
        if checkpoint.is_lm
        else ""
    )
    raise EngineError(
        f"{checkpoint.name!r} ({what}) is no PRM of a known format{hint}: if it is one, say which "
        f"with format=NAME; known are {known}"
    )


def format_options(kind: type[PRMFormat]) -> tuple[str, ...]:
    """The names of the options that a format takes."""
    return keyword_names(kind)


def load_format(
    checkpoint: str | Source,
    kind_name: str | None,
    options: dict[str, Any],
    *,
    max_length: int | None = None,
) -> PRMFormat:
    """The format of a checkpoint (a folder, a hub name, a `Source`).

    It is made with those of `options` that are its, which `options` then loses. `max_length`
    can only lower what the model states.

    # Errors
    `InputError` for an unknown format name; `EngineError` for an unknown checkpoint, and one that
    is not of the format that was asked for.
    """
    read = Checkpoint(checkpoint)
    kind = find_format(read, kind_name)
    own = {key: options.pop(key) for key in format_options(kind) if key in options}
    for key, text in own.items():  # of all formats they are texts
        if text is not None or inspect.signature(kind).parameters[key].default is not None:
            check_text(key, text)
    made = kind(read, **own)
    if max_length is not None:
        made.max_length = min(made.max_length, max_length)
    return made


__all__ = ["FORMATS", "PRMFormat", "find_format", "format_options", "joined", "load_format"]
