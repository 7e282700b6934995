"""What makes a `TreeSearch` a value: JSON, pickles, copies, equality."""

from __future__ import annotations

import copy
import json
from dataclasses import fields
from typing import Any, TypeVar

from ets._core import Interrupt
from ets.checks import check_text, shown
from ets.errors import InputError
from ets.strategy.base import Strategy
from ets.tree.kv_record import Timing
from ets.tree_search import snapshot
from ets.tree_search.selection import check_strategy
from ets.tree_search.state import State

S = TypeVar("S", bound="Saved")

_OWN = ("open_step", "candidates", "frontier", "embeddings")
_PARTS = {part.name: f"_{part.name}" if part.name in _OWN else part.name for part in fields(State)}
"""The parts of a search's state, and the attributes that hold them."""


class Saved:
    """A search whose attributes are the parts of a `State`."""

    strategy: Strategy
    timings: list[Timing]
    interrupt: Interrupt | None

    def to_dict(self) -> dict[str, Any]:
        """The whole state as JSON-able values; timings left out."""
        return snapshot.save(
            State(**{part: getattr(self, attribute) for part, attribute in _PARTS.items()})
        )

    def to_json(self) -> str:
        """The whole state as JSON, at any point. Equal searches give equal texts."""
        return json.dumps(self.to_dict(), separators=(",", ":"), allow_nan=False)

    @classmethod
    def from_dict(cls: type[S], data: dict[str, Any], *, strategy: Strategy | None = None) -> S:
        """The search that `to_dict` described; it goes on as if nothing had happened.

        `strategy` takes the place of the saved one, and is needed where that is an object of your
        own. Raises `InputError` for another format or version, and for unknown or missing fields.
        """
        return cls._of(snapshot.load(data, strategy))

    @classmethod
    def from_json(cls: type[S], text: str, *, strategy: Strategy | None = None) -> S:
        """The search that `to_json` described; see `from_dict`."""
        check_text("text", text)
        try:
            data = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise InputError(f"not a saved TreeSearch: no JSON ({error})") from error
        return cls.from_dict(data, strategy=strategy)

    @classmethod
    def _of(cls: type[S], state: State) -> S:
        search = cls.__new__(cls)
        for part, attribute in _PARTS.items():
            setattr(search, attribute, getattr(state, part))
        search.timings = []
        search.interrupt = None
        return search

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (type(self), self._pickled(self.strategy))

    def __deepcopy__(self: S, memo: dict[int, Any]) -> S:
        # Its own columns are made anew anyway; only a strategy can hold what must be copied.
        found: S = _restored(type(self), self._pickled(copy.deepcopy(self.strategy, memo)))
        return found

    def _pickled(self, strategy: Strategy) -> dict[str, Any]:
        return {"saved": self.to_dict(), "strategy": strategy, "timings": list(self.timings)}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Saved) and self.to_dict() == other.to_dict()

    __hash__ = None  # type: ignore[assignment]


def _restored(*state: Any) -> Any:
    """What `__reduce__` described; `InputError` for anything else."""
    kind = state[0] if len(state) == 2 else None
    if not isinstance(kind, type) or not issubclass(kind, Saved):
        raise InputError(f"not a pickled TreeSearch, got {shown(state)}")
    found = state[1]
    snapshot.same_keys("the pickled TreeSearch", found, ("saved", "strategy", "timings"))
    check_strategy(found["strategy"])
    timings = found["timings"]
    if not isinstance(timings, list) or not all(isinstance(t, Timing) for t in timings):
        raise InputError(f"timings of the pickled TreeSearch must be a list, got {shown(timings)}")
    search = kind._of(snapshot.load(found["saved"], found["strategy"]))
    search.timings = timings
    return search
