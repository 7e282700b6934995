"""From a file and the options of a command line to a `Search`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ets.bench.fleet import fleet_of
from ets.bench.grid import Grid
from ets.checks import check_options, check_text
from ets.cli.declared import GRID_TABLE, Said
from ets.search.search import Search
from ets.search.toml import NO_PRM, read_config, read_toml, search_arguments, with_defaults
from ets.shown.redaction import redacted, redacted_repr
from ets.strategy import ETS, Strategy
from ets.workers.fleet import Fleet

WAY_OUT = (
    "no --prm: steps are not scored, so this is a plain majority vote over independent samples; "
    "add --prm vllm:PATH, transformers:PATH, pooling:MODEL@URL or policy to search"
)


@dataclass(frozen=True, slots=True)
class Setup:
    """All that a `Search` is made of."""

    arguments: dict[str, Any]
    """Of `Search`, policy, PRM and strategy always among them."""
    prm_is_missing: bool
    """Whether nobody said that steps should go without scores."""
    fleet: Fleet | None = None
    """The workers that have the engines; None: this process has."""

    def __repr__(self) -> str:
        return redacted_repr(self)

    @classmethod
    def make(cls, config: str | None, said: Said) -> Setup:
        """What a file and the command line say together, and what holds where both are silent."""
        arguments, missing, fleet = settled(merged(config, said))
        return cls(search_arguments(arguments), missing, fleet)

    @property
    def strategy(self) -> Strategy:
        """The strategy, or what stands in its place."""
        strategy: Strategy = self.arguments["strategy"]
        return strategy

    @property
    def title(self) -> str:
        """Strategy and engines in one line."""
        policy, prm = self.arguments["policy"], self.arguments["prm"]
        engines = [policy] if prm in (NO_PRM, policy) else [policy, prm]
        return f"{describe(self.strategy)} · {' + '.join(map(short, engines))}"

    def open(self) -> Search:
        """Load the engines."""
        return Search(**self.arguments, workers=self.fleet)


def _fleet(said: Any) -> Fleet:
    """That of the table `workers`, which a file may hold and the command line makes."""
    check_options("workers", said)
    options = dict(said)
    ray = options.pop("ray", None)
    if ray is not None:
        check_text("workers.ray", ray)
    return fleet_of(options.pop("count", 1), ray, options)


def settled(arguments: Mapping[str, Any]) -> tuple[dict[str, Any], bool, Fleet | None]:
    """As `with_defaults`; and the workers, which are not among the arguments."""
    arguments = dict(arguments)
    workers = arguments.pop("workers", None)
    together, missing = with_defaults(arguments)
    return together, missing, None if workers is None else _fleet(workers)


def merged(config: str | None, said: Said) -> dict[str, Any]:
    """What stands in a file, if there is one, and what the command line says, which wins."""
    return merge({} if config is None else read_config(config), said)


def make_grid(config: str | None, said: Said, **unless: Sequence[Any]) -> Grid:
    """A benchmark's grid, of a file and of what the command line says, which wins.

    `unless` are keys and what they are where both are silent.
    """
    in_file = {} if config is None else read_toml(config)
    silent = {key: list(values) for key, values in unless.items()}
    grid = {**silent, **in_file, **said.get(GRID_TABLE, {})}
    search = {table: values for table, values in said.items() if table != GRID_TABLE}
    grid["search"] = merge(in_file.get("search", {}), search)
    return Grid.read(grid, where="" if config is None else f"{config}: ")


def merge(in_file: Mapping[str, Any], said: Said) -> dict[str, Any]:
    """The same of a file that is read already."""
    tables = {name: table for name, table in said.items() if name}
    together = {**in_file, **said.get("", {})}
    for name, table in tables.items():
        old = together.get(name, {})
        if name == "strategy" and table.get("name") not in (None, old.get("name", "ets")):
            # Another strategy has other options.
            old = {key: old[key] for key in ("width",) if key in old}
        together[name] = {**old, **table}
    return together


def describe(strategy: Strategy) -> str:
    """`ETS width 16, lambda_d 1.5`."""
    name = type(strategy).__name__
    if isinstance(strategy, ETS):
        name = "ETS" if strategy.lambda_d else "ETS-KV"
    return f"{name}, width {strategy.width}"


def short(engine: str) -> str:
    """An engine's name without options and the folders above it: `vllm:Qwen2.5-Math-PRM-7B`."""
    backend, colon, path = redacted(engine).partition("?")[0].partition(":")
    return backend + colon + path.rstrip("/").rpartition("/")[2]
