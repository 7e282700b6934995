"""From a file and the options of a command line to a `Search`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from ets.bench.grid import Grid
from ets.engines.name import read_value
from ets.errors import InputError
from ets.search.search import Search
from ets.search.toml import read_config, read_toml, search_arguments
from ets.shown.redaction import redacted, redacted_repr
from ets.strategy import ETS, Strategy

T = TypeVar("T")
NO_PRM = "none"
WAY_OUT = (
    "no --prm: steps are not scored, so this is a plain majority vote over independent samples; "
    "add --prm vllm:PATH, transformers:PATH or pooling:MODEL@URL to search"
)


@dataclass(frozen=True, slots=True)
class Setup:
    """All that a `Search` is made of."""

    arguments: dict[str, Any]
    """Of `Search`, policy, PRM and strategy always among them."""
    prm_is_missing: bool
    """Whether nobody said that steps should go without scores."""

    def __repr__(self) -> str:
        return redacted_repr(self)

    @classmethod
    def make(
        cls, config: str | None, arguments: Mapping[str, Any], **tables: Mapping[str, Any]
    ) -> Setup:
        """What a file and the command line say together, and what holds where both are silent."""
        said = merged(config, arguments, **tables)
        policy = said.setdefault("policy", "demo")
        missing = "prm" not in said and policy.partition("?")[0] != "demo"
        prm = said.setdefault("prm", NO_PRM if missing else "demo")
        default = "best-of-n" if prm == NO_PRM else "ets"
        said["strategy"] = {"name": default, **said.get("strategy", {})}
        return cls(search_arguments(said), missing)

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
        return Search(**self.arguments)


def merged(
    config: str | None, arguments: Mapping[str, Any], **tables: Mapping[str, Any]
) -> dict[str, Any]:
    """What stands in a file, if there is one, and what the command line says, which wins."""
    return merge({} if config is None else read_config(config), arguments, **tables)


def make_grid(
    config: str | None,
    arguments: Mapping[str, Any],
    search: Mapping[str, Any],
    *,
    lambda_b: Sequence[float] = (),
    **tables: Mapping[str, Any],
) -> Grid:
    """A benchmark's grid, of a file and of what the command line says, which wins.

    `lambda_b` are the prices of KV where both are silent.
    """
    in_file = {} if config is None else read_toml(config)
    said = {"lambda_b": list(lambda_b), **in_file, **arguments}
    said["search"] = merge(in_file.get("search", {}), search, **tables)
    return Grid.read(said, where="" if config is None else f"{config}: ")


def merge(
    in_file: Mapping[str, Any], arguments: Mapping[str, Any], **tables: Mapping[str, Any]
) -> dict[str, Any]:
    """The same of a file that is read already."""
    said = {**in_file, **arguments}
    for name, table in tables.items():
        old = said.get(name, {})
        if name == "strategy" and table.get("name") not in (None, old.get("name", "ets")):
            # Another strategy has other options.
            old = {key: old[key] for key in ("width",) if key in old}
        if old or table:
            said[name] = {**old, **table}
    return said


def given(**options: Any) -> dict[str, Any]:
    """The options that are not None."""
    return {key: value for key, value in options.items() if value is not None}


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


def parse_options(flag: str, pairs: list[str] | None) -> dict[str, Any]:
    """`KEY=VALUE` pairs as keyword arguments; a value that reads as JSON is what it reads as."""
    return {key: read_value(value) for key, value in _split(flag, "KEY=VALUE", pairs)}


def parse_list(flag: str, text: str | None, kind: Callable[[str], T]) -> list[T] | None:
    """`4,16,64` as a list; None where nothing is given."""
    if text is None:
        return None
    try:
        return [kind(part.strip()) for part in text.split(",")]
    except ValueError as error:
        raise InputError(f"{flag} takes values with commas between them, got {text!r}") from error


def parse_sweep(flag: str, pairs: list[str] | None) -> dict[str, list[Any]] | None:
    """`KEY=V,V` pairs as the values of each option; None where nothing is given."""
    if not pairs:
        return None
    found: dict[str, list[Any]] = {}
    for key, values in _split(flag, "KEY=VALUE,VALUE", pairs):
        if key in found:
            raise InputError(f"{flag} {key} is given twice")
        found[key] = [read_value(value.strip()) for value in values.split(",")]
    return found


def _split(flag: str, form: str, pairs: Sequence[str] | None) -> Iterator[tuple[str, str]]:
    for pair in pairs or ():
        key, sign, value = pair.partition("=")
        if not sign or not key.isidentifier():
            raise InputError(f"{flag} takes {form}, got {redacted(pair)!r}")
        yield key, value


def number_or_auto(flag: str, text: str) -> int | Literal["auto"]:
    """The value of an option that is a positive number or `auto`."""
    if text == "auto":
        return "auto"
    if not text.isdecimal() or int(text) < 1:
        raise InputError(f"{flag} must be a number from 1 on, or auto, got {text!r}")
    return int(text)
