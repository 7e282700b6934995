"""The strategies by the names that files and command lines give them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from types import MappingProxyType
from typing import Any, Literal

from ets.checks import shown
from ets.errors import InputError
from ets.strategy import (
    DORA,
    DVTS,
    ETS,
    REBASE,
    BeamSearch,
    BestOfN,
    Ours,
    ParticleFilter,
    Strategy,
)

StrategyName = Literal["ets", "ets-kv", "rebase", "beam", "dvts", "particle", "dora", "best-of-n"]
STRATEGIES: Mapping[str, type[Ours]] = MappingProxyType(
    {
        "ets": ETS,
        "ets-kv": ETS,
        "rebase": REBASE,
        "beam": BeamSearch,
        "dvts": DVTS,
        "particle": ParticleFilter,
        "dora": DORA,
        "best-of-n": BestOfN,
    }
)
DEFAULT_WIDTH = 16
_OF_DIVERSITY = ("lambda_d", "cluster_threshold")
"""Options of `ets` that `ets-kv`, for which diversity is worth nothing, does not have."""


def strategy_by_name(name: str, **options: Any) -> Strategy:
    """The strategy of a name, with the fields of its dataclass as options; width 16 by default.

    `ets-kv` is `ets` with `lambda_d=0`.

    # Errors
    `InputError` for an unknown name, and for an option that the strategy does not have.
    """
    kind = STRATEGIES.get(name) if isinstance(name, str) else None
    if kind is None:
        raise InputError(f"strategy must be one of {', '.join(STRATEGIES)}, got {shown(name)}")
    known = strategy_options(name)
    if unknown := [key for key in options if key not in known]:
        raise InputError(
            f"{unknown[0]} has no meaning with the strategy {name}; its options are "
            f"{', '.join(known)}"
        )
    if name == "ets-kv":
        options["lambda_d"] = 0.0
    return kind(**{"width": DEFAULT_WIDTH, **options})


def strategy_options(name: str) -> tuple[str, ...]:
    """The options that the strategy of a known name has."""
    names = tuple(field.name for field in fields(STRATEGIES[name]))
    return tuple(key for key in names if name != "ets-kv" or key not in _OF_DIVERSITY)
