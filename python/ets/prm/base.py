"""What a process reward model must offer."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from ets.step import Prefix, Score


@runtime_checkable
class PRM(Protocol):
    """A model that says how good the last step of a partial solution is.

    Any object with these two methods can stand where a name such as `vllm:PATH` can; so can a plain
    function `f(problem: str, steps: list[str]) -> float` (see `ets.prm.function`).
    """

    async def score(self, prefix: Prefix) -> Score:
        """The reward in [0, 1] of `prefix`'s last step, given everything before it."""
        ...

    async def aclose(self) -> None:
        """Free the engine. Called once."""
        ...
