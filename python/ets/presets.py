"""Presets: prompts, delimiters and limits of published searches, by the name of a policy's model.

policy = "vllm:Qwen/Qwen2.5-Math-1.5B-Instruct"
ets.Search(policy, prm, **presets.find(policy).arguments)
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from ets.checks import check_options, check_text, shown
from ets.engines.name import EngineName
from ets.errors import InputError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_TABLE = Path(__file__).with_name("presets.toml")
_OPTIONS = "policy_options"
AUTO = "auto"
"""The preset that fits the policy's model."""


@dataclass(frozen=True, slots=True)
class Preset:
    """One preset."""

    name: str
    models: tuple[str, ...]
    """Patterns of the models that it is for, in lower case; empty: only where it is named."""
    source: str
    """Whose settings these are: a public repository, and the files in it."""
    arguments: dict[str, Any]
    """Arguments of `ets.Search`, `policy_options` a table among them."""


def all_presets() -> dict[str, Preset]:
    """The presets by name."""
    rows = tomllib.loads(_TABLE.read_text("utf-8"))
    found = {}
    for name, row in rows.items():
        like = rows[row.pop("like")] if "like" in row else {}
        models, source = tuple(row.pop("models")), row.pop("source")
        options = {**like.get(_OPTIONS, {}), **row.get(_OPTIONS, {})}
        found[name] = Preset(name, models, source, {**row, _OPTIONS: options})
    return found


def find(model: str) -> Preset:
    """The preset of this name, or the one for a model: a hub name, a folder, `vllm:PATH`.

    # Errors
    `InputError` if there is none; it lists those there are.
    """
    check_text("preset", model)
    known = all_presets()
    if model in known:
        return known[model]
    path = model.partition("?")[0].partition("@")[0].rpartition(":")[2]
    label = path.rstrip("/").rpartition("/")[2].lower()
    for preset in known.values():
        if any(fnmatch(label, pattern) for pattern in preset.models):
            return preset
    raise InputError(
        f"there is no preset {model!r}, and none for a model of that name; the presets are "
        f"{', '.join(known)}"
    )


def with_preset(said: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of a search in plain values, with those of the preset that they name.

    What is said wins, in `policy_options` and in the policy's name too. `preset = "auto"` goes by
    the policy's model.

    # Errors
    `InputError` for a preset that there is not.
    """
    check_options("arguments", said)
    arguments = dict(said)
    if (given := arguments.get(_OPTIONS)) is not None:
        check_options(_OPTIONS, given)
    name = arguments.pop("preset", None)
    if name is None:
        return arguments
    if not isinstance(name, str):
        raise InputError(f"preset must be the name of a preset, or {AUTO!r}, got {shown(name)}")
    policy = arguments.get("policy", "demo")
    preset = find(policy if name == AUTO and isinstance(policy, str) else name)
    in_name = EngineName.parse("policy", policy, {}).options if isinstance(policy, str) else {}
    options = {k: v for k, v in preset.arguments[_OPTIONS].items() if k not in in_name}
    return {
        **preset.arguments,
        **arguments,
        _OPTIONS: {**options, **(given or {})},
    }
